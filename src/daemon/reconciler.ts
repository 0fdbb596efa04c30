// Runs one piece of work at a time, and once more when it was asked for meanwhile: what changed during a run may have come
// after that run had looked. Keeps the last failure in words until a run succeeds.

import type { Cancel, Timers } from '../base/capabilities.ts';

export class Reconciler {
  readonly #work: () => Promise<void>;
  readonly #failed: (reason: string) => void;
  #running: Promise<void> | null = null;
  #again = false;
  #stopped = false;
  #cancel: Cancel = () => undefined;
  /** Why the last run failed; null when it did not. */
  fault: string | null = null;

  constructor(work: () => Promise<void>, failed: (reason: string) => void) {
    this.#work = work;
    this.#failed = failed;
  }

  /** Returns at once. */
  request(): void {
    if (this.#stopped) return;
    if (this.#running !== null) {
      this.#again = true;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** {@link request}, and resolves when that run is over. */
  async run(): Promise<void> {
    this.request();
    await this.#running;
  }

  /** Requests a run again and again, until {@link stop}. */
  every(intervalMs: number, timers: Timers): void {
    this.#cancel = timers.after(intervalMs, () => {
      this.request();
      this.every(intervalMs, timers);
    });
  }

  /** Resolves when a run under way is over; no other follows. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#work();
        this.fault = null;
      } catch (error) {
        this.fault = (error as Error).message;
        this.#failed(this.fault);
      }
    } while (this.#again && !this.#stopped);
  }
}
