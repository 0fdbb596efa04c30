// The kernel's network objects as values: what rtnetlink calls take and what dumps give. Interfaces are known by index
// inside one namespace; times are milliseconds; addresses are the values of src/base.

import type { Cidr, Family, IpAddress } from '../../base/address.ts';
import type { Mac } from '../../base/ids.ts';

/** The rtm_protocol of every route that fabric makes, so that they are recognised (`ip route show proto 102`). */
export const ROUTE_PROTOCOL = 0x66;
export const ROUTE_TABLE_MAIN = 254;

/** An interface by index or, where a message allows it, by name. */
export type LinkRef = number | string;

/** IFLA_BRPORT_* of a bridge port. */
export interface BridgePortFlags {
  readonly learning: boolean;
  readonly unicastFlood: boolean;
  readonly multicastFlood: boolean;
  readonly broadcastFlood: boolean;
  readonly isolated: boolean;
  readonly locked: boolean;
  readonly hairpin: boolean;
  readonly neighSuppress: boolean;
}

/** IFLA_BR_* of a bridge. */
export interface BridgeOptions {
  readonly ageingMs: number;
  readonly forwardDelayMs: number;
  readonly stp: boolean;
  readonly vlanFiltering: boolean;
  readonly multicastSnooping: boolean;
  /** Bit x: forward 01:80:c2:00:00:0x. The kernel refuses bits 0 to 2. */
  readonly groupForwardMask: number;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Null on interfaces without a 6-byte address. */
  readonly mac: Mac | null;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Has a carrier (IFF_LOWER_UP). */
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** False: IFF_NOARP. */
  readonly arp: boolean;
  /** `veth`, `bridge`, …; null on hardware. */
  readonly kind: string | null;
  /** Index of the bridge or other master; null: none. */
  readonly master: number | null;
  readonly alias: string;
  /** IFLA_LINK: of a veth the peer's index, in the namespace of `peerNamespaceId`; null: none. */
  readonly peerIndex: number | null;
  /** The kernel's id of the peer's namespace as seen from here; null: this one. */
  readonly peerNamespaceId: number | null;
  /** False: the kernel makes no IPv6 link-local address of its own (addrgenmode none); null: IPv6 is off. */
  readonly addressGeneration: boolean | null;
  readonly txQueues: number;
  readonly rxQueues: number;
  /** Longest superframe of IPv4 that the interface takes whole, bytes; null: the kernel has one limit for all (before 6.3). */
  readonly gsoIpv4BytesMax: number | null;
  /** On ports of a bridge. */
  readonly port: BridgePortFlags | null;
  /** On ports of a bridge: the port forwards, as far as its spanning tree state says; null elsewhere. */
  readonly portForwards: boolean | null;
  /** On bridges. */
  readonly bridge: BridgeOptions | null;
  /** On VXLAN devices; null also on one that learns. */
  readonly vxlan: VxlanOptions | null;
}

/** What can be set on an existing link; an absent key is left as it is. */
export interface LinkSettings {
  /** A new name, at most 15 bytes. */
  readonly name?: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  /** At most 255 bytes; empty removes it. */
  readonly alias?: string;
  readonly up?: boolean;
  /** False sets IFF_NOARP. */
  readonly arp?: boolean;
  /** Index of the bridge; null takes it out of its master. */
  readonly master?: number | null;
  /** A number by which several links can be meant at once; 0 is the group of all that have no other. */
  readonly group?: number;
  /** False: addrgenmode none; true: EUI-64. */
  readonly addressGeneration?: boolean;
  /** Up to 524,280 on a veth. Ignored by kernels that have no such limit. */
  readonly gsoIpv4BytesMax?: number;
  /** Moves the link into that network namespace; the descriptor stays open until the call ends. */
  readonly namespaceFd?: number;
}

/** One end of a new veth pair. */
export interface VethEnd {
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly arp?: boolean;
  /** Numbers of queues; the kernel's default is one per CPU. */
  readonly txQueues?: number;
  readonly rxQueues?: number;
  /** As in LinkSettings. */
  readonly gsoIpv4BytesMax?: number;
}

export interface VethConfig extends VethEnd {
  /** Of this end only: the kernel refuses to create the peer up. */
  readonly up?: boolean;
  /** Set in the same request. */
  readonly master?: number;
  /** Set by a second request before the call ends. */
  readonly alias?: string;
  readonly addressGeneration?: boolean;
  /** The peer is created directly in the namespace of `namespaceFd`, or beside the first end. */
  readonly peer: VethEnd & { readonly namespaceFd?: number };
}

export interface BridgeConfig extends Partial<BridgeOptions> {
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly alias?: string;
  readonly up?: boolean;
  readonly addressGeneration?: boolean;
}

/** IFLA_VXLAN_* of a VXLAN device with an FDB of static entries (RFC 7348): it learns nothing and never fragments. */
export interface VxlanOptions {
  /** 0 to 2^24 - 1. */
  readonly vni: number;
  /** UDP port, here and there. */
  readonly port: number;
  /** Source address of what it sends; null: as the routes to the remotes say. */
  readonly local: IpAddress | null;
}

