// Everything that fabric keeps in the Linux kernel of one host, as one port: bridge, gateway, host access, container
// interfaces, routes, nftables and sysctls. The daemon says what shall be; the implementation (src/host/linux) makes it so
// by rtnetlink and nftables, idempotently, and puts it back when someone deletes it.

import type { Cidr, Family } from '../base/address.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { RouteAttributes } from '../base/route-attributes.ts';

export interface OverlayNetworkConfig {
  readonly network: Vni;
  /** The host has no address, no route and no forwarding in it; `gateway` is nobody's all the same. */
  readonly internal: boolean;
  /** Interface name of the bridge, at most 15 bytes. */
  readonly bridge: string;
  readonly range: Cidr;
  readonly range6: Cidr | null;
  /** Gateway addresses, canonical text. */
  readonly gateway: string;
  readonly gateway6: string | null;
  /** The anycast MAC of every host's bridge device. */
  readonly gatewayMac: Mac;
  readonly mtu: number;
}

/** The host's own place in the overlay: a veth `host0` with its other end in the bridge. */
export interface HostAccess {
  readonly mac: Mac;
  readonly ip: string;
  readonly ip6: string | null;
}

export interface ForeignAddress {
  readonly ip: string;
  readonly prefix: number;
  /** Null: the network's. */
  readonly gateway: string | null;
}

export interface ContainerRouteConfig extends RouteAttributes {
  /** A CIDR block. */
  readonly dst: string;
  /** Null: by the network's gateway. */
  readonly gw: string | null;
}

/** As it was set. */
export interface ContainerRoute extends RouteAttributes {
  readonly dst: string;
  readonly gw: string;
}

export interface ContainerInterfaceConfig {
  readonly network: Vni;
  /**
   * Descriptor of the container's network namespace, open in this process as long as the call runs. Null: the runtime will move
   * the interface; until then it lies in the host's namespace, down and without addresses.
   */
  readonly namespaceFd: number | null;
  readonly ifname: string;
  readonly hostIfname: string;
  readonly mac: Mac;
  /** Addresses without prefix length. */
  readonly ips: readonly string[];
  /** Those of `ips` that a foreign IPAM plugin chose, with the prefix length and gateway that it gave them. */
  readonly foreign: readonly ForeignAddress[];
  readonly defaultRoute: boolean;
  readonly routes: readonly ContainerRouteConfig[];
  /** Say by ARP and neighbour advertisement that the addresses are here, for those who know them by another MAC; absent: no. */
  readonly announce?: boolean;
}

export interface Removal {
  /**
   * Resolves when the kernel has freed both ends of the interface, some 20 ms later; until then the container's end and its
   * routes stand in the namespace. Never rejects. Whoever is killed before is made up for by the next {@link HostNetwork.ensure}.
   */
  readonly gone: Promise<void>;
}

/** What the kernel shows of one container interface's host end. */
export interface ContainerPort {
  readonly hostIfname: string;
  readonly ifindex: number;
  readonly up: boolean;
  /** True when the veth's peer still exists. */
  readonly alive: boolean;
}

/** What kernel VXLAN (RFC 7348) shall do on this host; everything that it leaves out is taken away. */
export interface VxlanPlan {
  /** Of the underlay: devices stand for these. */
  readonly families: readonly Family[];
  /** Source address of our packets, canonical text; null: as the host's routes say. */
  readonly local: string | null;
  /** MAC of our probe devices. */
  readonly probeMac: Mac;
  /** Whose packets are let in, and where probes to them go. Canonical text. */
  readonly peers: readonly { readonly ip: string; readonly probeMac: Mac }[];
  /** Unicast that leaves by VXLAN, and to which host. Of MACs on this host's own ports it changes nothing. */
  readonly paths: ReadonlyMap<Mac, string>;
}

/** Says where MACs live, for the guard against loops. */
export interface LoopWitness {
  /** The other host on which a container, or that host itself, has this MAC; null when nothing like that is known. */
  livesOn(mac: Mac): PeerId | null;
}

/** A port of the bridge that others put there and that does not forward. */
export interface BlockedPort {
  readonly ifname: string;
  /** Which frame gave it away, and whose; null when it was found blocked. */
  readonly mac: Mac | null;
  readonly peer: PeerId | null;
}

/** How the datapath is connected to the bridge. */
export type DatapathPortKind = 'veth' | 'tap';

export interface DatapathPort {
  /** The interface that the datapath opens. */
  readonly portName: string;
  /** The longest superframe of TCP over IPv4 that all member ports take whole, bytes; absent: as a packet's length field, 65,535. */
  readonly tcp4SuperframeBytes?: number;
}

