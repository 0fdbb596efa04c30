import { expect, test } from 'vitest';
import { randomSchedule } from './random-schedule.ts';
import type { Action, Schedule } from './schedule.ts';
import { simulate } from './simulation.ts';

const LEASE_MS = 20_000;
/** Five voters are chosen in the first seconds, and then say nothing for a lease. */
const VOTING_MS = 40_000;

/** Containers come and go on five hosts; besides, what is given happens. */
function withSteps(durationMs: number, steps: readonly (readonly [atMs: number, action: Action])[]): Schedule {
  const schedule = randomSchedule({ seed: 5, hosts: 5, durationMs, faults: [], leaseTimeMs: LEASE_MS });
  const all = [...schedule.steps, ...steps.map(([atMs, action]) => ({ atMs, action }))];
  return { ...schedule, steps: all.sort((a, b) => a.atMs - b.atMs) };
}

test('the blocks of a host that is off for longer than its lease go to another one; when it is back it gets others', {
  timeout: 60_000,
}, async () => {
  const schedule = withSteps(85_000, [
    [VOTING_MS, { kind: 'cut-power', host: 4 }],
    [72_000, { kind: 'launch', host: 4 }],
  ]);
  const { violation, log } = await simulate(schedule);
  expect(violation).toBeNull();
  const reclaims = log.filter((line) => line.includes('blocks of a host that is gone have a new owner'));
  expect(reclaims.length).toBeGreaterThan(0);
  expect(log.some((line) => line.includes('this host was gone for too long'))).toBe(true);
});

test('who made a network and owns all of it is off: the others go on in it by vote', { timeout: 60_000 }, async () => {
  const blue = { network: 'blue' };
  const schedule = withSteps(85_000, [
    [20_000, { kind: 'create-network', host: 4, ...blue }],
    [VOTING_MS - 1_000, { kind: 'attach', host: 4, container: 'near', ...blue }],
    [VOTING_MS, { kind: 'cut-power', host: 4 }],
    [72_000, { kind: 'attach', host: 1, container: 'far', ...blue }],
    [75_000, { kind: 'launch', host: 4 }],
    [80_000, { kind: 'attach', host: 4, container: 'back', ...blue }],
  ]);
  const { violation, operations } = await simulate(schedule);
  expect(violation).toBeNull();
  expect(operations.get('attach in blue ok')).toBe(3);
});

test('random faults with containers in two networks', { timeout: 60_000 }, async () => {
  const faults = ['crash', 'power', 'partition', 'loss', 'torn-write'] as const;
  const wish = { seed: 6, hosts: 6, durationMs: 40_000, faults, leaseTimeMs: 5_000, namedNetwork: 'blue' };
  const { violation, operations, log } = await simulate(randomSchedule(wish));
  expect(violation).toBeNull();
  expect(operations.get('attach in blue ok')).toBeGreaterThan(5);
  expect(log.some((line) => line.includes('have a new owner'))).toBe(true);
});

test('a partition that is shorter than the lease takes nothing from anybody', { timeout: 60_000 }, async () => {
  const schedule = withSteps(60_000, [
    [
      VOTING_MS,
      {
        kind: 'partition',
        groups: [
          [0, 1],
          [2, 3, 4],
        ],
      },
    ],
    [VOTING_MS + LEASE_MS / 2, { kind: 'heal' }],
  ]);
  const { violation, log } = await simulate(schedule);
  expect(violation).toBeNull();
  expect(log.filter((line) => line.includes('have a new owner'))).toEqual([]);
});
