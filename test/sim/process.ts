// One run of a daemon on a simulated machine: its clocks, its timers, and whether it runs at all. Everything that happens to
// the daemon comes in through `run`, so that a dead process does nothing and a paused one does it all at its resumption, as
// a virtual machine does. A PowerCut thrown by its disk ends it wherever it was.

import type { Cancel, Clock, Timers } from '../../src/base/capabilities.ts';
import type { World } from './world.ts';

/** Stands for the loss of power (or kill -9) in the middle of a write: thrown out of whatever the host was doing. */
export class PowerCut extends Error {}

/** How a machine's clocks differ from true time. */
export interface ClockFaults {
  /** Wall clock minus true time, milliseconds. */
  skewMs: number;
  /** Local milliseconds per true millisecond. */
  rate: number;
}

const EPOCH_MS = Date.UTC(2030, 0, 1);
/** Before the simulation began; so that a monotonic time is never mistaken for true time. */
const UPTIME_MS = 5_000_000;

export class SimProcess implements Clock, Timers {
  readonly #world: World;
  readonly #clock: ClockFaults;
  readonly #died: () => void;
  #alive = true;
  #held: (() => void)[] | null = null;

  constructor(world: World, clock: ClockFaults, died: () => void) {
    this.#world = world;
    this.#clock = clock;
    this.#died = died;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#held !== null;
  }

  monotonicMs(): number {
    return UPTIME_MS + this.#world.nowMs * this.#clock.rate;
  }

  wallMs(): number {
    return EPOCH_MS + this.#world.nowMs + this.#clock.skewMs;
  }

  nowMs(): number {
    return this.monotonicMs();
  }

  after(ms: number, run: () => void): Cancel {
    const event = this.#world.after(Math.max(0, ms) / this.#clock.rate, () => this.run(run));
    return () => {
      event.run = null;
    };
  }

  soon(run: () => void): Cancel {
    return this.after(0, run);
  }

  /** Something happens to the daemon. */
  run(work: () => void): void {
    if (!this.#alive) return;
    if (this.#held !== null) {
      this.#held.push(work);
      return;
    }
    try {
      work();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.kill();
    }
  }

  pause(): void {
    this.#held ??= [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const work of held) this.run(work);
  }

  /** Nothing of it happens any more. Idempotent. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#held = null;
    this.#died();
  }
}
