// How far this host is behind what its neighbours know: from the moment it hears of a state that it lacks until it has all that
// it heard of. That span is what an operator calls convergence, as far as one host can see it. Pure: the caller says how much
// is missing, after each message and each tick.

import type { Clock } from '../base/capabilities.ts';

export class NewsLag {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #caughtUp: (ms: number) => void;
  #sinceMs: number | null = null;

  /** `caughtUp`: nothing is missing any more; it took so many milliseconds. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, caughtUp: (ms: number) => void) {
    this.#clock = clock;
    this.#caughtUp = caughtUp;
  }

  observe(missing: number): void {
    if (missing > 0) {
      this.#sinceMs ??= this.#clock.monotonicMs();
      return;
    }
    if (this.#sinceMs === null) return;
    const tookMs = this.#clock.monotonicMs() - this.#sinceMs;
    this.#sinceMs = null;
    this.#caughtUp(tookMs);
  }

  /** Since when something has been missing, as an age in milliseconds; 0 when nothing is. */
  get behindMs(): number {
    return this.#sinceMs === null ? 0 : this.#clock.monotonicMs() - this.#sinceMs;
  }
}
