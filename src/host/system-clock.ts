// The Clock capability. CLOCK_BOOTTIME is what leases need, because it counts while the machine sleeps; Node reads only
// CLOCK_MONOTONIC, which does not. So monotonic time is carried forward by what the kernel's uptime gained over it.
// Invariant: monotonicMs() never steps back, and it lags CLOCK_BOOTTIME by at most one sample interval after a sleep.

import { uptime } from 'node:os';
import type { Clock } from '../base/capabilities.ts';

export interface ClockSources {
  /** CLOCK_MONOTONIC, in milliseconds. */
  monotonicMs(): number;
  /** CLOCK_BOOTTIME, in milliseconds; a resolution of 10 ms is enough. */
  bootMs(): number;
  wallMs(): number;
}

const SAMPLE_INTERVAL_MS = 1_000;
/** Smaller gains are rounding of the kernel's uptime, not sleep. */
const SLEEP_MIN_MS = 250;

const linuxSources: ClockSources = {
  monotonicMs: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
  bootMs: () => uptime() * 1_000,
  wallMs: () => Date.now(),
};

export class SystemClock implements Clock {
  readonly #sources: ClockSources;
  #sleptMs: number;
  #sampledMs: number;

  constructor(sources: ClockSources = linuxSources) {
    this.#sources = sources;
    this.#sampledMs = sources.monotonicMs();
    this.#sleptMs = Math.max(0, sources.bootMs() - this.#sampledMs);
  }

  monotonicMs(): number {
    const monotonicMs = this.#sources.monotonicMs();
    if (monotonicMs - this.#sampledMs >= SAMPLE_INTERVAL_MS) this.#sample(monotonicMs);
    return monotonicMs + this.#sleptMs;
  }

  wallMs(): number {
    return this.#sources.wallMs();
  }

  #sample(monotonicMs: number): void {
    this.#sampledMs = monotonicMs;
    const sleptMs = this.#sources.bootMs() - monotonicMs;
    if (sleptMs - this.#sleptMs >= SLEEP_MIN_MS) this.#sleptMs = sleptMs;
  }
}
