// The figures of a large mesh beside their goals (docs/simulator.md): a thousand hosts, and nobody alive may be declared dead within
// a simulated hour; FABRIC_LONG_OF takes another number of hosts. Needs no root and no network.

import t from 'tap';
import { figureOptions, measureFigures } from '../sim/scale/figures.ts';
import { figureLines, spentSince } from '../sim/scale/figures-report.ts';

const HOSTS = Number(process.env.FABRIC_LONG_OF || 1_000);
const WATCH_MS = 3_600_000;

t.test(`the figures of ${HOSTS} hosts`, { timeout: 3_500_000 }, async (t) => {
  const startedMs = performance.now();
  const options = { ...figureOptions(HOSTS), seed: 1, watchMs: WATCH_MS };
  const figures = await measureFigures(options, (line) => t.comment(line));
  const { lines, missed } = figureLines(HOSTS, figures, spentSince(startedMs));
  for (const line of lines) t.comment(line);
  t.equal(missed, 0, 'all goals are met');
});
