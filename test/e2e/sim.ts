// The simulator at length (docs/simulator.md): many random schedules on clusters of ten to thirty hosts, and the figures of a mesh of
// a thousand. Needs no root and no network. `npm test` runs a few seeds that are always the same; `test:long` draws fresh ones.

import t from 'tap';
import { simulateSeeds } from '../sim/many-seeds.ts';
import { seedsLines } from '../sim/report.ts';
import { FIGURES, measureFigures } from '../sim/scale/figures.ts';
import { figureLines } from '../sim/scale/figures-report.ts';

const isLong = process.env.FABRIC_LONG === 'sim';
const HOSTS = isLong ? [10, 14, 20, 30] : [12];
const SEEDS = isLong ? 400 : 3;
const DURATION_MS = isLong ? 60_000 : 30_000;

t.test(`${SEEDS} random schedules`, { timeout: 3_000_000 }, async (t) => {
  const firstSeed = isLong ? Math.floor(Date.now() / 1_000) : 1;
  t.comment(`seeds from ${firstSeed} on, ${HOSTS.join(', ')} hosts in turn`);
  const sum = await simulateSeeds({ firstSeed, seeds: SEEDS, hosts: HOSTS, durationMs: DURATION_MS, keepAs: null });
  for (const line of seedsLines(sum)) t.comment(line);
  t.same(sum.failed, []);
});

if (isLong) {
  t.test('the figures of a thousand hosts', { timeout: 3_000_000 }, async (t) => {
    const startedMs = performance.now();
    const hosts = 1_000;
    const options = { ...FIGURES, hosts, seed: 1, watchMs: 60_000 };
    const figures = await measureFigures(options, (line) => t.comment(line));
    const { lines, missed } = figureLines(hosts, figures, performance.now() - startedMs);
    for (const line of lines) t.comment(line);
    t.equal(missed, 0, 'all goals are met');
  });
}
