// Drives the `tick()` of a pure core: calls it, waits as long as it says, and earlier when somebody wakes it. One timer per
// core and nothing else keeps time in the daemon. A tick that fails in a way that is expected (a full disk) is tried again; one
// that throws anything else is a bug and ends the process.

import type { Cancel, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';

const AFTER_FAILURE_MS = 1_000;

export class Ticker {
  readonly #timers: Timers;
  readonly #tick: () => number;
  readonly #failed: (error: FabricError) => void;
  #cancel: Cancel | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  /** `tick` returns the milliseconds until it wants to be called again. Nothing happens before the first {@link wake}. */
  constructor(timers: Timers, tick: () => number, failed: (error: FabricError) => void) {
    this.#timers = timers;
    this.#tick = tick;
    this.#failed = failed;
  }

  /** Ticks within so many milliseconds, if not earlier anyway. */
  wake(withinMs = 0): void {
    if (this.#stopped) return;
    const dueMs = this.#timers.nowMs() + withinMs;
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    this.#cancel?.();
    this.#cancel = this.#timers.after(withinMs, () => this.#run());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #run(): void {
    this.#cancel = null;
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
