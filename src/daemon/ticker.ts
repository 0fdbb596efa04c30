// Drives the `tick()` of a pure core: calls it, waits as long as it says, and earlier when somebody wakes it. One timer per
// core and nothing else keeps time in the daemon. A tick that throws is a bug: it ends the process.

/** Node's timers fire at once beyond this; a tick that comes early does no harm. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Ticker {
  readonly #tick: () => number;
  #timer: NodeJS.Timeout | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  /** `tick` returns the milliseconds until it wants to be called again. Nothing happens before the first {@link wake}. */
  constructor(tick: () => number) {
    this.#tick = tick;
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
    const nextMs = this.#tick();
    this.wake(nextMs);
  }
}
