// Finds the forward chains of others that would drop what containers send and get: Docker's, ufw's, firewalld's, an
// administrator's. A verdict of ours can't overrule a drop in another chain of the same hook, so accept rules must stand in
// that chain (in DOCKER-USER where Docker made one for it). Pure: what `nft -j list …` prints in, places out.

import { NFT_TABLE } from './names.ts';
import { isObject, type NftListing } from './nft.ts';

export interface ChainPlace {
  readonly family: 'ip' | 'ip6' | 'inet';
  readonly table: string;
  readonly chain: string;
}

/** A rule of ours in a chain of others, as its comment says. */
export interface PlacedRule extends ChainPlace {
  readonly handle: number;
  readonly comment: string;
}

/** Every comment of ours in a chain of others begins so. */
const ACCEPT_COMMENT = 'fabric';
/** Docker's place for rules of others; it never flushes it. */
const DOCKER_USER = 'DOCKER-USER';

/** Where accept rules are needed, in the order of the listing. */
export function droppingForwardChains(listing: NftListing): readonly ChainPlace[] {
  const places: ChainPlace[] = [];
  for (const object of listing) {
    const chain = object.chain;
    if (!isObject(chain) || chain.hook !== 'forward' || chain.table === NFT_TABLE) continue;
    const place = placeOf(chain, chain.name);
    if (place === null) continue;
    const rules = rulesOf(listing, place);
    if (chain.policy !== 'drop' && !endsInDrop(rules)) continue;
    places.push(dockerUserOf(place, rules) ?? place);
  }
  return places;
}

/** All chains that may hold rules of ours: others' base chains at the forward hook, and DOCKER-USER. */
export function forwardChains(listing: NftListing): readonly ChainPlace[] {
  const places: ChainPlace[] = [];
  for (const object of listing) {
    const chain = object.chain;
    if (!isObject(chain) || chain.table === NFT_TABLE) continue;
    if (chain.hook !== 'forward' && chain.name !== DOCKER_USER) continue;
    const place = placeOf(chain, chain.name);
    if (place !== null) places.push(place);
  }
  return places;
}

/** Rules of ours in chains of others. */
export function placedRules(listing: NftListing): readonly PlacedRule[] {
  const placed: PlacedRule[] = [];
  for (const object of listing) {
    const rule = object.rule;
    if (!isObject(rule) || rule.table === NFT_TABLE) continue;
    const place = placeOf(rule, rule.chain);
    const { handle, comment } = rule;
    if (place === null || typeof handle !== 'number' || typeof comment !== 'string') continue;
    if (comment.startsWith(ACCEPT_COMMENT)) placed.push({ ...place, handle, comment });
  }
  return placed;
}

/** True for the chains that iptables makes and reads: it refuses the whole table when it meets a native `ct` in it. */
export function isIptablesChain({ family, table, chain }: ChainPlace): boolean {
  return family !== 'inet' && table === 'filter' && /^[A-Z]/.test(chain);
}

export interface AcceptRule {
  /** Unique among the rules of one place; kept with the rule. */
  readonly comment: string;
  /** As nft has it. */
  readonly nft: string;
  /** As iptables has it. */
  readonly iptables: readonly string[];
}

/** From our interfaces everything, to them what answers or was published (DNAT): no more than the host's owner allowed. */
export function acceptRules(interfaces: readonly string[]): readonly AcceptRule[] {
  return interfaces.flatMap((name) => [
    rule(`${ACCEPT_COMMENT}: from ${name}`, `iifname "${name}"`, ['-i', name]),
    rule(`${ACCEPT_COMMENT}: replies to ${name}`, `oifname "${name}" ct state established,related`, [
      ...['-o', name, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
    ]),
    rule(`${ACCEPT_COMMENT}: published on ${name}`, `oifname "${name}" ct status dnat`, [
      ...['-o', name, '-m', 'conntrack', '--ctstate', 'DNAT'],
    ]),
  ]);
}

function rule(comment: string, nft: string, iptables: readonly string[]): AcceptRule {
  return {
    comment,
    nft: `${nft} counter accept comment "${comment}"`,
    iptables: [...iptables, '-m', 'comment', '--comment', comment, '-j', 'ACCEPT'],
  };
}

function rulesOf(listing: NftListing, place: ChainPlace): readonly Readonly<Record<string, unknown>>[] {
  return listing
    .map((object) => object.rule)
    .filter(isObject)
    .filter(({ family, table, chain }) => family === place.family && table === place.table && chain === place.chain);
}

/** firewalld's way: policy accept, and a last rule that rejects whatever is left. */
function endsInDrop(rules: readonly Readonly<Record<string, unknown>>[]): boolean {
  const statements = rules.at(-1)?.expr;
  if (!Array.isArray(statements)) return false;
  const kinds = statements.filter(isObject).flatMap((statement) => Object.keys(statement));
  const passive = ['counter', 'log', 'drop', 'reject'];
  return kinds.every((kind) => passive.includes(kind)) && kinds.some((kind) => kind === 'drop' || kind === 'reject');
}

/** Where Docker is, its chain for others, if the forward chain jumps there. */
function dockerUserOf(place: ChainPlace, rules: readonly Readonly<Record<string, unknown>>[]): ChainPlace | null {
  const jumps = rules
    .flatMap(({ expr }) => (Array.isArray(expr) ? expr : []))
    .filter(isObject)
    .map(({ jump }) => (isObject(jump) ? jump.target : undefined));
  return jumps.includes(DOCKER_USER) ? { ...place, chain: DOCKER_USER } : null;
}

/** Null for other families and for names that can't stand in nft's text unquoted. */
function placeOf(object: Readonly<Record<string, unknown>>, chain: unknown): ChainPlace | null {
  const { family, table } = object;
  if (family !== 'ip' && family !== 'ip6' && family !== 'inet') return null;
  return isIdentifier(table) && isIdentifier(chain) ? { family, table, chain } : null;
}

function isIdentifier(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z_][A-Za-z0-9_./-]*$/.test(text);
}
