// Named counters that only grow. The names come from a fixed set in the code, never from input, so the map is bounded.

export class Counters {
  readonly #counts = new Map<string, number>();

  add(name: string, by = 1): void {
    if (by > 0) this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  read(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
