// What gossip keeps on disk. Our own state is written before it is sent, because a version that was seen by others must
// never be used twice, entry by entry (own-rows.ts); what others wrote is kept lazily and whole, so that a restart need not fetch
// everything again. The signatures are checked at load: a damaged foreign state is dropped and fetched again, a damaged own
// state is reported, not replaced.

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { Crypto, Log, Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { type ClusterId, type PeerId, parsePeerId } from '../base/ids.ts';
import { type AuthorState, IDENTITY_KEY_BYTES, peerIdOf, SIGNATURE_BYTES, verifyState } from './author-state.ts';
import type { GossipLimits } from './limits.ts';
import { type OwnChange, OwnRows } from './own-rows.ts';
import { inspectMap } from './packed-map.ts';

const STATES_SPACE = 'gossip-states';
const FORGOTTEN_SPACE = 'gossip-forgotten';
const HEAD_BYTES = 8 + 8 + SIGNATURE_BYTES + IDENTITY_KEY_BYTES;

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
  readonly #ownRows: OwnRows;

  constructor(options: StateStoreOptions) {
    this.#options = options;
    this.#ownRows = new OwnRows(options.store);
  }

  /** Throws FabricError `state-damaged` when the state of `self` is there but unreadable. */
  load(self: PeerId): LoadedStates {
    const { store, log } = this.#options;
    const own = this.#loadOwn(self);
    const states: AuthorState[] = own === null ? [] : [own];
    let damaged = 0;
    for (const [key, value] of store.entries(STATES_SPACE)) {
      const state = this.#decode(key, value);
      if (state !== null) {
        states.push(state);
        continue;
      }
      log.warn('stored state of a peer is damaged and will be fetched again', { peer: key });
      store.delete(STATES_SPACE, key);
      damaged++;
    }
    return { states, forgotten: this.#loadForgotten(), damaged };
  }

  /** The next state of our own; durable when it returns. */
  saveOwn(state: AuthorState, change: OwnChange): void {
    this.#options.store.transaction(() => this.#ownRows.write(encodeHead(state), change));
  }

  /** A state of our own in place of whatever is stored; durable when it returns. */
  replaceOwn(state: AuthorState): void {
    this.#options.store.transaction(() => this.#ownRows.replace(encodeHead(state), state.packed));
  }

  /** Others' states, in one transaction. */
  saveAll(states: readonly AuthorState[]): void {
    const { store } = this.#options;
    store.transaction(() => {
      for (const state of states) {
        const { packed } = state;
        const value = new ByteWriter(packed.length + HEAD_BYTES).bytes(encodeHead(state)).bytes(packed).finish();
        store.put(STATES_SPACE, state.author, value);
      }
    });
  }

  /** Durable when it returns: the author's state is gone, its return up to `version` is refused, `instead` no longer is. */
  forget(author: PeerId, version: number, instead?: PeerId): void {
    const { store } = this.#options;
    store.transaction(() => {
      store.delete(STATES_SPACE, author);
      if (instead !== undefined) store.delete(FORGOTTEN_SPACE, instead);
      store.put(FORGOTTEN_SPACE, author, new ByteWriter(8).u64(version).finish());
    });
  }

  #loadOwn(self: PeerId): AuthorState | null {
    const { store } = this.#options;
    const rows = this.#ownRows.read();
    // Versions of the database before 2 have it whole, among the others.
    const stored = rows ?? store.get(STATES_SPACE, self);
    if (stored === undefined) return null;
    const state = this.#decode(self, stored);
    if (state === null) throw damagedOwnState();
    if (rows === null) {
      store.transaction(() => {
        this.#ownRows.replace(encodeHead(state), state.packed);
        store.delete(STATES_SPACE, self);
      });
    }
    return state;
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

/** `version 8 | floor 8 | signature 64 | identity key 32`; the packed map follows. */
function encodeHead(state: AuthorState): Uint8Array {
  return new ByteWriter(HEAD_BYTES)
    .u64(state.version)
    .u64(state.floor)
    .bytes(state.signature)
    .bytes(state.identityKey)
    .finish();
}

function damagedOwnState(): FabricError {
  return new FabricError('state-damaged', {
    what: "this host's own gossip state in the database is damaged",
    why: 'its signature does not match',
    fix: 'restore the state directory from a backup, or run `fabric reset` and join again',
  });
}