export interface VxlanConfig extends VxlanOptions {
  readonly name: string;
  /** Of the underlay; the kernel does not show it of a device without a local address. */
  readonly family: Family;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly alias?: string;
  readonly up?: boolean;
  readonly addressGeneration?: boolean;
}

/** A number is any other value of rtnetlink's. */
export type Scope = 'global' | 'site' | 'link' | 'host' | 'nowhere' | number;

export interface AddressConfig {
  readonly index: number;
  readonly ip: IpAddress;
  readonly prefix: number;
  /** `global` by default; the kernel derives it for IPv6. */
  readonly scope?: Scope;
  /** IPv6: usable at once, no duplicate address detection. */
  readonly noDad?: boolean;
  /** No connected route for the prefix. */
  readonly noPrefixRoute?: boolean;
}

export interface Address {
  readonly index: number;
  readonly ip: IpAddress;
  readonly prefix: number;
  readonly scope: Scope;
  readonly noDad: boolean;
  readonly noPrefixRoute: boolean;
  /** False: it has a lifetime (DHCP, router advertisement). */
  readonly permanent: boolean;
  readonly tentative: boolean;
  readonly dadFailed: boolean;
  readonly deprecated: boolean;
  /** An IPv6 privacy address; on IPv4 a secondary one. */
  readonly secondary: boolean;
}

export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | number;

export interface RouteConfig {
  /** The default route is prefix 0. */
  readonly dst: Cidr;
  readonly gateway?: IpAddress;
  readonly index?: number;
  readonly preferredSource?: IpAddress;
  /** `link` without gateway, else `global`; means nothing for IPv6. */
  readonly scope?: Scope;
  /** Default: main. */
  readonly table?: number;
  /** Smaller wins. The kernel's default is 0 for IPv4, 1024 for IPv6. */
  readonly metric?: number;
  /** The gateway is on the link even if no address says so. */
  readonly onlink?: boolean;
  readonly mtu?: number;
  /** The TCP segment size that connections over it announce, bytes (RTAX_ADVMSS). */
  readonly advertisedSegment?: number;
  /** Default: {@link ROUTE_PROTOCOL}. */
  readonly protocol?: number;
  /** Default: `unicast`. */
  readonly type?: RouteType;
}

/** What selects the route to delete; keys that are absent match anything, except the table (main) and `protocol` (ours). */
export type RouteKey = Pick<RouteConfig, 'dst' | 'gateway' | 'index' | 'table' | 'metric'> & {
  /** Null: any. Default: {@link ROUTE_PROTOCOL}. */
  readonly protocol?: number | null;
};

export interface Route {
  readonly dst: Cidr;
  readonly gateway: IpAddress | null;
  /** Null with several next hops. */
  readonly index: number | null;
  readonly preferredSource: IpAddress | null;
  readonly scope: Scope;
  readonly table: number;
  readonly metric: number;
  readonly onlink: boolean;
  readonly mtu: number | null;
  readonly protocol: number;
  readonly type: RouteType;
  /** The further ways of a multipath route, its first among them; empty on others. */
  readonly nextHops: readonly { readonly index: number; readonly gateway: IpAddress | null }[];
}

export interface RouteFilter {
  readonly family?: Family;
  readonly table?: number;
  readonly protocol?: number;
  /** Of the outgoing interface. */
  readonly index?: number;
}

export interface NeighbourConfig {
  readonly index: number;
  readonly ip: IpAddress;
  readonly mac: Mac;
}

export interface Neighbour {
  readonly index: number;
  readonly ip: IpAddress;
  /** Null while unresolved. */
  readonly mac: Mac | null;
  readonly permanent: boolean;
  /** NUD_* bits. */
  readonly state: number;
}

/** `bridge fdb … master`: a static entry of the bridge; `self`: in the table of the device itself. */
export interface FdbConfig {
  /** The port. */
  readonly index: number;
  readonly mac: Mac;
  /** Default: `master`. */
  readonly where?: 'master' | 'self';
  /** Of a VXLAN device's own table: the host behind which the MAC is. */
  readonly remote?: IpAddress;
}

export interface FdbEntry {
  readonly index: number;
  readonly mac: Mac;
  /** The bridge; null for entries of a device's own table. */
  readonly master: number | null;
  readonly vlan: number | null;
  /** In a VXLAN device's own table: the host behind which the MAC is; of several the last. */
  readonly remote: IpAddress | null;
  /** `static`: ours stays; `permanent`: an address of the bridge or port itself; `learned`: ages. */
  readonly state: 'static' | 'permanent' | 'learned';
}

/** What a watched namespace tells. After `overrun` messages are missing: dump again. */
export type NetlinkEvent =
  | { readonly kind: 'link'; readonly deleted: boolean; readonly link: Link }
  /** A link became, changed or ceased to be (deleted) a port of a bridge. */
  | { readonly kind: 'bridge-port'; readonly deleted: boolean; readonly index: number; readonly master: number | null }
  | { readonly kind: 'address'; readonly deleted: boolean; readonly address: Address }
  | { readonly kind: 'route'; readonly deleted: boolean; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly deleted: boolean; readonly neighbour: Neighbour }
  | { readonly kind: 'fdb'; readonly deleted: boolean; readonly entry: FdbEntry }
  | { readonly kind: 'overrun' }
  | { readonly kind: 'failed'; readonly why: string };
