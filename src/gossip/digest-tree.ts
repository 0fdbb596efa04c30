// The digests by which two hosts find where their tables differ: 256 buckets by the first byte of the author's id, which is a
// hash and so spreads evenly. A bucket's digest is the XOR of its authors' fingerprints, kept up to date at each change, so a
// comparison with a neighbour never walks the table. Invariant: equal sets of states have equal digests, whatever the order.

import { ByteWriter } from '../base/bytes.ts';
import type { Crypto } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { type AuthorState, FINGERPRINT_BYTES } from './author-state.ts';

export const BUCKETS = 256;

export function bucketOf(author: PeerId): number {
  return hexDigit(author.charCodeAt(0)) * 16 + hexDigit(author.charCodeAt(1));
}

/** Of a code of `0` to `9` or `a` to `f`. */
function hexDigit(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57;
}

export class DigestTree {
  readonly #crypto: Crypto;
  readonly #buckets = new Uint8Array(BUCKETS * FINGERPRINT_BYTES);
  #root: Uint8Array | null = null;
  #size = 0;
  #bytes = 0;

  /** Empty, or equal to another one. */
  constructor(crypto: Crypto, like?: DigestTree) {
    this.#crypto = crypto;
    if (like === undefined) return;
    this.#buckets.set(like.#buckets);
    this.#size = like.#size;
    this.#bytes = like.#bytes;
  }

  /** States in the table. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of their packed maps. */
  get bytes(): number {
    return this.#bytes;
  }

  /** BUCKETS × 8 bytes; an empty bucket is zero. A view: valid until the next change. */
  get buckets(): Uint8Array {
    return this.#buckets;
  }

  /** 8 bytes over all buckets. */
  root(): Uint8Array {
    this.#root ??= this.#crypto
      .sha256(new ByteWriter(4).u32(this.#size).finish(), this.#buckets)
      .slice(0, FINGERPRINT_BYTES);
    return this.#root;
  }

  add(state: AuthorState): void {
    this.#account(state, 1);
  }

  remove(state: AuthorState): void {
    this.#account(state, -1);
  }

  #account(state: AuthorState, sign: 1 | -1): void {
    const offset = bucketOf(state.author) * FINGERPRINT_BYTES;
    for (let i = 0; i < FINGERPRINT_BYTES; i++) this.#buckets[offset + i]! ^= state.fingerprint[i]!;
    this.#size += sign;
    this.#bytes += sign * state.packed.length;
    this.#root = null;
  }
}
