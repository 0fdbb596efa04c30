// The states of all authors, with the digest tree over them (digest-tree.ts). The interface stands apart because a simulator
// with thousands of hosts shares the states between them.

import type { Crypto } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import type { AuthorState, Head } from './author-state.ts';
import { BUCKETS, bucketOf, DigestTree } from './digest-tree.ts';

export interface AuthorTable {
  readonly size: number;
  /** Bytes of all packed maps. */
  readonly bytes: number;
  get(author: PeerId): AuthorState | undefined;
  /**
   * The state with that head, when another table of this process holds it, which thus has been verified. Only a simulator has it,
   * where thousands of hosts would verify the same.
   */
  verified?(head: Head): AuthorState | undefined;
  /** Adds or replaces; digests follow. */
  set(state: AuthorState): void;
  delete(author: PeerId): void;
  inBucket(bucket: number): Iterable<AuthorState>;
  all(): Iterable<AuthorState>;
  /** BUCKETS × 8 bytes; an empty bucket is zero. A view: valid until the next change. */
  bucketDigests(): Uint8Array;
  /** 8 bytes over all buckets; equal tables have equal roots. */
  root(): Uint8Array;
}

/** The AuthorTable of a daemon: one Map per bucket. */
export class MemoryAuthorTable implements AuthorTable {
  readonly #buckets: readonly Map<PeerId, AuthorState>[];
  readonly #digests: DigestTree;

  constructor(crypto: Crypto) {
    this.#digests = new DigestTree(crypto);
    this.#buckets = Array.from({ length: BUCKETS }, () => new Map<PeerId, AuthorState>());
  }

  get size(): number {
    return this.#digests.size;
  }

  get bytes(): number {
    return this.#digests.bytes;
  }

  get(author: PeerId): AuthorState | undefined {
    return this.#bucket(author).get(author);
  }

  set(state: AuthorState): void {
    this.delete(state.author);
    this.#bucket(state.author).set(state.author, state);
    this.#digests.add(state);
  }

  delete(author: PeerId): void {
    const state = this.get(author);
    if (state === undefined) return;
    this.#bucket(author).delete(author);
    this.#digests.remove(state);
  }

  inBucket(bucket: number): Iterable<AuthorState> {
    return this.#buckets[bucket]!.values();
  }

  *all(): Iterable<AuthorState> {
    for (const bucket of this.#buckets) yield* bucket.values();
  }

  bucketDigests(): Uint8Array {
    return this.#digests.buckets;
  }

  root(): Uint8Array {
    return this.#digests.root();
  }

  #bucket(author: PeerId): Map<PeerId, AuthorState> {
    return this.#buckets[bucketOf(author)]!;
  }
}
