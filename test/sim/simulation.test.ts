import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';
import { seedRange, simulateSeeds } from './many-seeds.ts';
import { FAULT_KINDS, randomSchedule } from './random-schedule.ts';
import { readSchedule, writeSchedule } from './schedule.ts';
import { isAlike, shrink } from './shrink.ts';
import { CONVERGE_MAX_MS, IDLE_BYTES_PER_SECOND_MAX, simulate } from './simulation.ts';

const SCHEDULES = join(import.meta.dirname, 'schedules');

describe('determinism', () => {
  const schedule = randomSchedule({ seed: 3, hosts: 5, durationMs: 12_000, faults: FAULT_KINDS });

  test('one schedule gives one outcome, to the last message', async () => {
    const [first, second] = [await simulate(schedule), await simulate(schedule)];
    expect(second).toEqual(first);
    expect(first.violation).toBeNull();
  });

  test('another seed gives another run of the same schedule', async () => {
    const [first, second] = [await simulate(schedule), await simulate({ ...schedule, seed: 4 })];
    expect(second.traceHash).not.toBe(first.traceHash);
  });
});

test('ten hosts join, agree at once, and are quiet when nothing happens', async () => {
  const schedule = randomSchedule({ seed: 1, hosts: 10, durationMs: 6_000, faults: [] });
  const outcome = await simulate(schedule, { idleMs: 5_000 });
  expect(outcome.violation).toBeNull();
  const refused = [...outcome.operations.keys()].filter((what) => !/ (ok|without a daemon)$/.test(what));
  expect(refused).toEqual([]);
  expect(outcome.convergedMs).toBeLessThan(1_000);
  expect(outcome.idleBytesPerSecond).toBeLessThan(IDLE_BYTES_PER_SECOND_MAX);
  expect(outcome.tunnels.established).toBeGreaterThan(0);
});

test('both families', async () => {
  const wish = { seed: 9, hosts: 5, durationMs: 10_000, faults: FAULT_KINDS, range6: 'fd00:1:2::/48' };
  expect((await simulate(randomSchedule(wish))).violation).toBeNull();
});

test('a fixed set of seeds with all kinds of faults', { timeout: 120_000 }, async () => {
  const sum = await simulateSeeds({ firstSeed: 1, seeds: 9, hosts: [4, 6, 8], durationMs: 20_000, keepAs: null });
  expect(sum.failed).toEqual([]);
  expect(sum.convergedMs.at(-1)).toBeLessThan(CONVERGE_MAX_MS);
});

test.each([
  ['1-9', { firstSeed: 1, seeds: 9 }],
  ['500-500', { firstSeed: 500, seeds: 1 }],
  ['9-1', null],
  ['0-3', null],
  ['12', null],
  ['1-2-3', null],
])('the range of seeds %s', (text, range) => {
  expect(seedRange(text)).toEqual(range);
});

describe('what once went wrong stays right', () => {
  test.each(readdirSync(SCHEDULES).filter((name) => name.endsWith('.json')))(
    '%s',
    { timeout: 120_000 },
    async (name) => {
      expect((await simulate(readSchedule(join(SCHEDULES, name)))).violation).toBeNull();
    },
  );
});

describe('schedules', () => {
  test('are read back from their file as they were', () => {
    const schedule = randomSchedule({ seed: 8, hosts: 5, durationMs: 30_000, faults: FAULT_KINDS });
    const path = join(temporaryDirectory(), 'schedule.json');
    writeSchedule(path, schedule);
    expect(readSchedule(path)).toEqual(schedule);
  });

  test.each([
    [
      'h15 has lost c62, which its caller believes attached',
      'h2 has lost c2, which its caller believes attached',
      true,
    ],
    ['no convergence 60 s after the last fault: h1 has no links', 'h15 is no member: it still starts', false],
  ])('%s, and %s: the same failure? %s', (one, other, same) => {
    expect(isAlike(one, other)).toBe(same);
  });

  test('shrink to the steps that matter', async () => {
    const schedule = randomSchedule({ seed: 8, hosts: 5, durationMs: 30_000, faults: FAULT_KINDS });
    const guilty = [schedule.steps[7]!, schedule.steps[schedule.steps.length - 3]!];
    const fails = async ({ steps }: typeof schedule) => guilty.every((step) => steps.includes(step));
    expect((await shrink(schedule, fails)).steps).toEqual(guilty);
  });
});
