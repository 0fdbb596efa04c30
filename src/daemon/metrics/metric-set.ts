// Tables of metrics over one set of facts: what a metric is called, means and reads stands in one place, and prom-client writes
// them down. All values of a scrape are of one moment. Label values come from the code, or from a bounded choice of peers.

import type { Counter, Gauge, Registry } from 'prom-client';
import type { MetricFacts } from './metric-facts.ts';
import { SteadyTotals } from './steady-totals.ts';

export type Labels = Readonly<Record<string, string>>;
export type Row = readonly [labels: Labels, value: number];
/** Who counts comes first. */
export type SourcedRow = readonly [source: string, ...Row];

/** `rows` of a metric that has nothing to say are empty: it is listed without a value. */
export interface MetricTable {
  readonly name: string;
  readonly help: string;
  /** Default: none. */
  readonly labels?: readonly string[];
  rows(facts: MetricFacts): readonly Row[];
}

/** A sum over sources that come and go: each row counts for the sum of its labels. */
export interface SumTable extends Omit<MetricTable, 'rows'> {
  rows(facts: MetricFacts): readonly SourcedRow[];
}

/** What is needed of prom-client, which is loaded only where the HTTP port is open. */
export interface PromClient {
  readonly Registry: typeof Registry;
  readonly Counter: typeof Counter;
  readonly Gauge: typeof Gauge;
}

export class MetricSet {
  readonly registry: Registry;
  readonly #prom: PromClient;
  #facts: MetricFacts | null = null;

  constructor(prom: PromClient) {
    this.#prom = prom;
    this.registry = new prom.Registry();
  }

  /** Writes down these facts, in the text format of Prometheus. */
  text(facts: MetricFacts): Promise<string> {
    this.#facts = facts;
    return this.registry.metrics();
  }

  /** A value that rises and falls. */
  gauges(...tables: readonly MetricTable[]): void {
    for (const { name, help, labels = [], rows } of tables) {
      const metric = new this.#prom.Gauge({
        name,
        help,
        labelNames: labels,
        registers: [this.registry],
        collect: () => {
          metric.reset();
          for (const [values, value] of this.#read(rows)) metric.set(values, value);
        },
      });
    }
  }

  /** A count kept elsewhere, which falls only when whoever counts begins anew. */
  counters(...tables: readonly MetricTable[]): void {
    for (const table of tables) this.#counter(table, (facts) => table.rows(facts));
  }

  sums(...tables: readonly SumTable[]): void {
    for (const table of tables) {
      const steady = new SteadyTotals();
      this.#counter(table, (facts) => {
        const counts = table.rows(facts).map(([source, labels, value]) => {
          return { source, total: JSON.stringify(labels), value };
        });
        return [...steady.observe(counts)].map(([labels, value]): Row => [JSON.parse(labels) as Labels, value]);
      });
    }
  }

  #counter({ name, help, labels = [] }: Omit<MetricTable, 'rows'>, rows: MetricTable['rows']): void {
    const metric = new this.#prom.Counter({
      name,
      help,
      labelNames: labels,
      registers: [this.registry],
      collect: () => {
        metric.reset();
        for (const [values, value] of this.#read(rows)) metric.inc(values, value);
      },
    });
  }

  #read(rows: MetricTable['rows']): readonly Row[] {
    return this.#facts === null ? [] : rows(this.#facts);
  }
}
