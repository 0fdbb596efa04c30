// The metrics of this host for Prometheus: tables over facts that are gathered at each scrape, and histograms of what has to be
// seen when it happens. A scrape gathers at most once a second, however many ask: it runs on the daemon's event loop, never in
// the engine, which moves the frames.

import type { Histogram, RegistryContentType } from 'prom-client';
import type { Clock } from '../../base/capabilities.ts';
import { defineClusterMetrics } from './cluster-metrics.ts';
import { defineHostMetrics } from './host-metrics.ts';
import type { MetricFacts } from './metric-facts.ts';
import { MetricSet, type PromClient } from './metric-set.ts';
import { defineTunnelMetrics } from './tunnel-metrics.ts';

const FRESH_MS = 1_000;
/** Verbs of the CNI specification; what else a caller sends is one label. */
const VERBS: readonly string[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'];
/** An ADD takes some 10 ms, one that waits for addresses seconds. */
const CNI_BUCKETS_S = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LOOP_BUCKETS_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const CONVERGENCE_BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60];

/** What happens, said at once. */
export interface Observations {
  cniServed(call: { readonly verb: string; readonly ok: boolean; readonly tookMs: number }): void;
  /** A timer of the daemon fired so late. */
  eventLoopLate(ms: number): void;
  /** Gossip: all that was heard of has come. */
  caughtUp(ms: number): void;
}

export interface MetricsText {
  readonly type: RegistryContentType;
  readonly text: string;
}

export class Metrics implements Observations {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #gather: () => MetricFacts;
  readonly #set: MetricSet;
  readonly #cni: Histogram<'verb' | 'result'>;
  readonly #loop: Histogram;
  readonly #convergence: Histogram;
  #scrape: { readonly atMs: number; readonly text: Promise<string> } | null = null;

  constructor({ prom, clock, gather }: MetricsPorts) {
    this.#clock = clock;
    this.#gather = gather;
    this.#set = new MetricSet(prom);
    const { registry } = this.#set;
    defineHostMetrics(this.#set);
    defineTunnelMetrics(this.#set);
    defineClusterMetrics(this.#set);
    this.#cni = new prom.Histogram({
      name: 'fabric_cni_duration_seconds',
      help: 'Duration of CNI calls in the daemon, by verb and result',
      labelNames: ['verb', 'result'],
      buckets: CNI_BUCKETS_S,
      registers: [registry],
    });
    this.#loop = new prom.Histogram({
      name: 'fabric_event_loop_lag_seconds',
      help: 'How late timers of the daemon fire: one sample a second',
      buckets: LOOP_BUCKETS_S,
      registers: [registry],
    });
    this.#convergence = new prom.Histogram({
      name: 'fabric_gossip_convergence_seconds',
      help: 'From hearing that records are missing until none is',
      buckets: CONVERGENCE_BUCKETS_S,
      registers: [registry],
    });
  }

  cniServed({ verb, ok, tookMs }: Parameters<Observations['cniServed']>[0]): void {
    const labels = { verb: VERBS.includes(verb) ? verb : 'other', result: ok ? 'ok' : 'failed' };
    this.#cni.observe(labels, tookMs / 1000);
  }

  eventLoopLate(ms: number): void {
    this.#loop.observe(ms / 1000);
  }

  caughtUp(ms: number): void {
    this.#convergence.observe(ms / 1000);
  }

  /** At most a second old. */
  async text(): Promise<MetricsText> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#scrape === null || nowMs - this.#scrape.atMs >= FRESH_MS) {
      this.#scrape = { atMs: nowMs, text: this.#set.text(this.#gather()) };
    }
    return { type: this.#set.registry.contentType, text: await this.#scrape.text };
  }
}

export interface MetricsPorts {
  readonly prom: PromClient & { readonly Histogram: typeof Histogram };
  readonly clock: Pick<Clock, 'monotonicMs'>;
  gather(): MetricFacts;
}
