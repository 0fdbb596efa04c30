// The contract between the control side of the tunnels and whatever moves frames. A datapath owns the bridge port, the UDP
// socket and the session keys; it is told tables and keys, and reports events. Its implementations all pass
// test/router/datapath-contract.ts. Calls are synchronous commands: they take effect in order, before any later frame is looked
// up; none waits for I/O and none throws for input from outside.

import type { AeadCipher } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { TunnelPath } from './tunnel-path.ts';

export type DatapathName = 'pcap' | 'engine' | 'vxlan';

export interface DatapathOptions {
  /** This host: relayed datagrams for it end here. */
  readonly self: PeerId;
  /** The interface that the datapath reads and injects frames of `network` on (pcap: the far end of the port veth). */
  readonly portName: string;
  readonly network: Vni;
  /** Local address and port of the UDP socket; `::` is dual stack. */
  readonly listen: Endpoint;
  /** Overlay MTU: the largest packet (L3) that a frame on the port carries, in bytes. */
  readonly mtu: number;
  /** Underlay MTU assumed for a peer before {@link Datapath.setPathMtu}, in bytes. */
  readonly pathMtu: number;
  /** The anycast MAC of the bridge: frames from or to it never cross. */
  readonly gatewayMac: Mac;
  /** Gateway addresses (canonical text): ARP and ND for them never cross. */
  readonly gatewayIps: readonly string[];
}

/** Keys of one established session. The datapath takes the arrays over and zeroes them when the session is removed. */
export interface SessionKeys {
  readonly peer: PeerId;
  /** Receiver index in datagrams to us: 1 to 2^32 - 1, unique on this host while the session lives. */
  readonly localIndex: number;
  /** Receiver index in datagrams that we send. */
  readonly remoteIndex: number;
  readonly cipher: AeadCipher;
  /** 32 bytes each. */
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** Without them the session ends with this control side. */
  readonly facts?: SessionFacts;
}

/** What a later control side must know of a session to go on with it; times are Clock.monotonicMs. */
export interface SessionFacts {
  /** We initiated it. */
  readonly initiator: boolean;
  readonly createdMs: number;
  readonly pathMtu: number;
  /** Bit set that the peer told. */
  readonly capabilities: number;
}

/** A session that a datapath kept alive while it had no control side. Its keys are where they were. */
export interface LastingSession extends SessionFacts {
  readonly peer: PeerId;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly cipher: AeadCipher;
  /** Offered and not sent on yet; sent on; only received on. */
  readonly role: 'next' | 'current' | 'previous';
  /** Its first valid data has arrived. */
  readonly confirmed: boolean;
  /** It neared its counter limit. */
  readonly exhausted: boolean;
  readonly path: TunnelPath | null;
}

/** What a datapath that outlives its control side can do beside. */
export interface Lasting {
  /** After start: what lived on since the control side before this one, oldest first; empty in a fresh datapath. */
  adoptable(): readonly LastingSession[];
  /** As applyTables; whatever an earlier control side left in the tables goes in the same step. */
  replaceTables(changes: readonly TableChange[]): void;
  /** Instead of stop: resolves when all calls before have taken effect. Frames go on until keys are over. */
  release(): Promise<void>;
}

/**
 * A change of the forwarding tables. Absent entries are no error, repeats are idempotent. Changes of a network that this host
 * has no part in are passed over: the network's own comes first.
 */
export type TableChange =
  /**
   * This host has a part in the network: its frames enter and leave by the interface `portName`, which is there. The network of
   * {@link DatapathOptions} needs no such change and takes none. Its overlay MTU is that of the options.
   */
  | {
      readonly kind: 'network';
      readonly network: Vni;
      readonly portName: string;
      readonly gatewayMac: Mac;
      /** Canonical text; empty: it has no gateway. */
      readonly gatewayIps: readonly string[];
    }
  /** From now on frames of the network are dropped as `network-unknown`; its port is let go of. */
  | { readonly kind: 'network-gone'; readonly network: Vni }
  /** Unicast to `mac` goes to `to`; `local` means that its port is on our bridge. */
  | { readonly kind: 'mac'; readonly network: Vni; readonly mac: Mac; readonly to: PeerId | 'local' }
  | { readonly kind: 'mac-gone'; readonly network: Vni; readonly mac: Mac }
  /** ARP and ND questions for `ip` (canonical text) are answered with `mac`, unless `mac` is local. */
  | { readonly kind: 'neighbour'; readonly network: Vni; readonly ip: string; readonly mac: Mac }
  | { readonly kind: 'neighbour-gone'; readonly network: Vni; readonly ip: string }
  /** The peers that get a copy of each broadcast, unknown-unicast and multicast frame of the network. */
  | { readonly kind: 'flood'; readonly network: Vni; readonly peers: readonly PeerId[] };

