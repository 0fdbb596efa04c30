// The states of all authors and the digest tree over them: 256 buckets by the first byte of the author's id, which is a
// hash and so spreads evenly. A bucket's digest is the XOR of its authors' fingerprints, kept up to date at each change,
// so a comparison with a neighbour never walks the table. The interface stands apart because a simulator with thousands
// of hosts shares the states between them.

import { ByteWriter } from '../base/bytes.ts';
import type { Crypto } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { type AuthorState, FINGERPRINT_BYTES } from './author-state.ts';

export const BUCKETS = 256;

export interface AuthorTable {
  readonly size: number;
  /** Bytes of all packed maps. */
  readonly bytes: number;
  get(author: PeerId): AuthorState | undefined;
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

export function bucketOf(author: PeerId): number {
  return Number.parseInt(author.slice(0, 2), 16);
}

/** The AuthorTable of a daemon: one Map per bucket. */
export class MemoryAuthorTable implements AuthorTable {
  readonly #crypto: Crypto;
  readonly #buckets: readonly Map<PeerId, AuthorState>[];
  readonly #digests = new Uint8Array(BUCKETS * FINGERPRINT_BYTES);
  #root: Uint8Array | null = null;
  #size = 0;
  #bytes = 0;

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
    this.#buckets = Array.from({ length: BUCKETS }, () => new Map<PeerId, AuthorState>());
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(author: PeerId): AuthorState | undefined {
    return this.#bucket(author).get(author);
  }

  set(state: AuthorState): void {
    this.delete(state.author);
    this.#bucket(state.author).set(state.author, state);
    this.#account(state, 1);
  }

  delete(author: PeerId): void {
    const state = this.get(author);
    if (state === undefined) return;
    this.#bucket(author).delete(author);
    this.#account(state, -1);
  }

  inBucket(bucket: number): Iterable<AuthorState> {
    return this.#buckets[bucket]!.values();
  }

  *all(): Iterable<AuthorState> {
    for (const bucket of this.#buckets) yield* bucket.values();
  }

  bucketDigests(): Uint8Array {
    return this.#digests;
  }

  root(): Uint8Array {
    this.#root ??= this.#crypto
      .sha256(new ByteWriter(4).u32(this.#size).finish(), this.#digests)
      .slice(0, FINGERPRINT_BYTES);
    return this.#root;
  }

  #bucket(author: PeerId): Map<PeerId, AuthorState> {
    return this.#buckets[bucketOf(author)]!;
  }

  #account(state: AuthorState, sign: 1 | -1): void {
    const offset = bucketOf(state.author) * FINGERPRINT_BYTES;
    for (let i = 0; i < FINGERPRINT_BYTES; i++) this.#digests[offset + i]! ^= state.fingerprint[i]!;
    this.#size += sign;
    this.#bytes += sign * state.packed.length;
    this.#root = null;
  }
}