export interface HostNetwork {
  /**
   * Creates or repairs bridge, gateway, sysctls, nftables and the datapath's port; ends removals under way; idempotent. The same
   * for the networks `further`; bridges of ours that are of none of these go, with all their ports.
   */
  ensure(config: OverlayNetworkConfig, further?: readonly OverlayNetworkConfig[]): Promise<void>;
  /** One more network, after {@link ensure}; idempotent. */
  addNetwork(config: OverlayNetworkConfig): Promise<void>;
  /** Takes a network of {@link addNetwork} away; idempotent. No container is in it any more. */
  removeNetwork(network: Vni): Promise<void>;
  /** The interface that the datapath opens for a network of {@link addNetwork}; null when there is none yet. */
  datapathPortOf(network: Vni): string | null;
  /**
   * The datapath's isolated flooding bridge port. `veth`, for pcap: a pair whose near end is the port, with offloads off; returns
   * the name of the far end, which carries no address and answers nothing. `tap`, for the engine: a persistent TAP; returns
   * its name. One takes the other's place, also in the networks of {@link addNetwork}. Idempotent.
   */
  ensureDatapathPort(kind: DatapathPortKind): Promise<DatapathPort>;
  /**
   * Kernel VXLAN beside the datapath's port: devices, forwarding entries, and UDP 8472 closed to all but the plan's peers. Null
   * takes it all away, as it is before the first call. Returns the names of the probe devices. Idempotent; when it rejects
   * (`kernel-feature-missing`, `netlink`, `nftables`), nothing of it is there.
   */
  applyVxlan(plan: VxlanPlan | null): Promise<{ readonly probes: ReadonlyMap<Family, string> }>;
  /** The host's own place as it stands: of {@link exposeHost}, or of a daemon before, which {@link ensure} keeps; null: none. */
  readonly exposed: HostAccess | null;
  exposeHost(access: HostAccess): Promise<void>;
  hideHost(): Promise<void>;
  /**
   * Creates the veth pair, moves one end into the namespace, sets MAC, addresses, routes, MTU, port flags, FDB entry, host
   * routes and anti-spoof elements. Rolls back when a step fails. Rejects with `interface-exists`, `netlink`, ….
   */
  addContainer(config: ContainerInterfaceConfig): Promise<{
    readonly hostMac: Mac;
    readonly bridgeMac: Mac;
    readonly routes: readonly ContainerRoute[];
  }>;
  /**
   * Gives addresses, routes and what the port may send to an interface that {@link addContainer} made without addresses. When
   * it rejects, {@link removeContainer} with the same addresses takes everything away.
   */
  addressContainer(config: ContainerInterfaceConfig): Promise<{ readonly routes: readonly ContainerRoute[] }>;
  /**
   * Idempotent; removes interface, routes, FDB and anti-spoof elements. Resolves once the interface is down and off the bridge
   * and all else is gone.
   */
  removeContainer(port: {
    /** Null when no attachment knows the interface any more. */
    readonly network: Vni | null;
    readonly hostIfname: string;
    /** Null when no attachment knows the interface any more: elements are then found by the interface's name. */
    readonly mac: Mac | null;
    readonly ips: readonly string[];
  }): Promise<Removal>;
  /** Differences between the configuration and what kernel and namespace show; empty when all is well. */
  checkContainer(config: ContainerInterfaceConfig): Promise<readonly string[]>;
  /** All container ports that carry our name, also one that is off its bridge, as when somebody has deleted that. */
  listContainerPorts(): Promise<readonly ContainerPort[]>;
  /** Puts port flags, FDB, routes and anti-spoof elements of a live container back after a restart. */
  adoptContainer(port: {
    readonly network: Vni;
    readonly hostIfname: string;
    readonly mac: Mac;
    readonly ips: readonly string[];
  }): Promise<void>;
  /** Calls `changed` (coalesced) when one of our objects was deleted or altered by others, or a container port vanished. */
  watch(changed: () => void): Promise<void>;
  /**
   * From now on a foreign port of the bridge on which a frame of another host's MAC enters is blocked, with an event in the
   * log: it leads round the overlay and back. Called once, before {@link watch}.
   */
  guardAgainstLoops(witness: LoopWitness): Promise<void>;
  /** Foreign ports of the bridge that are blocked now. */
  blockedPorts(): readonly BlockedPort[];
  /** Routes of the host that overlap the range, other than ours, as `CIDR dev NAME`; for the launch check. */
  overlappingRoutes(range: Cidr): Promise<readonly string[]>;
  /** Addresses of the host that peers may reach, best first, canonical text; never loopback, link-local or ours. */
  underlayAddresses(): Promise<readonly { readonly ip: string; readonly mtu: number }[]>;
  /** Stops watching, ends removals under way; leaves the kernel as it is (for `stop`). */
  close(): Promise<void>;
  /** Removes everything we made and restores the sysctls that we changed (for `reset`). */
  remove(): Promise<void>;
}
