// What Mesh is given and what it tells: its options and events. The daemon implements the events on gossip, ipam and status;
// they run inside Mesh's own callbacks, may call any method of Mesh, and must not throw (except as `admitted` says).

import type { Clock, Log, Random, Timers } from '../../base/capabilities.ts';
import type { ClusterId, PeerId } from '../../base/ids.ts';
import type { ViewLimits } from './active-view.ts';
import type { CertifiedPeer } from './certificate.ts';
import type { CloseReason, ConnectionLimits } from './connection.ts';
import type { DialTimes } from './dial-times.ts';
import type { Channel, Hello } from './envelope.ts';
import type { GenesisReader } from './judge-hello.ts';
import type { Link } from './link.ts';
import type { Refusal } from './refusal.ts';
import type { MeshTransport } from './transport.ts';

export interface RefusalReport extends Refusal {
  /** `HOST:PORT` as dialled, or the address that called us. */
  readonly host: string;
  /** Null when it could not prove who it is. */
  readonly peer: PeerId | null;
}

export interface MeshEvents {
  linkUp(link: Link): void;
  /** `reason` says whether the peer left (`stopping`, `leaving`) or was lost. Fires once for each linkUp. */
  linkDown(link: Link, reason: CloseReason, detail: string): void;
  /** `bytes` may be kept. */
  message(link: Link, channel: Channel, bytes: Uint8Array): void;
  /** It has proved who it is, or greeted, on a connection that is no link yet. */
  heard(peer: PeerId): void;
  /** It was to be a neighbour, and no link came of it. */
  unreached(peer: PeerId): void;
  /** After a send() that returned false. */
  writable(link: Link): void;
  /** Each caller's refusal; a dial's only when the reason differs from the last one at that address. */
  refused(report: RefusalReport): void;
  /** A member says that an operator has removed us from the cluster. */
  removed(report: RefusalReport): void;
  /** Two live hosts use one identity: ours when `peer` is ourselves. */
  clone(report: RefusalReport & { readonly peer: PeerId }): void;
  /**
   * A member let us in: before any linkUp. The genesis must be durable when this returns; a FabricError refuses the
   * member that it came from, and the next one is tried.
   */
  admitted(genesis: Uint8Array): void;
}

/** What we say of ourselves. Without genesis we are a joiner. */
export type MeshFacts = Omit<Hello, 'port'>;

export interface MeshOptions {
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  readonly transport: MeshTransport;
  readonly facts: MeshFacts;
  readonly readGenesis: GenesisReader;
  /** Why a proved peer is not let in all the same (removed, an old token, no certificate); null: it is welcome. */
  readonly bar?: (proved: CertifiedPeer, hello: Hello) => Refusal | null;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly events: MeshEvents;
  /** False for a peer that is thought dead: it is no neighbour to look for. */
  readonly isAlive: (peer: PeerId) => boolean;
  readonly viewLimits?: ViewLimits;
  readonly connectionLimits?: ConnectionLimits;
  readonly dialTimes?: DialTimes;
}
