// The anti-replay window of one session: which of the last 8192 counters were seen (RFC 6479's bitmap ring: words are cleared
// as the window moves, nothing is shifted). A counter is only marked after its datagram was authenticated, so that a forgery
// never moves the window. Invariant: `mark` is called at most once per counter, and only when `check` said `fresh`.

export const REPLAY_WINDOW = 8192;
const WORD_BITS = 32;
/** One word more than the window holds, rounded up: a word is cleared before the window enters it. */
const RING_WORDS = 512;

export type ReplayVerdict = 'fresh' | 'replayed' | 'too-old';

/** Not thread-safe. Counters are integers from 0 to 2^53 - 1. */
export class ReplayWindow {
  readonly #ring = new Uint32Array(RING_WORDS);
  #highest = -1;

  /** The highest counter marked so far; -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  check(counter: number): ReplayVerdict {
    if (counter > this.#highest) return 'fresh';
    if (this.#highest - counter >= REPLAY_WINDOW) return 'too-old';
    const word = Math.floor(counter / WORD_BITS);
    return (this.#ring[word % RING_WORDS]! & (1 << (counter % WORD_BITS))) === 0 ? 'fresh' : 'replayed';
  }

  mark(counter: number): void {
    const word = Math.floor(counter / WORD_BITS);
    if (counter > this.#highest) {
      const current = Math.floor(this.#highest / WORD_BITS);
      const cleared = Math.min(word - current, RING_WORDS);
      for (let i = 1; i <= cleared; i++) this.#ring[(current + i) % RING_WORDS] = 0;
      this.#highest = counter;
    }
    this.#ring[word % RING_WORDS]! |= 1 << (counter % WORD_BITS);
  }
}
