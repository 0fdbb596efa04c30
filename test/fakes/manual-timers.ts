// Timers that fire only when a test moves the clock, in the order of their times.

import type { Cancel, Timers } from '../../src/base/capabilities.ts';
import { ManualClock } from './manual-clock.ts';

export class ManualTimers implements Timers {
  readonly clock: ManualClock;
  readonly #due = new Set<{ readonly atMs: number; readonly run: () => void }>();

  constructor(clock = new ManualClock()) {
    this.clock = clock;
  }

  nowMs(): number {
    return this.clock.monotonicMs();
  }

  after(ms: number, run: () => void): Cancel {
    const timer = { atMs: this.nowMs() + ms, run };
    this.#due.add(timer);
    return () => void this.#due.delete(timer);
  }

  soon(run: () => void): Cancel {
    return this.after(0, run);
  }

  /** How many wait. */
  get pending(): number {
    return this.#due.size;
  }

  advance(ms: number): void {
    const untilMs = this.nowMs() + ms;
    for (;;) {
      const [next] = [...this.#due].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#due.delete(next);
      this.clock.advance(Math.max(0, next.atMs - this.nowMs()));
      next.run();
    }
    this.clock.advance(untilMs - this.nowMs());
  }
}
