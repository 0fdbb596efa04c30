// Simulated time: the event heap, the one true clock, and a hash over all that happens. Production code that is asynchronous
// (attachments, dials) runs between events: one turn of the microtask queue after each, and to its end before time moves on
// by more than a millisecond. Invariant: equal seeds and schedules give equal trace hashes.

import { SeededRandom } from '../fakes/seeded-random.ts';
import { EventHeap, type Scheduled } from './event-heap.ts';

/** Time may move this far before asynchronous work has come to rest. */
const REST_MS = 1;

export class World {
  readonly random: SeededRandom;
  readonly #heap = new EventHeap();
  #nowMs = 0;
  #restedMs = 0;
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
    for (;;) {
      const nextMs = Math.min(this.#heap.nextMs, untilMs);
      if (nextMs > this.#restedMs + REST_MS) {
        await rest();
        this.#restedMs = nextMs;
        if (this.#heap.nextMs < nextMs) continue; // what came to rest has added something
      }
      this.#nowMs = nextMs;
      if (this.#heap.nextMs > untilMs) return;
      const { run } = this.#heap.pop()!;
      if (run === null) continue;
      this.events++;
      run();
      await undefined;
    }
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
