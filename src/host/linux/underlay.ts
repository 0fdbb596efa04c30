// What of this host's interfaces, addresses and routes belongs to the underlay: where peers may reach us, and which routes
// our range would collide with. Pure functions over netlink's dumps.

import {
  type Cidr,
  cidrHasIp,
  cidrsOverlap,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
} from '../../base/address.ts';
import { type Address, type Link, ROUTE_PROTOCOL, type Route } from '../netlink/objects.ts';
import { ALIAS_PREFIX } from './names.ts';

const TABLE_LOCAL = 255;
/** More are of no use to a peer that tries them one after the other. */
const ADDRESSES_MAX = 16;

/** Never reachable from another host: RFC 6890's loopback, link-local, unspecified, multicast and IPv4-mapped ranges. */
const UNREACHABLE = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/127',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
]
  .map(parseCidr)
  .filter((block) => block !== null);

export interface UnderlayInput {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
}

/**
 * Best first: the interface of the default route, then hardware, then what stacks on it, then tunnels and veths. Other
 * bridges count only when there is nothing better: they are docker0, cni0, virbr0 and the like.
 */
export function rankUnderlay({ links, addresses, routes }: UnderlayInput): readonly { ip: string; mtu: number }[] {
  const ranks = new Map<number, number>();
  for (const link of links) {
    if (link.up && !link.loopback && !isOurs(link, links)) ranks.set(link.index, rankOf(link, routes));
  }
  const mtus = new Map(links.map((link) => [link.index, link.mtu]));
  const candidates = addresses
    .filter((address) => ranks.has(address.index) && isUsable(address))
    .map((address) => ({ address, rank: ranks.get(address.index)! }))
    .sort(
      (a, b) => a.rank - b.rank || a.address.ip.family - b.address.ip.family || privacy(a.address) - privacy(b.address),
    );
  const best = candidates[0]?.rank ?? RANK_BRIDGE;
  const kept = best < RANK_BRIDGE ? candidates.filter(({ rank }) => rank < RANK_BRIDGE) : candidates;
  return kept
    .slice(0, ADDRESSES_MAX)
    .map(({ address }) => ({ ip: formatIp(address.ip), mtu: mtus.get(address.index)! }));
}

/** Routes of others inside or around the range, except the default route, as `CIDR dev NAME`; each once. */
export function overlappingRoutes(range: Cidr, links: readonly Link[], routes: readonly Route[]): readonly string[] {
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const found = new Set<string>();
  for (const { dst, table, protocol, index, nextHops } of routes) {
    if (dst.prefix === 0 || table === TABLE_LOCAL || protocol === ROUTE_PROTOCOL || !cidrsOverlap(dst, range)) continue;
    const link = byIndex.get(index ?? nextHops[0]?.index ?? 0);
    if (link !== undefined && isOurs(link, links)) continue;
    found.add(link === undefined ? formatCidr(dst) : `${formatCidr(dst)} dev ${link.name}`);
  }
  return [...found];
}

/** Made by fabric, or enslaved to what fabric made. */
export function isOurs(link: Link, links: readonly Link[]): boolean {
  if (link.alias.startsWith(ALIAS_PREFIX)) return true;
  const master = link.master === null ? undefined : links.find(({ index }) => index === link.master);
  return master?.alias.startsWith(ALIAS_PREFIX) ?? false;
}

const RANK_DEFAULT_ROUTE = 0;
const RANK_HARDWARE = 1;
const RANK_STACKED = 2;
const RANK_VIRTUAL = 3;
const RANK_BRIDGE = 4;

function rankOf({ index, kind }: Link, routes: readonly Route[]): number {
  const hasDefault = routes.some(
    ({ dst, type, ...route }) =>
      dst.prefix === 0 &&
      type === 'unicast' &&
      (route.index === index || route.nextHops.some((hop) => hop.index === index)),
  );
  if (hasDefault) return RANK_DEFAULT_ROUTE;
  if (kind === null) return RANK_HARDWARE;
  if (kind === 'bridge') return RANK_BRIDGE;
  return ['bond', 'team', 'vlan', 'macvlan', 'ipvlan'].includes(kind) ? RANK_STACKED : RANK_VIRTUAL;
}

function isUsable({ ip, tentative, dadFailed, deprecated }: Address): boolean {
  return !tentative && !dadFailed && !deprecated && !isUnreachable(ip);
}

function isUnreachable(ip: IpAddress): boolean {
  return UNREACHABLE.some((block) => cidrHasIp(block, ip));
}

/** Privacy addresses (RFC 8981) change within a day. */
function privacy({ ip, secondary }: Address): number {
  return ip.family === 6 && secondary ? 1 : 0;
}