export interface DatapathEvents {
  /**
   * A datagram that is no data of a known session (types handshake initiation, response, cookie; anything else is counted
   * and dropped). `datagram` is a copy that the receiver may keep.
   */
  handshake(datagram: Uint8Array, from: TunnelPath): void;
  /** A frame waits for a peer that has no session to send on; repeated at most once per peer and second. */
  sessionWanted(peer: PeerId): void;
  /**
   * What is relayed lacks a direct session with this peer: the relay that it would go to, or its destination. Repeated at most once per
   * peer and second, and ten times a second for peers that the datapath knows nothing of.
   */
  relayWanted(peer: PeerId): void;
  /** The first valid data datagram of this session arrived (key confirmation for the responder). */
  sessionConfirmed(localIndex: number): void;
  /**
   * A valid datagram with the session's highest counter came from another endpoint; the datapath already sends there. Nothing moves
   * to a relay or away from one but by {@link Datapath.setPath}.
   */
  roamed(peer: PeerId, endpoint: Endpoint): void;
  /** The peer received a probe of ours that made an outer IP packet of `bytes`. */
  probeAnswered(peer: PeerId, bytes: number): void;
  /** The session neared its counter limit: no more data is sent on it. */
  sessionExhausted(localIndex: number): void;
  /**
   * A frame from a MAC in no table, or in the tables at a peer, entered the port: a foreign device on our bridge, or one that moved
   * here (at most 10 per second). Frames of the latter are dropped until the tables have it here.
   */
  learned(network: Vni, mac: Mac, ip: string | null): void;
  /** The datapath can't go on (port gone, socket broken); it has stopped itself. */
  failed(reason: string): void;
}

/**
 * Counters since start; they never step back. A TCP superframe that was cut shorter for its path counts as the frames that it became,
 * at both ends.
 */
export interface PeerCounters {
  readonly peer: PeerId;
  readonly txFrames: number;
  readonly txBytes: number;
  readonly rxFrames: number;
  readonly rxBytes: number;
  readonly drops: Readonly<Record<string, number>>;
  /**
   * Clock.monotonicMs of the last data (not keepalive) sent and received and of the last valid datagram; null: never. What is relayed
   * is data to the sessions that carry it.
   */
  readonly lastDataSentMs: number | null;
  readonly lastDataReceivedMs: number | null;
  readonly lastReceivedMs: number | null;
}

/** Datagrams inside of relayed ones; bytes are theirs, without what the relay adds. */
export interface RelayCounters {
  /** Of other hosts, passed on by this one. */
  readonly forwardedDatagrams: number;
  readonly forwardedBytes: number;
  /** Of this host, by a relay. */
  readonly sentDatagrams: number;
  readonly sentBytes: number;
  readonly receivedDatagrams: number;
  readonly receivedBytes: number;
}

export const NOTHING_RELAYED: RelayCounters = {
  forwardedDatagrams: 0,
  forwardedBytes: 0,
  sentDatagrams: 0,
  sentBytes: 0,
  receivedDatagrams: 0,
  receivedBytes: 0,
};

export interface DatapathStats {
  readonly peers: readonly PeerCounters[];
  /** Drops that belong to no peer, by reason (docs/drops.md). */
  readonly drops: Readonly<Record<string, number>>;
  readonly framesIn: number;
  readonly framesOut: number;
  readonly relayed: RelayCounters;
}

export interface Datapath {
  readonly name: DatapathName;
  /** Opens port and socket; rejects with a FabricError (`port-in-use`, `kernel-feature-missing`, …). Called once. */
  start(events: DatapathEvents): Promise<void>;
  /** Closes everything and zeroes all keys. Idempotent; no event fires after it resolves. */
  stop(): Promise<void>;
  /** The session can receive at once; nothing is sent on it before {@link useSession}. */
  addSession(keys: SessionKeys): void;
  /** From now on frames for the session's peer are sent on it; waiting frames leave now. */
  useSession(localIndex: number): void;
  removeSession(localIndex: number): void;
  /** How datagrams for this peer go; null forgets it (frames are dropped and counted). */
  setPath(peer: PeerId, path: TunnelPath | null): void;
  /**
   * The largest outer IP packet for this peer, in bytes: larger frames go in pieces. By a relay it is the packet that the datagram
   * inside would make over IPv4.
   */
  setPathMtu(peer: PeerId, bytes: number): void;
  applyTables(changes: readonly TableChange[]): void;
  /** Resolves when every call so far has taken effect: a port that was let go of may then be deleted. */
  settle(): Promise<void>;
  /** Sends a handshake or cookie datagram as it is. Errors are counted. */
  sendRaw(datagram: Uint8Array, to: TunnelPath): void;
  /** An empty authenticated datagram on the peer's session; nothing without one. */
  sendKeepalive(peer: PeerId): void;
  /**
   * A datagram that makes an outer IP packet of `bytes`, which the peer answers; nothing without a session. Neither counts as
   * data. `bytes` is from 296 to 65,535; more than one datagram carries is a counted drop.
   */
  sendProbe(peer: PeerId, bytes: number): void;
  /** Drops all state of a peer: sessions, path, MACs, waiting frames. */
  removePeer(peer: PeerId): void;
  stats(): DatapathStats;
  /** Of the process that moves the frames; absent: this one. */
  readonly pid?: number | undefined;
  /** Features of the machine that it does without, by name; absent: it needs none. */
  readonly lacks?: readonly string[];
  /** Absent: the datapath ends with its control side. */
  readonly lasting?: Lasting | undefined;
}
