// The future of a simulation: things to do, ordered by (time, sequence). Invariant: what was added first comes first among
// equals, so that equal runs pop equal events whatever the heap's inner order is.

export interface Scheduled {
  readonly atMs: number;
  readonly sequence: number;
  /** Null once it was cancelled; it then leaves without effect when its time comes. */
  run: (() => void) | null;
}

const CAPACITY = 1_024;

export class EventHeap {
  readonly #events: Scheduled[] = [];
  /** When each of them is due, beside each other: looking there alone is what ordering them mostly takes. */
  #times = new Float64Array(CAPACITY);
  #sequence = 0;

  get size(): number {
    return this.#events.length;
  }

  /** When the next event is due; Infinity when there is none. */
  get nextMs(): number {
    return this.#events.length === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!;
  }

  /** Set the result's `run` to null to cancel it. */
  add(atMs: number, run: () => void): Scheduled {
    const event: Scheduled = { atMs, sequence: this.#sequence++, run };
    const events = this.#events;
    let i = events.push(event) - 1;
    if (i === this.#times.length) this.#grow();
    const times = this.#times;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (times[parent]! <= atMs) break; // among equals the later one stays below
      events[i] = events[parent]!;
      times[i] = times[parent]!;
      i = parent;
    }
    events[i] = event;
    times[i] = atMs;
    return event;
  }

  pop(): Scheduled | null {
    const events = this.#events;
    const first = events[0];
    if (first === undefined) return null;
    const last = events.pop()!;
    if (events.length > 0) this.#sink(last);
    return first;
  }

  #sink(event: Scheduled): void {
    const events = this.#events;
    const times = this.#times;
    const { atMs } = event;
    let i = 0;
    for (let child = 1; child < events.length; child = 2 * i + 1) {
      if (child + 1 < events.length && this.#isBefore(child + 1, child)) child++;
      if (atMs < times[child]! || (atMs === times[child] && event.sequence < events[child]!.sequence)) break;
      events[i] = events[child]!;
      times[i] = times[child]!;
      i = child;
    }
    events[i] = event;
    times[i] = atMs;
  }

  #isBefore(a: number, b: number): boolean {
    const [atMs, otherMs] = [this.#times[a]!, this.#times[b]!];
    return atMs < otherMs || (atMs === otherMs && this.#events[a]!.sequence < this.#events[b]!.sequence);
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length);
    times.set(this.#times);
    this.#times = times;
  }
}
