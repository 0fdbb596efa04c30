// Runs a schedule from its first step to the convergence after its last fault, with all checkers, and tells what came of it.
// Equal schedules give equal outcomes and equal trace hashes on equal code.

import { Checkers, Violation } from './checkers.ts';
import { Cluster } from './cluster.ts';
import { disagreement } from './convergence.ts';
import type { Schedule } from './schedule.ts';

export interface SimulationOptions {
  /** Views must agree this long after the last fault. */
  readonly convergeMaxMs?: number;
  /** How long the cluster is watched idle after that, for its traffic. */
  readonly idleMs?: number;
}

export interface Outcome {
  /** Null: nothing to complain about. */
  readonly violation: string | null;
  /** From the last fault to all views equal; null when it was not reached. */
  readonly convergedMs: number | null;
  /** Sent and received by one host while idle, 100 bytes per message added; null when it did not come to that. */
  readonly idleBytesPerSecond: number | null;
  readonly traceHash: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly checks: number;
  /** Steps that were carried out, by kind; what attaches and detaches came to. */
  readonly steps: ReadonlyMap<string, number>;
  readonly operations: ReadonlyMap<string, number>;
  readonly messages: number;
  readonly tunnels: { readonly established: number; readonly other: number };
  /** The last lines of all hosts' logs. */
  readonly log: readonly string[];
}

const CHECK_MS = 200;
const CONVERGENCE_CHECK_MS = 250;
export const CONVERGE_MAX_MS = 60_000;
export const IDLE_BYTES_PER_SECOND_MAX = 4_096;

export async function simulate(schedule: Schedule, options: SimulationOptions = {}): Promise<Outcome> {
  const { convergeMaxMs = CONVERGE_MAX_MS, idleMs = 0 } = options;
  const cluster = new Cluster(schedule);
  const checkers = new Checkers(cluster);
  let violation: string | null = null;
  let convergedMs: number | null = null;
  let idleBytesPerSecond: number | null = null;
  try {
    await runChecked(cluster, checkers, schedule.faultsEndMs);
    convergedMs = await converge(cluster, checkers, schedule.faultsEndMs + convergeMaxMs);
    if (idleMs > 0) idleBytesPerSecond = await idle(cluster, checkers, idleMs);
  } catch (error) {
    violation = error instanceof Violation ? error.message : ((error as Error).stack ?? String(error));
  }
  return { violation, convergedMs, idleBytesPerSecond, ...sum(cluster, checkers) };
}

async function runChecked(cluster: Cluster, checkers: Checkers, untilMs: number): Promise<void> {
  while (cluster.world.nowMs < untilMs) {
    await cluster.world.runUntil(Math.min(untilMs, cluster.world.nowMs + CHECK_MS));
    checkers.check();
  }
}

async function converge(cluster: Cluster, checkers: Checkers, untilMs: number): Promise<number> {
  const startMs = cluster.world.nowMs;
  let last: string | null = null;
  while (cluster.world.nowMs < untilMs) {
    await cluster.world.runUntil(cluster.world.nowMs + CONVERGENCE_CHECK_MS);
    checkers.check();
    last = disagreement(cluster);
    if (last === null) return cluster.world.nowMs - startMs;
  }
  throw new Violation(`no convergence ${(untilMs - startMs) / 1_000} s after the last fault: ${last}`);
}

async function idle(cluster: Cluster, checkers: Checkers, idleMs: number): Promise<number> {
  const bytes = (): number => cluster.hosts.reduce((sum, { nic }) => sum + nic.sentBytes + nic.receivedBytes, 0);
  const before = bytes();
  await runChecked(cluster, checkers, cluster.world.nowMs + idleMs);
  return ((bytes() - before) / cluster.schedule.hosts / idleMs) * 1_000;
}

function sum({ world, hosts, done, log }: Cluster, checkers: Checkers) {
  const operations = new Map<string, number>();
  let messages = 0;
  const tunnels = { established: 0, other: 0 };
  for (const { outcomes, nic, daemon } of hosts) {
    for (const [outcome, count] of outcomes) operations.set(outcome, (operations.get(outcome) ?? 0) + count);
    messages += nic.sentMessages;
    for (const { state } of daemon?.member?.tunnels.statuses() ?? []) {
      if (state === 'established') tunnels.established++;
      else tunnels.other++;
    }
  }
  return {
    traceHash: world.traceHash,
    events: world.events,
    simulatedMs: world.nowMs,
    checks: checkers.checks,
    steps: done,
    operations,
    messages,
    tunnels,
    log: log.lines,
  };
}
