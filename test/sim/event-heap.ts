// The future of a simulation: things to do, ordered by (time, sequence). Invariant: what was added first comes first among
// equals, so that equal runs pop equal events whatever the heap's inner order is.

export interface Scheduled {
  readonly atMs: number;
  readonly sequence: number;
  /** Null once it was cancelled; it then leaves without effect when its time comes. */
  run: (() => void) | null;
}

export class EventHeap {
  readonly #events: Scheduled[] = [];
  #sequence = 0;

  get size(): number {
    return this.#events.length;
  }

  /** When the next event is due; Infinity when there is none. */
  get nextMs(): number {
    return this.#events[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Set the result's `run` to null to cancel it. */
  add(atMs: number, run: () => void): Scheduled {
    const event: Scheduled = { atMs, sequence: this.#sequence++, run };
    const events = this.#events;
    let i = events.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(events[parent]!, event)) break;
      events[i] = events[parent]!;
      i = parent;
    }
    events[i] = event;
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
    let i = 0;
    for (let child = 1; child < events.length; child = 2 * i + 1) {
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (isBefore(event, events[child]!)) break;
      events[i] = events[child]!;
      i = child;
    }
    events[i] = event;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
