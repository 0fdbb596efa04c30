// What a Member is made of: who this host is, the capabilities it works with, and its doors to kernel and mesh.

import type { Clock, Crypto, Log, Random, Store, Timers } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import type { BootId, PeerId, TokenId, Vni } from '../base/ids.ts';
import type { Keyring } from '../base/keyring.ts';
import type { Genesis } from '../base/records.ts';
import type { NamespaceHandle } from '../cni-plugin/backend.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { HostIdentity } from '../host/identity-file.ts';
import type { Datapath } from '../router/datapath.ts';
import type { FramePort } from '../router/pcap/frame-port.ts';
import type { OpenNamespace } from './attachment-ports.ts';
import type { CertificateJudge } from './certificates.ts';
import type { HostDatapath } from './datapath-choice.ts';
import type { Tell } from './events/event-kinds.ts';
import type { NetworkFacts } from './genesis.ts';
import type { NameSockets } from './name-server.ts';
import type { Settings } from './settings.ts';

export type Channel = 'gossip' | 'lease' | 'life' | 'examine';

/** What the member needs of the mesh's links. */
export interface MeshPort {
  /** False when the link would block or is not there; in a large cluster one is made then. */
  send(peer: PeerId, channel: Channel, bytes: Uint8Array): boolean;
  setKnownPeers(peers: readonly { readonly peer: PeerId; readonly endpoints: readonly Endpoint[] }[]): void;
  linkedPeers(): readonly PeerId[];
  /** Where the link to it leads; null: there is none. */
  linkedAt(peer: PeerId): Endpoint | null;
  /** Ends the link to a host that is not to be let in any more, and tells it why. */
  shutOut(peer: PeerId, why: string): void;
  /** The token by which a linked peer proved itself; null: it is not linked. */
  linkedBy(peer: PeerId): TokenId | null;
  /** A peer has answered, and whether it becomes a link is not decided yet. */
  isGreeting(): boolean;
}

export interface MemberOptions {
  readonly identity: HostIdentity;
  readonly keyring: Keyring;
  /** Absent: certificates of an operator are neither shown nor demanded. */
  readonly certificates?: CertificateJudge;
  /** The keyring holds other tokens than before: the mesh is to show and demand others. */
  tokensChanged(): void;
  readonly genesis: Genesis;
  readonly bootId: BootId;
  /** True when this host was a member before this start. */
  readonly resumed: boolean;
  readonly store: Store;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly log: Log;
  readonly host: HostNetwork;
  readonly mesh: MeshPort;
  /** What an operator may want to know of. */
  readonly tell: Tell;
  /** Gossip: all that this host heard of has come, so many milliseconds after the first of it. */
  readonly caughtUp: (ms: number) => void;
  /** MTU of the underlay interface, bytes. */
  readonly underlayMtu: number;
  /** Local address of the UDP socket. */
  readonly listen: string;
  endpoints(): Promise<readonly Endpoint[]>;
  /** That datapath with its port in the kernel, not started. */
  openDatapath(facts: NetworkFacts, name: HostDatapath): Promise<Datapath>;
  /** /proc/sys/kernel/random/boot_id: another one than last time means that the host booted. */
  readonly kernelBootId: string;
  /** False: the processor has no AES, so ChaCha20-Poly1305 is faster. Default true. */
  readonly hasAes?: boolean;
  /** Opens a device by which VXLAN's paths are probed; absent: no kernel VXLAN on this host. */
  openProbe?(ifname: string): FramePort;
  /** Absent: no name server, as on a simulated host. */
  readonly nameSockets?: NameSockets;
  /** Docker's ids of its networks on this host that are that fabric network. */
  dockerNetworksOf(network: Vni): readonly string[];
  openNamespace(handle: NamespaceHandle): OpenNamespace;
}
