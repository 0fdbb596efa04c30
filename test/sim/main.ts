// `npm run sim`: simulates a cluster and prints what came of it; the last line is the verdict. A failure leaves its schedule in
// a file that replays it, also on changed code. See docs/simulator.md.

import { parseArgs } from 'node:util';
import { seedRange, simulateSeeds } from './many-seeds.ts';
import { FAULT_KINDS, type FaultKind, randomSchedule } from './random-schedule.ts';
import { reportLines, seedsLines } from './report.ts';
import { type FigureOptions, figureOptions, measureFigures, PHASES } from './scale/figures.ts';
import { figureLines, spentSince } from './scale/figures-report.ts';
import { readSchedule, type Schedule, writeSchedule } from './schedule.ts';
import { isAlike, shrink } from './shrink.ts';
import { simulate } from './simulation.ts';

const USAGE = `usage: npm run sim -- [--hosts 10] [--seed 1] [--minutes 1] [--faults all|none|KIND,…] [--replay FILE]
                    [--seeds N|FIRST-LAST] [--schedule FILE] [--shrink] [--log]
                    [--phases PHASE,…]
kinds of faults: ${FAULT_KINDS.join(', ')}
phases of more than 100 hosts: ${PHASES.join(', ')}
`;
const IDLE_MS = 30_000;
/** More hosts than this are simulated as a mesh without leases, routes and tunnels. */
const MEMBERS_MAX = 100;
const HOSTS_MAX = 10_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      hosts: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '1' },
      faults: { type: 'string', default: 'all' },
      seeds: { type: 'string', default: '1' },
      replay: { type: 'string' },
      schedule: { type: 'string', default: 'sim-failure.json' },
      shrink: { type: 'boolean', default: false },
      log: { type: 'boolean', default: false },
      phases: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const hosts = whole('--hosts', values.hosts, 2, HOSTS_MAX);
  if (hosts > MEMBERS_MAX && values.replay === undefined) {
    const seed = whole('--seed', values.seed, 0, 2 ** 31);
    const watchMs = whole('--minutes', values.minutes, 1, 60) * 60_000;
    const options = { ...figureOptions(hosts), seed, watchMs };
    return measure(
      values.phases === undefined ? options : { ...options, phases: eachOf(PHASES, 'phase', values.phases) },
    );
  }
  const range = seedRange(values.seeds) ?? {
    firstSeed: whole('--seed', values.seed, 1, 2 ** 31),
    seeds: whole('--seeds', values.seeds, 1, 1_000_000),
  };
  if (range.seeds > 1) {
    const sum = await simulateSeeds({
      ...range,
      hosts: [hosts],
      durationMs: whole('--minutes', values.minutes, 1, 24 * 60) * 60_000,
      faults: faultKinds(values.faults),
      keepAs: values.schedule.replace(/\.json$/, ''),
      told: (line) => process.stdout.write(`${line}\n`),
    });
    process.stdout.write(`${seedsLines(sum).join('\n')}\n`);
    return sum.failed.length > 0 ? 1 : 0;
  }
  const schedule =
    values.replay !== undefined
      ? readSchedule(values.replay)
      : randomSchedule({
          hosts,
          seed: whole('--seed', values.seed, 0, 2 ** 32 - 1),
          durationMs: whole('--minutes', values.minutes, 1, 24 * 60) * 60_000,
          faults: faultKinds(values.faults),
        });
  const startedMs = performance.now();
  const outcome = await simulate(schedule, { idleMs: IDLE_MS });
  const wallMs = performance.now() - startedMs;
  if (values.log || outcome.violation !== null) process.stdout.write(`${outcome.log.join('\n')}\n\n`);
  process.stdout.write(`${reportLines(schedule, outcome, wallMs).join('\n')}\n`);
  if (outcome.violation === null) return 0;
  const kept = values.shrink ? await shrinkAlike(schedule, outcome.violation) : schedule;
  keep(kept, values.schedule);
  process.stdout.write(`FAILED: ${outcome.violation.split('\n')[0]}\n`);
  return 1;
}

/** A mesh too large for whole members: its figures beside their goals. */
async function measure(options: FigureOptions): Promise<number> {
  const startedMs = performance.now();
  const told = (line: string): void => {
    process.stderr.write(`${line}, after ${Math.round(spentSince(startedMs).cpuMs / 1_000)} s of one core\n`);
  };
  const figures = await measureFigures(options, told);
  const { lines, missed } = figureLines(options.hosts, figures, spentSince(startedMs));
  process.stdout.write(`${lines.join('\n')}\n`);
  return missed > 0 ? 1 : 0;
}

function shrinkAlike(schedule: Schedule, violation: string): Promise<Schedule> {
  return shrink(schedule, async (one) => isAlike(violation, (await simulate(one)).violation ?? ''));
}

function keep(schedule: Schedule, path: string): void {
  writeSchedule(path, schedule);
  process.stdout.write(`schedule of ${schedule.steps.length} steps: npm run sim -- --replay ${path}\n`);
}

function faultKinds(text: string): readonly FaultKind[] {
  if (text === 'all') return FAULT_KINDS;
  if (text === 'none') return [];
  return eachOf(FAULT_KINDS, 'fault', text);
}

function eachOf<T extends string>(all: readonly T[], what: string, text: string): readonly T[] {
  return text.split(',').map((name) => {
    const found = all.find((one) => one === name);
    if (found === undefined) throw new UsageError(`there is no ${what} ${name}`);
    return found;
  });
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new UsageError(`${flag} is a whole number from ${min} to ${max}`);
  }
  return value;
}

class UsageError extends Error {}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  if (isUsage !== true) throw error;
  process.stderr.write(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
