// Sums of counters whose sources come and go, as Prometheus needs them: never stepping back. A peer that leaves takes its counter
// along, and a datapath that starts anew counts from zero; a plain sum would then fall, and the next scrape would count all of
// what is left a second time. Here a sum keeps what its sources once added.

export interface SourceCount {
  /** Who counts. */
  readonly source: string;
  /** Which of the sums. */
  readonly total: string;
  /** Since the source began: a fall means that it began anew. */
  readonly value: number;
}

export class SteadyTotals {
  readonly #totals = new Map<string, number>();
  #last: ReadonlyMap<string, number> = new Map();

  /** All counters as of now; the result are the sums, none lower than before. A sum without any source is forgotten. */
  observe(counts: readonly SourceCount[]): ReadonlyMap<string, number> {
    const now = new Map<string, number>();
    for (const { source, total, value } of counts) {
      const key = JSON.stringify([source, total]);
      const before = this.#last.get(key) ?? 0;
      now.set(key, value);
      this.#totals.set(total, (this.#totals.get(total) ?? 0) + (value >= before ? value - before : value));
    }
    this.#last = now;
    const named = new Set(counts.map(({ total }) => total));
    for (const total of this.#totals.keys()) if (!named.has(total)) this.#totals.delete(total);
    return this.#totals;
  }
}
