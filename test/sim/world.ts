// Simulated time: the event heap, the one true clock, and a hash over all that happens. Production code that is asynchronous
// (attachments, dials) comes to rest after each event before the next one runs, so time never moves under its feet; events
// that settle no promise cost nothing for it. Invariant: equal seeds and schedules give equal trace hashes, however often
// somebody stops to look.

import { promiseHooks } from 'node:v8';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { EventHeap, type Scheduled } from './event-heap.ts';

export class World {
  readonly random: SeededRandom;
  readonly #heap = new EventHeap();
  #nowMs = 0;
  #high = 0x811c9dc5;
  #low = 0x1b873593;
  events = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  /** Milliseconds of true time since the start. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get pending(): number {
    return this.#heap.size;
  }

  at(atMs: number, run: () => void): Scheduled {
    return this.#heap.add(Math.max(this.#nowMs, atMs), run);
  }

  after(ms: number, run: () => void): Scheduled {
    return this.at(this.#nowMs + ms, run);
  }

  /** Runs what is due up to a time, which then is now. Rejects with what an event throws. */
  async runUntil(untilMs: number): Promise<void> {
    let restless = true; // by what the caller has begun
    const disturbed = (): void => {
      restless = true;
    };
    const stopWatching = promiseHooks.createHook({ init: disturbed, settled: disturbed });
    try {
      for (;;) {
        if (restless) {
          await rest();
          restless = false;
        }
        if (this.#heap.nextMs > untilMs) break;
        const { atMs, run } = this.#heap.pop()!;
        if (run === null) continue;
        this.#nowMs = atMs;
        this.events++;
        run();
      }
    } finally {
      stopWatching();
    }
    this.#nowMs = untilMs;
  }

  /** Takes a fact of the run into the trace hash. */
  note(...facts: readonly number[]): void {
    for (const fact of facts) {
      const word = Math.trunc(fact * 1_024) | 0;
      this.#high = Math.imul(this.#high ^ word, 0x01000193);
      this.#low = Math.imul(this.#low ^ (this.#high >>> 15) ^ word, 0x85ebca6b);
    }
  }

  /** 16 hexadecimal digits over the whole run so far. */
  get traceHash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

/** All promises that can settle by themselves have settled. */
function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
