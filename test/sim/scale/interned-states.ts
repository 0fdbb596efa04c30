// The tables of thousands of simulated hosts over one pool of states: a state that many hosts hold is there once, and a host
// pays four bytes per author. Two hosts that hold the same (author, version, fingerprint) hold equal bytes, so sharing changes
// nothing that a host can see. Contract: src/gossip/author-table.ts.

import { equalBytes } from '../../../src/base/bytes.ts';
import type { Crypto } from '../../../src/base/capabilities.ts';
import { assert } from '../../../src/base/errors.ts';
import type { PeerId } from '../../../src/base/ids.ts';
import type { AuthorState, Head } from '../../../src/gossip/author-state.ts';
import type { AuthorTable } from '../../../src/gossip/author-table.ts';
import { BUCKETS, bucketOf, DigestTree } from '../../../src/gossip/digest-tree.ts';

/** Stands for "no state". */
const NONE = 0;

export class StatePool {
  readonly capacity: number;
  readonly #indexes = new Map<PeerId, number>();
  readonly #buckets: readonly number[][] = Array.from({ length: BUCKETS }, () => []);
  readonly #states: (AuthorState | null)[] = [null];
  /** Slots of an author's states, the newest last. */
  readonly #slots: number[][] = [];

  /** `capacity`: authors at most. */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  indexOf(author: PeerId): number {
    const known = this.#indexes.get(author);
    if (known !== undefined) return known;
    const index = this.#slots.length;
    assert(index < this.capacity, 'the pool has room for every author');
    this.#indexes.set(author, index);
    this.#slots.push([]);
    this.#buckets[bucketOf(author)]!.push(index);
    return index;
  }

  /** Where this state stands; the pool's own copy from now on. */
  slotOf(state: AuthorState): number {
    const slots = this.#slots[this.indexOf(state.author)]!;
    for (let i = slots.length - 1; i >= 0; i--) {
      const { version, fingerprint } = this.#states[slots[i]!]!;
      if (version === state.version && equalBytes(fingerprint, state.fingerprint)) return slots[i]!;
    }
    slots.push(this.#states.length);
    return this.#states.push(state) - 1;
  }

  /** The author's state with that version and signature. */
  find({ author, version, signature }: Head): AuthorState | undefined {
    const slots = this.#slots[this.indexOf(author)]!;
    for (let i = slots.length - 1; i >= 0; i--) {
      const state = this.#states[slots[i]!]!;
      if (state.version === version && equalBytes(state.signature, signature)) return state;
    }
    return undefined;
  }

  at(slot: number): AuthorState | undefined {
    return this.#states[slot] ?? undefined;
  }

  inBucket(bucket: number): readonly number[] {
    return this.#buckets[bucket]!;
  }
}

export class InternedTable implements AuthorTable {
  readonly #pool: StatePool;
  readonly #crypto: Crypto;
  readonly #slots: Uint32Array;
  readonly #digests: DigestTree;

  constructor(pool: StatePool, crypto: Crypto, like?: InternedTable) {
    this.#pool = pool;
    this.#crypto = crypto;
    this.#slots = like === undefined ? new Uint32Array(pool.capacity) : like.#slots.slice();
    this.#digests = new DigestTree(crypto, like === undefined ? undefined : like.#digests);
  }

  /** A table that holds the same from the start. */
  copy(): InternedTable {
    return new InternedTable(this.#pool, this.#crypto, this);
  }

  get size(): number {
    return this.#digests.size;
  }

  get bytes(): number {
    return this.#digests.bytes;
  }

  get(author: PeerId): AuthorState | undefined {
    return this.#pool.at(this.#slots[this.#pool.indexOf(author)]!);
  }

  verified(head: Head): AuthorState | undefined {
    return this.#pool.find(head);
  }

  set(state: AuthorState): void {
    this.delete(state.author);
    const slot = this.#pool.slotOf(state);
    this.#slots[this.#pool.indexOf(state.author)] = slot;
    this.#digests.add(this.#pool.at(slot)!);
  }

  delete(author: PeerId): void {
    const index = this.#pool.indexOf(author);
    const state = this.#pool.at(this.#slots[index]!);
    if (state === undefined) return;
    this.#slots[index] = NONE;
    this.#digests.remove(state);
  }

  *inBucket(bucket: number): Iterable<AuthorState> {
    for (const index of this.#pool.inBucket(bucket)) {
      const state = this.#pool.at(this.#slots[index]!);
      if (state !== undefined) yield state;
    }
  }

  *all(): Iterable<AuthorState> {
    for (let bucket = 0; bucket < BUCKETS; bucket++) yield* this.inBucket(bucket);
  }

  bucketDigests(): Uint8Array {
    return this.#digests.buckets;
  }

  root(): Uint8Array {
    return this.#digests.root();
  }
}
