// Looks once a second whether this host is well, so that problems become events when they come and when they go, also while
// nobody asks for the status. By the way it shows how late the event loop is: a timer that fires late was kept from it.

import type { Cancel, Timers } from '../../base/capabilities.ts';
import type { Health, Problem } from '../status-types.ts';
import type { EventKind, Tell } from './event-kinds.ts';

export const WATCH_EVERY_MS = 1_000;

export interface HealthWatchPorts {
  readonly timers: Timers;
  judge(): Health;
  readonly tell: Tell;
  /** How long after its time the watch was called, in milliseconds; never negative. */
  late(ms: number): void;
}

export class HealthWatch {
  readonly #ports: HealthWatchPorts;
  #cancel: Cancel = () => undefined;
  #problems: readonly Problem[] = [];
  #notices: readonly Problem[] = [];

  constructor(ports: HealthWatchPorts) {
    this.#ports = ports;
  }

  start(): void {
    const { timers } = this.#ports;
    const dueMs = timers.nowMs() + WATCH_EVERY_MS;
    this.#cancel = timers.after(WATCH_EVERY_MS, () => {
      this.#ports.late(Math.max(0, timers.nowMs() - dueMs));
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const { problems, notices } = this.#ports.judge();
    this.#compare(this.#problems, problems, ['problem', 'problem-solved']);
    this.#compare(this.#notices, notices, ['notice', 'notice-gone']);
    this.#problems = problems;
    this.#notices = notices;
  }

  /** One of the same code and text is the same; its reason may change meanwhile. */
  #compare(before: readonly Problem[], now: readonly Problem[], [came, went]: readonly [EventKind, EventKind]): void {
    const keyOf = ({ code, what }: Problem): string => `${code} ${what}`;
    const had = new Set(before.map(keyOf));
    const has = new Set(now.map(keyOf));
    for (const problem of now) {
      if (had.has(keyOf(problem))) continue;
      this.#ports.tell({ kind: came, what: `${problem.what}: ${problem.why}`, subject: problem.code });
    }
    for (const problem of before) {
      if (!has.has(keyOf(problem))) this.#ports.tell({ kind: went, what: problem.what, subject: problem.code });
    }
  }
}
