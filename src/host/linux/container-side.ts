// The container's end of its veth: addresses with the network's prefix, routes, and no ear for router advertisements
// (CVE-2020-10749). An address of a foreign IPAM plugin has that plugin's prefix, so that the gateway may lie outside of it:
// its routes say that it is on the link all the same. Works through a netlink socket that was opened in the container's
// namespace; other interfaces and routes of the container are never touched, and a default route is added only where its
// family has none.

import {
  type Cidr,
  cidrHasIp,
  cidrOf,
  type Family,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
  parseIp,
} from '../../base/address.ts';
import { assert, FabricError } from '../../base/errors.ts';
import { attributesOf, type RouteAttributes } from '../../base/route-attributes.ts';
import type { ContainerInterfaceConfig, ContainerRoute, OverlayNetworkConfig } from '../host-network.ts';
import { type Link, ROUTE_TABLE_MAIN, type Route, type RouteConfig } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { sameBlock } from './overlay-bridge.ts';

/**
 * Before the interface is up. Runtimes switch IPv6 off in new namespaces; an IPv6 address says that it is wanted. Nobody else can
 * have the link-local address, which follows from the MAC, so that there is nothing to detect (RFC 4862 §5.4): each question would
 * go to every container.
 */
function quietSysctls({
  ifname,
  ips,
  announce = false,
}: Pick<ContainerInterfaceConfig, 'ifname' | 'ips' | 'announce'>): Readonly<Record<string, string>> {
  const key = (name: string): string => `net/ipv6/conf/${ifname}/${name}`;
  const isWanted = ips.some((ip) => mustParse(ip).family === 6);
  const loud = { [`net/ipv4/conf/${ifname}/arp_notify`]: '1', ...(isWanted ? { [key('ndisc_notify')]: '1' } : {}) };
  const quiet = {
    [key('accept_ra')]: '0',
    [key('accept_dad')]: '0',
    ...(isWanted ? { [key('disable_ipv6')]: '0' } : {}),
  };
  return { ...quiet, ...(announce ? loud : {}) };
}

/**
 * One turn of the pool. `host` is the other end, `present` the routes of before. Resolves with the routes that were set beyond the
 * connected ones.
 */
export async function setUpContainerSide(
  inside: Rtnetlink,
  network: OverlayNetworkConfig,
  config: ContainerInterfaceConfig,
  { host, present }: { readonly host: Link; readonly present: readonly Route[] },
): Promise<readonly ContainerRoute[]> {
  const index = host.peerIndex;
  assert(index !== null, 'a veth has a peer');
  const addresses = config.ips.map(mustParse);
  const routes = wantedRoutes(network, config, addresses, present);
  await Promise.all([
    inside.writeSysctls(quietSysctls(config)),
    inside.setLink(index, { addressGeneration: true, up: true }),
    ...addresses.map((ip) =>
      inside.addAddress({ index, ip, prefix: prefixOf(network, config, ip), noDad: ip.family === 6 }),
    ),
    ...routes.map(({ dst, gateway, attributes }) => {
      const onlink = isForeignGateway(network, config, addresses, gateway);
      return inside.addRoute({ dst, gateway, index, ...(onlink ? { onlink } : {}), ...inKernelWords(attributes) });
    }),
  ]);
  return routes.map(({ dst, gateway, attributes }) => ({
    dst: formatCidr(dst),
    gw: formatIp(gateway),
    ...attributes,
  }));
}

/** Differences inside the namespace, in words. The MTU is left out: plugins behind us may lower it. */
export async function checkContainerSide(
  inside: Rtnetlink,
  network: OverlayNetworkConfig,
  config: ContainerInterfaceConfig,
): Promise<readonly string[]> {
  const link = await inside.getLink(config.ifname);
  if (link === null) return [`the container has no interface ${config.ifname}`];
  const [present, routes] = await Promise.all([inside.listAddresses({ index: link.index }), inside.listRoutes()]);
  const findings: string[] = [];
  if (!link.up) findings.push(`${config.ifname} is down`);
  if (link.mac !== config.mac) findings.push(`${config.ifname} has the MAC ${link.mac}, not ${config.mac}`);
  const addresses = config.ips.map(mustParse);
  for (const ip of addresses) {
    const prefix = prefixOf(network, config, ip);
    const there = present.some((a) => a.ip.family === ip.family && a.ip.value === ip.value && a.prefix === prefix);
    if (!there) findings.push(`${config.ifname} lacks the address ${formatIp(ip)}/${prefix}`);
  }
  // With no routes in sight, all that could be wanted are; a default route of others is as good as ours.
  for (const { dst, attributes } of wantedRoutes(network, config, addresses, [])) {
    const { table = ROUTE_TABLE_MAIN } = attributes;
    if (!routes.some((route) => route.table === table && sameBlock(route.dst, dst)))
      findings.push(`the container has no route to ${formatCidr(dst)}`);
  }
  return findings;
}

