import { expect, test } from 'vitest';
import { type SourceCount, SteadyTotals } from '../../../src/daemon/metrics/steady-totals.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const count = (source: string, total: string, value: number): SourceCount => ({ source, total, value });

test('sums its sources', () => {
  const totals = new SteadyTotals();
  expect(Object.fromEntries(totals.observe([count('a', 'x', 3), count('b', 'x', 4), count('a', 'y', 1)]))).toEqual({
    x: 7,
    y: 1,
  });
});

test('a source that leaves takes nothing along, and counts anew when it comes back', () => {
  const totals = new SteadyTotals();
  totals.observe([count('a', 'x', 3), count('b', 'x', 4)]);
  expect(totals.observe([count('b', 'x', 5)]).get('x')).toBe(8);
  expect(totals.observe([count('a', 'x', 2), count('b', 'x', 5)]).get('x')).toBe(10);
});

test('a source that begins anew adds what it has counted since', () => {
  const totals = new SteadyTotals();
  totals.observe([count('a', 'x', 100)]);
  expect(totals.observe([count('a', 'x', 1)]).get('x')).toBe(101);
});

test('a sum without any source is forgotten, so that there are never more than sources name', () => {
  const totals = new SteadyTotals();
  totals.observe([count('a', 'x', 3), count('a', 'y', 3)]);
  expect([...totals.observe([count('a', 'y', 3)]).keys()]).toEqual(['y']);
});

test('whatever sources do, a sum that stays never falls and ends at what was counted', () => {
  const random = new SeededRandom(7);
  const totals = new SteadyTotals();
  const values = new Map<string, number>([['steady', 0]]);
  let counted = 0;
  let before = 0;
  for (let step = 0; step < 2_000; step++) {
    const name = `s${Math.floor(random.fraction() * 5)}`;
    const by = Math.floor(random.fraction() * 10);
    if (random.fraction() < 0.1) values.delete(name);
    else {
      values.set(name, (values.get(name) ?? 0) + by);
      counted += by;
    }
    const sum = totals.observe([...values].map(([source, value]) => count(source, 'x', value))).get('x')!;
    expect(sum).toBeGreaterThanOrEqual(before);
    expect(sum).toBe(counted);
    before = sum;
  }
});
