// Runs many seeds one after the other, each with its own schedule and cluster size, and sums up: how many, how many steps of
// which kind, which seeds failed and why. A failed seed leaves its schedule in a file.

import { FAULT_KINDS, type FaultKind, randomSchedule } from './random-schedule.ts';
import { writeSchedule } from './schedule.ts';
import { simulate } from './simulation.ts';

export interface SeedsWish {
  readonly firstSeed: number;
  readonly seeds: number;
  /** Cluster sizes, taken in turn by the number of the seed, so that ranges of seeds give what all of them would. */
  readonly hosts: readonly number[];
  readonly durationMs: number;
  readonly faults?: readonly FaultKind[];
  /** Absent: the product's own, a day. */
  readonly leaseTimeMs?: number;
  /** Where schedules of failed seeds go: `PREFIX-SEED.json`. Null: nowhere. */
  readonly keepAs: string | null;
  readonly told?: (line: string) => void;
}

export interface SeedsSum {
  readonly seeds: number;
  readonly failed: readonly { readonly seed: number; readonly why: string }[];
  /** Steps that were carried out, by kind. */
  readonly steps: ReadonlyMap<string, number>;
  /** Time from the last fault to agreement, ascending, of the seeds that came to it. */
  readonly convergedMs: readonly number[];
  /** Of the clock on the wall. */
  readonly wallMs: number;
}

/** `FIRST-LAST`; null when the text is no such range. */
export function seedRange(text: string): Pick<SeedsWish, 'firstSeed' | 'seeds'> | null {
  const [, first, last] = /^(\d{1,10})-(\d{1,10})$/.exec(text) ?? [];
  const seeds = Number(last) - Number(first) + 1;
  return Number(first) >= 1 && seeds >= 1 ? { firstSeed: Number(first), seeds } : null;
}

export async function simulateSeeds(wish: SeedsWish): Promise<SeedsSum> {
  const { firstSeed, seeds, hosts, faults = FAULT_KINDS, keepAs, told } = wish;
  const failed: { seed: number; why: string }[] = [];
  const steps = new Map<string, number>();
  const convergedMs: number[] = [];
  const startedMs = performance.now();
  for (let i = 0; i < seeds; i++) {
    const seed = firstSeed + i;
    const schedule = randomSchedule({ ...wish, seed, hosts: hosts[(seed - 1) % hosts.length]!, faults });
    const outcome = await simulate(schedule);
    for (const [kind, count] of outcome.steps) steps.set(kind, (steps.get(kind) ?? 0) + count);
    if (outcome.convergedMs !== null) convergedMs.push(outcome.convergedMs);
    if (outcome.violation === null) continue;
    const why = outcome.violation.split('\n').slice(0, 3).join(' ');
    failed.push({ seed, why });
    if (keepAs !== null) writeSchedule(`${keepAs}-${seed}.json`, schedule);
    told?.(`seed ${seed}, ${schedule.hosts} hosts: ${why}`);
  }
  return {
    seeds,
    failed,
    steps,
    convergedMs: convergedMs.sort((a, b) => a - b),
    wallMs: performance.now() - startedMs,
  };
}