interface WantedRoute {
  readonly dst: Cidr;
  readonly gateway: IpAddress;
  readonly attributes: RouteAttributes;
}

/** Throws FabricError `address-invalid` for a route that can't be: malformed, or of a family that the network lacks. */
export function wantedRoutes(
  network: OverlayNetworkConfig,
  config: Pick<ContainerInterfaceConfig, 'defaultRoute' | 'routes' | 'foreign'>,
  addresses: readonly IpAddress[],
  present: readonly Route[],
): readonly WantedRoute[] {
  const wanted: WantedRoute[] = config.routes.map((route) => {
    const { dst, gw } = route;
    const block = parseCidr(dst);
    const gateway = gw === null ? gatewayOf(network, config, block?.family ?? 4) : parseIp(gw);
    if (block === null || gateway === null || gateway.family !== block.family) {
      const what = `can't set the route ${dst}${gw === null ? '' : ` via ${gw}`}`;
      throw new FabricError('address-invalid', {
        what,
        why: 'destination and gateway must be of one family of the network',
      });
    }
    return { dst: block, gateway, attributes: attributesOf(route) };
  });
  if (!config.defaultRoute) return wanted;
  for (const family of [4, 6] as const) {
    const gateway = gatewayOf(network, config, family);
    const dst: Cidr = { family, base: 0n, prefix: 0 };
    const there = [...present, ...wanted.filter(isInMain)].some((route) => sameBlock(route.dst, dst));
    const member = addresses.some((ip) => ip.family === family);
    if (gateway !== null && member && !there) wanted.push({ dst, gateway, attributes: {} });
  }
  return wanted;
}

function isInMain({ attributes: { table = ROUTE_TABLE_MAIN } }: WantedRoute): boolean {
  return table === ROUTE_TABLE_MAIN;
}

function inKernelWords({ mtu, advmss, priority, table, scope }: RouteAttributes): Partial<RouteConfig> {
  return {
    ...(mtu === undefined ? {} : { mtu }),
    ...(advmss === undefined ? {} : { advertisedSegment: advmss }),
    ...(priority === undefined ? {} : { metric: priority }),
    ...(table === undefined ? {} : { table }),
    ...(scope === undefined ? {} : { scope }),
  };
}

type Foreign = Pick<ContainerInterfaceConfig, 'foreign'>;

/** That of the first address whose plugin named one, else the network's; null where the network has none of that family. */
function gatewayOf(
  { internal, gateway, gateway6 }: OverlayNetworkConfig,
  { foreign }: Foreign,
  family: Family,
): IpAddress | null {
  const named = foreign.map((address) => (address.gateway === null ? null : mustParse(address.gateway)));
  const own = named.find((ip) => ip?.family === family);
  if (own !== undefined && own !== null) return own;
  if (internal) return null;
  if (family === 4) return mustParse(gateway);
  return gateway6 === null ? null : mustParse(gateway6);
}

function prefixOf({ range, range6 }: OverlayNetworkConfig, { foreign }: Foreign, ip: IpAddress): number {
  const given = foreign.find((address) => address.ip === formatIp(ip));
  if (given !== undefined) return given.prefix;
  if (ip.family === 4) return range.prefix;
  assert(range6 !== null, 'an IPv6 address of ours is given only where the network has an IPv6 range');
  return range6.prefix;
}

/**
 * Whether a foreign plugin's gateway lies outside of all prefixes of the interface: the kernel takes it only when the route says
 * `onlink`. In our own network such a gateway is a mistake, which the kernel shall refuse.
 */
function isForeignGateway(
  network: OverlayNetworkConfig,
  config: Foreign,
  addresses: readonly IpAddress[],
  gateway: IpAddress,
): boolean {
  const hasForeign = config.foreign.some(({ ip }) => mustParse(ip).family === gateway.family);
  return hasForeign && !addresses.some((ip) => cidrHasIp(cidrOf(ip, prefixOf(network, config, ip)), gateway));
}

/** Addresses were parsed when they were chosen: anything else is a bug. */
function mustParse(text: string): IpAddress {
  const ip = parseIp(text);
  assert(ip !== null, `IP address: ${text}`);
  return ip;
}
