// Finds the chains of others that would drop what containers send and get (forward), or ask of the host's name server (input):
// Docker's, ufw's, firewalld's, an administrator's. A verdict of ours can't overrule a drop in another chain of the same hook, so
// accept rules must stand in that chain (in DOCKER-USER where Docker made one for it). Pure: what `nft -j list …` prints in, places
// out.

import { NFT_TABLE } from './names.ts';
import { isObject, type NftListing } from './nft.ts';

/** Where packets pass that are not for this host, and those that are. */
export type ForeignHook = 'forward' | 'input';

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
export function droppingChains(listing: NftListing, hook: ForeignHook): readonly ChainPlace[] {
  const places: ChainPlace[] = [];
  for (const object of listing) {
    const chain = object.chain;
    if (!isObject(chain) || chain.hook !== hook || chain.table === NFT_TABLE) continue;
    const place = placeOf(chain, chain.name);
    if (place === null) continue;
    const rules = rulesOf(listing, place);
    if (chain.policy !== 'drop' && !endsInDrop(rules)) continue;
    places.push(dockerUserOf(place, rules) ?? place);
  }
  return places;
}

/** All chains that may hold rules of ours: others' base chains at that hook, at the forward hook DOCKER-USER, too. */
export function chainsAt(listing: NftListing, hook: ForeignHook): readonly ChainPlace[] {
  const places: ChainPlace[] = [];
  for (const object of listing) {
    const chain = object.chain;
    if (!isObject(chain) || chain.table === NFT_TABLE) continue;
    if (chain.hook !== hook && !(hook === 'forward' && chain.name === DOCKER_USER)) continue;
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

/** True for comments of ours on rules of that interface. */
export function isAbout(comment: string, interfaceName: string): boolean {
  return (
    comment.startsWith(`${ACCEPT_COMMENT}: `) &&
    comment.slice(ACCEPT_COMMENT.length).split(/[ ,]+/).includes(interfaceName)
  );
}

/** A rule with a comment as `iptables -S` prints it; `match` is what deletes it. */
export interface PrintedRule {
  readonly comment: string;
  readonly match: readonly string[];
}

export function printedRules(text: string): readonly PrintedRule[] {
  return text.split('\n').flatMap((line) => {
    const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    const comment = words[words.indexOf('--comment') + 1];
    if (words[0] !== '-A' || !words.includes('--comment') || comment === undefined) return [];
    return [{ comment, match: words.slice(2) }];
  });
}

export interface AcceptRule {
  /** The family that it speaks of; null: any. */
  readonly family: 'ip' | 'ip6' | null;
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
    rule(null, `${ACCEPT_COMMENT}: from ${name}`, `iifname "${name}"`, ['-i', name]),
    rule(null, `${ACCEPT_COMMENT}: replies to ${name}`, `oifname "${name}" ct state established,related`, [
      ...['-o', name, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
    ]),
    rule(null, `${ACCEPT_COMMENT}: published on ${name}`, `oifname "${name}" ct status dnat`, [
      ...['-o', name, '-m', 'conntrack', '--ctstate', 'DNAT'],
    ]),
  ]);
}

/** From the bridge to the name server on the gateway's addresses, and to nothing else of the host. */
export function nameServerRules(bridge: string, gateways: readonly string[]): readonly AcceptRule[] {
  return gateways.flatMap((gateway) =>
    (['udp', 'tcp'] as const).map((protocol) => {
      const family = gateway.includes(':') ? 'ip6' : 'ip';
      const comment = `${ACCEPT_COMMENT}: names on ${bridge}, ${family} ${protocol}`;
      const nft = `iifname "${bridge}" ${family} daddr ${gateway} ${protocol} dport 53`;
      return rule(family, comment, nft, ['-i', bridge, '-d', gateway, '-p', protocol, '--dport', '53']);
    }),
  );
}

/** Those of the rules that can stand in a chain of that family. */
export function rulesFor(rules: readonly AcceptRule[], family: ChainPlace['family']): readonly AcceptRule[] {
  return rules.filter((each) => each.family === null || family === 'inet' || each.family === family);
}

function rule(family: AcceptRule['family'], comment: string, nft: string, iptables: readonly string[]): AcceptRule {
  return {
    family,
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
