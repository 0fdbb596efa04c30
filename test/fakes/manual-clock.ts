// A Clock that moves only when told; both clocks start apart so that mixing them up shows.

import type { Clock } from '../../src/base/capabilities.ts';

export class ManualClock implements Clock {
  #monotonicMs = 5_000_000;
  #wallMs: number;

  constructor(wallMs = Date.UTC(2030, 0, 1)) {
    this.#wallMs = wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  advance(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }

  /** A step of the wall clock alone, as NTP or an operator makes it. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }
}
