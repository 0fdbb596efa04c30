// A token bucket: at most `burst` at once and `perSecond` in the long run. Time is an argument, so that it is pure and quick.

export interface RateOptions {
  readonly perSecond: number;
  readonly burst: number;
}

export class ForwardingRate {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #lastMs: number | null = null;

  constructor({ perSecond, burst }: RateOptions) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one token if there is one. `nowMs` never steps back. */
  take(nowMs: number): boolean {
    if (this.#lastMs !== null) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#lastMs) * this.#perMs);
    }
    this.#lastMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
