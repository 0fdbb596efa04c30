// The simulator at length (docs/simulator.md): many random schedules on clusters of ten to fifty hosts, and the figures of a mesh of
// a thousand. Needs no root and no network. `npm test` runs a few seeds that are always the same; `test:long` draws fresh ones.

import t from 'tap';
import { run } from '../ipam/reclaim/voting-run.ts';
import { simulateSeeds } from '../sim/many-seeds.ts';
import { seedsLines } from '../sim/report.ts';
import { figureOptions, measureFigures } from '../sim/scale/figures.ts';
import { figureLines } from '../sim/scale/figures-report.ts';

const isLong = process.env.FABRIC_LONG === 'sim';
const HOSTS = isLong ? [10, 14, 20, 30, 50] : [10, 20, 50];
const SEEDS = isLong ? 400 : 3;
const DURATION_MS = isLong ? 60_000 : 20_000;
/** Longer than most faults, so that hosts reach the end of their leases, and few lose them. */
const LEASE_MS = 45_000;
const LEASE_SEEDS = isLong ? 200 : 2;
const VOTING_SEEDS = 400;

t.test(`${SEEDS} random schedules`, { timeout: 3_000_000 }, async (t) => {
  const firstSeed = isLong ? Math.floor(Date.now() / 1_000) : 1;
  t.comment(`seeds from ${firstSeed} on, ${HOSTS.join(', ')} hosts in turn`);
  const sum = await simulateSeeds({ firstSeed, seeds: SEEDS, hosts: HOSTS, durationMs: DURATION_MS, keepAs: null });
  for (const line of seedsLines(sum)) t.comment(line);
  t.same(sum.failed, []);
});

t.test(`${LEASE_SEEDS} random schedules with leases of ${LEASE_MS / 1_000} s`, { timeout: 3_000_000 }, async (t) => {
  const firstSeed = isLong ? Math.floor(Date.now() / 1_000) : 1;
  const wish = { firstSeed, seeds: LEASE_SEEDS, hosts: [6, 9, 12], durationMs: DURATION_MS, keepAs: null };
  const sum = await simulateSeeds({ ...wish, leaseTimeMs: LEASE_MS });
  for (const line of seedsLines(sum)) t.comment(line);
  t.same(sum.failed, []);
});

if (isLong) {
  t.test(`${VOTING_SEEDS} random runs of the voting about hosts that are gone`, { timeout: 3_000_000 }, async (t) => {
    const firstSeed = Math.floor(Date.now() / 1_000);
    let reclaims = 0;
    let slots = 0;
    for (let seed = firstSeed; seed < firstSeed + VOTING_SEEDS; seed++) {
      const facts = run(seed, { hosts: 4 + (seed % 4) });
      reclaims += facts.reclaims;
      slots += facts.slots;
    }
    t.comment(`seeds from ${firstSeed} on: ${slots} decisions, ${reclaims} of them gave blocks to another host`);
    t.ok(reclaims > 0);
  });

  t.test('the figures of a thousand hosts', { timeout: 3_000_000 }, async (t) => {
    const startedMs = performance.now();
    const hosts = 1_000;
    const options = { ...figureOptions(hosts), seed: 1, watchMs: 60_000 };
    const figures = await measureFigures(options, (line) => t.comment(line));
    const { lines, missed } = figureLines(hosts, figures, performance.now() - startedMs);
    for (const line of lines) t.comment(line);
    t.equal(missed, 0, 'all goals are met');
  });
}
