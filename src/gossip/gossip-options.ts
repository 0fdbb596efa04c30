// What the gossip core is given and what it reports: its capabilities, its events, one link to a neighbour, its counters.

import type { Clock, Crypto, Log, Random, Store } from '../base/capabilities.ts';
import type { ClusterId, PeerId } from '../base/ids.ts';
import type { AuthorTable } from './author-table.ts';
import type { GossipLimits, GossipTimes } from './limits.ts';
import type { RecordChange } from './packed-map.ts';

/** One authenticated, ordered, reliable stream to a neighbour. */
export interface GossipLink {
  /**
   * Takes the message in any case (it is a fresh array). False asks for no more until {@link Gossip.writable} is called,
   * as a Node stream's `write` does: the core then merges what it has to say instead of queueing it.
   */
  send(message: Uint8Array): boolean;
}

export interface GossipEvents {
  /**
   * Another author's state is newer here than it was (or, after {@link ownStateNewer}, our own as adopted). `changes` are
   * those of live records, none when they cancel each other out: the version alone says that the author lived. Our own puts
   * are not reported: their caller knows them. The handler may call any method of Gossip.
   */
  changed(author: PeerId, changes: readonly RecordChange[]): void;
  /**
   * Somebody holds a state that our identity signed and that we do not know: we run on an old copy of our state, or a
   * clone of this host lives. It has been adopted, durably, before this call: the next write continues from `version`. What
   * {@link GossipOptions.keeps} names, and it does not know, was said again with it.
   */
  ownStateNewer(version: number): void;
  /**
   * The same, but the state that we have is the one that goes on: what that other one says, which is not what ours says. Of it stays
   * said, durably before this call, what {@link GossipOptions.keeps} names.
   */
  ownStateForgotten(changes: readonly RecordChange[]): void;
}

export interface GossipOptions {
  readonly self: {
    readonly peer: PeerId;
    readonly identityKey: Uint8Array;
    /** Ed25519 by the identity key. */
    readonly sign: (message: Uint8Array) => Uint8Array;
  };
  readonly clusterId: ClusterId;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly store: Store;
  readonly log: Log;
  /** Membership: asked for each state that arrives, so that a revoked author changes nothing any more. */
  readonly acceptAuthor: (author: PeerId, identityKey: Uint8Array) => boolean;
  /** Records of our own that no other copy of our state takes back unknowingly; absent: none. */
  readonly keeps?: (key: string) => boolean;
  readonly events: GossipEvents;
  readonly limits?: Partial<GossipLimits>;
  readonly times?: Partial<GossipTimes>;
  /** A simulator's table that shares states between hosts; by default one of our own. */
  readonly table?: AuthorTable;
}

export interface GossipStats {
  readonly authors: number;
  readonly links: number;
  /** Bytes of all packed maps. */
  readonly stateBytes: number;
  readonly ownVersion: number;
  /** States that neighbours have and we still lack. */
  readonly missing: number;
  readonly messagesSent: Readonly<Record<string, number>>;
  readonly messagesReceived: Readonly<Record<string, number>>;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly drops: Readonly<Record<string, number>>;
}
