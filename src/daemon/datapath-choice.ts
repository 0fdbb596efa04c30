// Which datapath this host runs: the engine where it works, else pcap, and why. `auto` falls back when the engine does not
// start, and when it dies more often than restarts can help; it stays there until the daemon's next start, because each
// exchange interrupts traffic. A forced datapath never falls back. Pure: the slot that asks makes and starts them.

import type { Clock } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { DatapathWish } from './launch-options.ts';

export type HostDatapath = 'engine' | 'pcap';

/** An engine that fails more than three times a minute would fail for ever; pcap is slow, but it stays. */
export const ENGINE_FAILURES_MAX = 3;
export const ENGINE_FAILURES_WINDOW_MS = 60_000;

/** Faults that pcap would share: it needs the same address and port. */
const SHARED_FAULTS: readonly string[] = ['port-in-use', 'usage'];

export class DatapathChoice {
  /** Null: the best that works; plain VXLAN stands beside it and needs it, too. */
  readonly #forced: HostDatapath | null;
  readonly #clock: Clock;
  /** When the engine failed, within the window; at most ENGINE_FAILURES_MAX + 1. */
  #failuresMs: number[] = [];
  #hasWorked = false;
  #reason: string | null = null;

  constructor(wish: DatapathWish, clock: Clock) {
    this.#forced = wish === 'engine' || wish === 'pcap' ? wish : null;
    this.#clock = clock;
  }

  /** What to make now. */
  get name(): HostDatapath {
    if (this.#forced !== null) return this.#forced;
    return this.#reason === null ? 'engine' : 'pcap';
  }

  /** Why this host fell back to pcap, in words; null when it did not. */
  get reason(): string | null {
    return this.#reason;
  }

  /** The datapath named by {@link name} works. */
  started(): void {
    this.#hasWorked = true;
  }

  /**
   * The datapath named by {@link name} did not start: at once final for an engine that never worked, else a failure like
   * another. True when {@link name} is another one now, to be tried without delay.
   */
  startFailed(error: unknown): boolean {
    if (this.#forced !== null || this.#reason !== null) return false;
    if (error instanceof FabricError && SHARED_FAULTS.includes(error.code)) return false;
    if (this.#hasWorked) this.failed(whyOf(error));
    else this.#reason = `the engine does not start: ${whyOf(error)}`;
    return this.#reason !== null;
  }

  /** The datapath named by {@link name} worked and then failed. */
  failed(why: string): void {
    if (this.#forced !== null || this.#reason !== null) return;
    const nowMs = this.#clock.monotonicMs();
    this.#failuresMs = [...this.#failuresMs.filter((atMs) => nowMs - atMs < ENGINE_FAILURES_WINDOW_MS), nowMs];
    const count = this.#failuresMs.length;
    if (count > ENGINE_FAILURES_MAX) this.#reason = `the engine failed ${count} times within a minute, last: ${why}`;
  }
}

function whyOf(error: unknown): string {
  if (error instanceof FabricError) return error.explanation.why ?? error.explanation.what;
  return error instanceof Error ? error.message : String(error);
}
