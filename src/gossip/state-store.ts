// What gossip keeps on disk. Our own state is written before it is sent, because a version that was seen by others must
// never be used twice; what others wrote is kept lazily, so that a restart need not fetch everything again. The signatures
// are checked at load: a damaged foreign state is dropped and fetched again, a damaged own state is reported, not replaced.

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { Crypto, Log, Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { type ClusterId, type PeerId, parsePeerId } from '../base/ids.ts';
import { type AuthorState, IDENTITY_KEY_BYTES, peerIdOf, SIGNATURE_BYTES, verifyState } from './author-state.ts';
import type { GossipLimits } from './limits.ts';
import { inspectMap } from './packed-map.ts';

const STATES_SPACE = 'gossip-states';
const FORGOTTEN_SPACE = 'gossip-forgotten';

export interface LoadedStates {
  readonly states: readonly AuthorState[];
  readonly forgotten: ReadonlyMap<PeerId, number>;
  /** Foreign states that were unreadable and are gone. */
  readonly damaged: number;
}

export interface StateStoreOptions {
  readonly store: Store;
  readonly crypto: Crypto;
  readonly clusterId: ClusterId;
  readonly limits: GossipLimits;
  readonly log: Log;
}

export class StateStore {
  readonly #options: StateStoreOptions;

  constructor(options: StateStoreOptions) {
    this.#options = options;
  }

  /** Throws FabricError `state-damaged` when the state of `self` is there but unreadable. */
  load(self: PeerId): LoadedStates {
    const { store, log } = this.#options;
    const states: AuthorState[] = [];
    let damaged = 0;
    for (const [key, value] of store.entries(STATES_SPACE)) {
      const state = this.#decode(key, value);
      if (state !== null) {
        states.push(state);
        continue;
      }
      if (key === self) throw damagedOwnState();
      log.warn('stored state of a peer is damaged and will be fetched again', { peer: key });
      store.delete(STATES_SPACE, key);
      damaged++;
    }
    return { states, forgotten: this.#loadForgotten(), damaged };
  }

  /** Durable when it returns. */
  save(state: AuthorState): void {
    this.#options.store.put(STATES_SPACE, state.author, encode(state));
  }

  /** One transaction for all of them. */
  saveAll(states: readonly AuthorState[]): void {
    this.#options.store.transaction(() => {
      for (const state of states) this.save(state);
    });
  }

  /** Durable when it returns: the author's state is gone, its return up to `version` is refused, `instead` no longer is. */
  forget(author: PeerId, version: number, instead?: PeerId): void {
    const { store } = this.#options;
    store.transaction(() => {
      store.delete(STATES_SPACE, author);
      if (instead !== undefined) store.delete(FORGOTTEN_SPACE, instead);
      store.put(FORGOTTEN_SPACE, author, new ByteWriter(8).u64(BigInt(version)).finish());
    });
  }

  #loadForgotten(): Map<PeerId, number> {
    const forgotten = new Map<PeerId, number>();
    for (const [key, value] of this.#options.store.entries(FORGOTTEN_SPACE)) {
      const author = parsePeerId(key);
      const reader = new ByteReader(value);
      const version = Number(reader.u64());
      if (author === null || reader.failed) throw damagedOwnState();
      forgotten.set(author, version);
    }
    return forgotten;
  }

  #decode(key: string, value: Uint8Array): AuthorState | null {
    const { crypto, clusterId, limits } = this.#options;
    const fields = new ByteReader(value);
    const version = Number(fields.u64());
    const floor = Number(fields.u64());
    const signature = fields.bytes(SIGNATURE_BYTES).slice();
    const identityKey = fields.bytes(IDENTITY_KEY_BYTES).slice();
    const packed = fields.bytes(fields.remaining).slice();
    const author = parsePeerId(key);
    const shape = inspectMap(packed, { version, floor, ...limits });
    if (fields.failed || author === null || shape === null || peerIdOf(crypto, identityKey) !== author) return null;
    return verifyState(crypto, clusterId, { author, version, floor, signature, identityKey, packed, shape });
  }
}

/** `version 8 | floor 8 | signature 64 | identity key 32 | packed` */
function encode(state: AuthorState): Uint8Array {
  return new ByteWriter(state.packed.length + 128)
    .u64(BigInt(state.version))
    .u64(BigInt(state.floor))
    .bytes(state.signature)
    .bytes(state.identityKey)
    .bytes(state.packed)
    .finish();
}

function damagedOwnState(): FabricError {
  return new FabricError('state-damaged', {
    what: "this host's own gossip state in the database is damaged",
    why: 'its signature does not match',
    fix: 'restore the state directory from a backup, or run `fabric reset` and join again',
  });
}
