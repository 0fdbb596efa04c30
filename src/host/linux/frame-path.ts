// What the kernel would do with a frame on this host, for `fabric trace`: the port that it enters by, the bridge's entry for its
// destination, the port that leads to other hosts, and the route of the datagram around it. Reads by rtnetlink, changes nothing.

import { cidrHasIp, formatCidr, formatIp, type IpAddress, parseIp } from '../../base/address.ts';
import type { Mac } from '../../base/ids.ts';
import type { FdbEntry, Link, Route } from '../netlink/objects.ts';
import { Rtnetlink } from '../netlink/rtnetlink.ts';
import { networkInterfaces } from './names.ts';

export interface FramePathQuestion {
  readonly bridge: string;
  /** The port of the sender. */
  readonly portName: string;
  readonly destination: Mac;
  /** Where the datagram goes; null: to no other host. */
  readonly endpointIp: string | null;
}

export interface PortState {
  readonly name: string;
  /** What keeps frames from passing it, in words; null: nothing. */
  readonly fault: string | null;
}

export interface FramePath {
  readonly port: PortState;
  /** The bridge's entry for the destination; null: none, so that it floods. */
  readonly entry: { readonly portName: string; readonly state: FdbEntry['state'] } | null;
  /** The datapath's port. */
  readonly overlayPort: PortState;
  /** By which the datagram leaves; null: there is none. */
  readonly route: {
    readonly dst: string;
    readonly ifname: string;
    readonly gateway: string | null;
    readonly mtu: number;
  } | null;
}

export async function readFramePath({
  bridge,
  portName,
  destination,
  endpointIp,
}: FramePathQuestion): Promise<FramePath> {
  const netlink = Rtnetlink.open();
  try {
    const [links, routes] = await Promise.all([netlink.listLinks(), netlink.listRoutes()]);
    const bridgeIndex = links.find(({ name }) => name === bridge)?.index ?? null;
    const entries = bridgeIndex === null ? [] : await netlink.listFdb({ bridge: bridgeIndex });
    const entry = entries.find(({ mac, master }) => mac === destination && master === bridgeIndex);
    const endpoint = endpointIp === null ? null : parseIp(endpointIp);
    return {
      port: portState(links, portName, bridge),
      entry:
        entry === undefined
          ? null
          : { portName: links.find(({ index }) => index === entry.index)?.name ?? '', state: entry.state },
      overlayPort: portState(links, networkInterfaces(bridge).portNear, bridge),
      route: endpoint === null ? null : routeTo(endpoint, links, routes),
    };
  } finally {
    netlink.close();
  }
}

/** One port of the bridge, as it is now. */
export async function readPortState(bridge: string, name: string): Promise<PortState> {
  const netlink = Rtnetlink.open();
  try {
    return portState(await netlink.listLinks(), name, bridge);
  } finally {
    netlink.close();
  }
}

/** In the order in which it keeps frames back. */
export function portState(links: readonly Link[], name: string, bridge: string): PortState {
  const link = links.find((each) => each.name === name);
  const master = links.find(({ index }) => index === link?.master);
  const fault = ((): string | null => {
    if (link === undefined) return `there is no interface ${name}`;
    if (!link.up) return `${name} is down`;
    if (!link.carrier) return `${name} has no carrier: its other end is down or gone`;
    if (master?.name !== bridge) return `${name} is not in the bridge ${bridge}`;
    if (!master.up) return `the bridge ${bridge} is down`;
    return link.portForwards === false ? `the bridge does not forward on ${name}` : null;
  })();
  return { name, fault };
}

/** The longest match, then the smallest metric; rules for other tables than the kernel's first ones are passed over. */
export function routeTo(ip: IpAddress, links: readonly Link[], routes: readonly Route[]): FramePath['route'] {
  const [best] = routes
    .filter(({ dst, table, type }) => cidrHasIp(dst, ip) && TABLES.includes(table) && type === 'unicast')
    .sort((a, b) => b.dst.prefix - a.dst.prefix || a.metric - b.metric);
  if (best === undefined) return null;
  const hop = best.nextHops[0] ?? { index: best.index, gateway: best.gateway };
  const link = links.find(({ index }) => index === hop.index);
  return {
    dst: formatCidr(best.dst),
    ifname: link?.name ?? '',
    gateway: hop.gateway === null ? null : formatIp(hop.gateway),
    mtu: best.mtu ?? link?.mtu ?? 0,
  };
}

/** main and default. */
const TABLES: readonly number[] = [254, 253];
