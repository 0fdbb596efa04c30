// What a simulation came to, as lines for people.

import type { SeedsSum } from './many-seeds.ts';
import type { Schedule } from './schedule.ts';
import { CONVERGE_MAX_MS, type Outcome } from './simulation.ts';

export function reportLines(schedule: Schedule, outcome: Outcome, wallMs: number): readonly string[] {
  const { hosts, seed, steps } = schedule;
  const { violation, convergedMs, idleBytesPerSecond, events, messages, checks, simulatedMs, tunnels } = outcome;
  const memoryMiB = Math.round(process.memoryUsage().rss / 2 ** 20);
  const rows: readonly (readonly [string, string])[] = [
    ['cluster', `${hosts} hosts, seed ${seed}, range ${schedule.range}, blocks /${schedule.leasePrefix}`],
    ['simulated', `${seconds(simulatedMs)}, ${steps.length} steps, ${events} events, ${messages} messages`],
    ['steps', counts(outcome.steps)],
    ['operations', counts(outcome.operations)],
    ['tunnels', `${tunnels.established} established, ${tunnels.other} not (seen from one end each)`],
    [
      'convergence',
      convergedMs === null
        ? 'not reached'
        : `${seconds(convergedMs)} after the last fault (at most ${seconds(CONVERGE_MAX_MS)})`,
    ],
    [
      'idle traffic',
      idleBytesPerSecond === null ? 'not measured' : `${Math.round(idleBytesPerSecond)} bytes per host and second`,
    ],
    ['checks', `${checks} rounds, ${violation === null ? 'no violation' : 'VIOLATION'}`],
    ['trace', outcome.traceHash],
    ['this run', `${seconds(wallMs)} of wall-clock time, ${memoryMiB} MiB`],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(14)}${value}`);
  if (violation === null) lines.push(`ok: ${hosts} hosts, seed ${seed}, converged in ${seconds(convergedMs ?? 0)}`);
  return lines;
}

export function seedsLines({ seeds, failed, steps, convergedMs, wallMs }: SeedsSum): readonly string[] {
  const faults = [...steps].reduce((sum, [kind, count]) => sum + (NO_FAULTS.has(kind) ? 0 : count), 0);
  const at = (share: number): string => seconds(convergedMs[Math.floor((convergedMs.length - 1) * share)] ?? 0);
  return [
    `steps         ${counts(steps)}`,
    `convergence   median ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)} after the last fault`,
    `this run      ${seconds(wallMs)}, ${((seeds / wallMs) * 60_000).toFixed(1)} seeds per minute`,
    `${failed.length === 0 ? 'ok' : 'FAILED'}: ${seeds} seeds, ${faults} fault events, ${failed.length} failed`,
  ];
}

/** Steps of ordinary life; what ends a fault counts as much as what begins one. */
const NO_FAULTS: ReadonlySet<string> = new Set(['attach', 'detach', 'frame', 'copy-disk']);

function counts(of: ReadonlyMap<string, number>): string {
  const sorted = [...of].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
