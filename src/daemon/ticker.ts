// Drives the `tick()` of a pure core: calls it, waits as long as it says, and earlier when somebody wakes it. One timer per
// core and nothing else keeps time in the daemon. A tick that fails in a way that is expected (a full disk) is tried again; one
// that throws anything else is a bug and ends the process.

import { FabricError } from '../base/errors.ts';

/** Node's timers fire at once beyond this; a tick that comes early does no harm. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const AFTER_FAILURE_MS = 1_000;

export class Ticker {
  readonly #tick: () => number;
  readonly #failed: (error: FabricError) => void;
  #timer: NodeJS.Timeout | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  /** `tick` returns the milliseconds until it wants to be called again. Nothing happens before the first {@link wake}. */
  constructor(tick: () => number, failed: (error: FabricError) => void) {
    this.#tick = tick;
    this.#failed = failed;
  }

  /** Ticks within so many milliseconds, if not earlier anyway. */
  wake(withinMs = 0): void {
    if (this.#stopped) return;
    const dueMs = performance.now() + withinMs;
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), Math.min(Math.max(0, withinMs), TIMER_MS_MAX));
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #run(): void {
    this.#timer = null;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.wake(this.#tickOrFail());
  }

  #tickOrFail(): number {
    try {
      return this.#tick();
    } catch (error) {
      if (!(error instanceof FabricError)) throw error;
      this.#failed(error);
      return AFTER_FAILURE_MS;
    }
  }
}
