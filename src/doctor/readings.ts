// What doctor knows of a host, as values: gathered by src/host/doctor and the daemon, judged by the checks beside this file.
// Null stands for what could not be read or does not apply, never for a guess.

import type { AeadCipher } from '../base/capabilities.ts';

export interface Readings {
  readonly machine: MachineReading;
  readonly underlay: UnderlayReading;
  /** Null: nft could not be run. */
  readonly packetFilter: PacketFilterReading | null;
  /** Null: no daemon answers. */
  readonly daemon: DaemonReading | null;
  readonly peers: readonly PeerReading[];
}

/** The kernel's table of ARP (4) or ND (6) entries, all network namespaces together. */
export interface NeighbourTableReading {
  readonly family: 4 | 6;
  readonly entries: number;
  /** gc_thresh3. */
  readonly entriesMax: number;
  /** Entries that found no room since boot: each is a packet that was not sent. */
  readonly refused: number;
}

export interface MachineReading {
  readonly kernelRelease: string;
  /** Names of the capabilities that fabric needs and this process lacks; empty for root. */
  readonly missingCapabilities: readonly string[];
  /** Of the kernel modules that fabric needs, those that are neither loaded nor to be had. */
  readonly missingModules: readonly string[];
  /** /dev/net/tun can be opened. */
  readonly hasTun: boolean;
  readonly hasIpv6: boolean;
  /** /proc/sys is mounted read-only. */
  readonly sysctlReadOnly: boolean;
  /** Of those that can be seen from here. */
  readonly neighbourTables: readonly NeighbourTableReading[];
  /** Why nft can't be used, in words; null when it can. */
  readonly nftFault: string | null;
  /** The processor has instructions for AES. */
  readonly hasAes: boolean;
  /** What one core seals, in bits per second. */
  readonly sealBitsPerSecond: Readonly<Record<AeadCipher, number>>;
}

export interface UnderlayInterface {
  readonly name: string;
  readonly mtu: number;
  /** Offloads that are off. */
  readonly offloadsOff: readonly string[];
}

/** An address that two machines of the underlay use. */
export interface DuplicateAddress {
  readonly ip: string;
  readonly ifname: string;
  /** Who else answers for it; null: the kernel's own detection found it (RFC 4862 §5.4). */
  readonly mac: string | null;
}

export interface PortHolder {
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  /** The program, as people call it. */
  readonly holder: string;
}

export interface UnderlayReading {
  /** Those with an address that peers may reach, best first. */
  readonly interfaces: readonly UnderlayInterface[];
  /** Others' routes within or around the overlay's ranges, as `CIDR dev NAME`. */
  readonly overlappingRoutes: readonly string[];
  readonly duplicates: readonly DuplicateAddress[];
  /** Interfaces of fabric's whose reverse path filter is strict. */
  readonly strictReversePath: readonly string[];
  /** Of the ports that fabric needs, those that other programs hold. Empty while a daemon runs. */
  readonly takenPorts: readonly PortHolder[];
}

/** A chain of others as `FAMILY TABLE CHAIN`. */
export type ChainName = string;

export interface PacketFilterReading {
  /** Both of fabric's tables are there. */
  readonly hasOwnTables: boolean;
  /** Chains of others that drop what is forwarded, without fabric's accept rules. */
  readonly forwardDrops: readonly ChainName[];
  /** Chains of others that drop what comes to this host and let the named protocol of our port through nowhere. */
  readonly inputDrops: readonly { readonly chain: ChainName; readonly protocol: 'TCP' | 'UDP' }[];
  /** Tables that iptables-legacy made: nft neither shows nor changes them. */
  readonly legacyDrops: readonly string[];
  /** Bridged frames pass the chains of iptables. */
  readonly bridgeNetfilter: boolean;
}

export interface ProblemReading {
  readonly code: string;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

/** What doctor needs of `GET /v1/status`: src/daemon/status-types.ts has it all. */
export interface StatusReading {
  readonly health: {
    readonly problems: readonly ProblemReading[];
    readonly notices: readonly ProblemReading[];
  };
  readonly self: { readonly id: string; readonly nickname: string; readonly clusterId: string | null };
  readonly datapath: {
    readonly name: string;
    readonly reason: string | null;
    readonly lacks: readonly string[];
    readonly mtu: number | null;
  };
  readonly networks: readonly { readonly range: string; readonly range6: string | null; readonly bridge: string }[];
  readonly peers: readonly {
    readonly id: string;
    readonly nickname: string;
    readonly endpoint: string | null;
    readonly state: 'alive' | 'suspect' | 'dead';
    readonly lastSeenMs: number | null;
  }[];
  readonly tunnels: readonly {
    readonly peer: string;
    readonly nickname: string;
    readonly state: string;
    readonly mtu: number | null;
    readonly reason: string | null;
  }[];
  readonly leases: readonly {
    readonly cidr: string;
    readonly peer: string;
    readonly used: number | null;
    readonly size: number;
    readonly state: string;
    /** RFC 3339; of a dead host: from then on the voters may give the block to another one. Null: they do not. */
    readonly expiresAt: string | null;
  }[];
  readonly targets: readonly { readonly host: string; readonly error: string | null }[];
}

export interface DaemonReading {
  readonly status: StatusReading;
  /** TCP and UDP port of mesh and tunnels. */
  readonly port: number;
}

/** What a peer and this host found out about the path between them, live. */
export interface PeerReading {
  readonly id: string;
  readonly nickname: string;
  /** Where it is reached: an address without port. */
  readonly ip: string;
  readonly port: number;
  /** A link of the mesh leads there. */
  readonly linked: boolean;
  /** A TCP connection of ours: null when it stands, else why not. Undefined: not tried. */
  readonly tcpOutFault: string | null | undefined;
  /** What the peer says of its own connection to us; undefined: it was not asked, or did not answer. */
  readonly tcpInFault: string | null | undefined;
  /** The peer heard our datagrams; null: nobody knows. */
  readonly udpOut: boolean | null;
  /** We heard its datagrams; null: nobody knows. */
  readonly udpIn: boolean | null;
  /** The peer's wall clock less ours, in milliseconds, with an error of at most `clockErrorMs`. */
  readonly clockSkewMs: number | null;
  readonly clockErrorMs: number | null;
  /** The nickname of the host by which its tunnel goes; null: it goes directly, or there is none. */
  readonly relay: string | null;
  /**
   * Largest packet that the tunnel's probes found to pass, bytes; null: no session, or by a relay, which says nothing of the path
   * between.
   */
  readonly tunnelMtu: number | null;
  readonly icmp: PathReading;
}

/** What ICMP echo says about the path. */
export interface PathReading {
  /** Round trip of a small packet; null: no answer. */
  readonly rttMs: number | null;
  /** The size that was tried: our interface's MTU, bytes. */
  readonly triedBytes: number;
  /** `passes`: it came back. `too-big`: a router said so. `lost`: a small one came back, the large one did not. */
  readonly verdict: 'passes' | 'too-big' | 'lost' | 'unknown';
  /** What the router said fits; null unless `too-big`. */
  readonly mtu: number | null;
}
