// A deterministic Random (mulberry32): equal seeds give equal sequences; `split` gives an independent child.

import type { Random } from '../../src/base/capabilities.ts';

export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  /** 0 to bound - 1. */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#next() >>> 24;
    return bytes;
  }

  split(): SeededRandom {
    return new SeededRandom(this.#next());
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
