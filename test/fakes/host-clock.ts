// One host's clocks beside a common one: they run fast, slow or not at all, and the wall clock is off. Test code only.

import type { Clock } from '../../src/base/capabilities.ts';

export class HostClock implements Clock {
  readonly #base: Clock;
  #rate = 1;
  #baseMs: number;
  #localMs: number;
  /** Wall clock minus the common one. */
  skewMs = 0;

  constructor(base: Clock) {
    this.#base = base;
    this.#baseMs = base.monotonicMs();
    this.#localMs = this.#baseMs;
  }

  /** Local milliseconds per common one from now on; 0: the machine stands still, and its wall clock is set when it goes on. */
  set rate(rate: number) {
    this.#localMs = this.monotonicMs();
    this.#baseMs = this.#base.monotonicMs();
    this.#rate = rate;
  }

  monotonicMs(): number {
    return this.#localMs + (this.#base.monotonicMs() - this.#baseMs) * this.#rate;
  }

  wallMs(): number {
    return this.#base.wallMs() + this.skewMs;
  }
}
