// What a handful of runs says, against figures worked out by hand.

import { describe, expect, test } from 'vitest';
import { estimateRatio, summarize, T_PAIRS_MAX } from '../../bench/statistics.ts';

describe('a summary', () => {
  test.each([
    ['one value', [3], 3],
    ['an odd number', [5, 1, 3], 3],
    ['an even number', [4, 1, 3, 2], 2.5],
  ])('of %s has its median', (_, values, median) => {
    expect(summarize(values)).toEqual({ min: Math.min(...values), median, max: Math.max(...values), values });
  });
});

describe('the ratio of pairs', () => {
  test('that agree is exact', () => {
    expect(
      estimateRatio([
        [2, 1],
        [4, 2],
        [6, 3],
      ]),
    ).toEqual({ estimate: 2, low: 2, high: 2 });
  });

  test('does not care how fast the machine was at the time', () => {
    const [slow, quick] = [
      estimateRatio([
        [30, 10],
        [20, 10],
      ]),
      estimateRatio([
        [3, 1],
        [200, 100],
      ]),
    ];
    expect(slow.estimate).toBeCloseTo(quick.estimate, 12);
    expect(slow.low).toBeCloseTo(quick.low, 12);
  });

  test('has the interval of the t distribution around the mean of the logarithms', () => {
    // Logarithms -1, 0 and 1: mean 0, variance 1, and 4.303 for two degrees of freedom.
    const { estimate, low, high } = estimateRatio([
      [1, Math.E],
      [1, 1],
      [Math.E, 1],
    ]);
    expect(estimate).toBeCloseTo(1, 12);
    expect(Math.log(high)).toBeCloseTo(4.303 / Math.sqrt(3), 12);
    expect(Math.log(low)).toBeCloseTo(-4.303 / Math.sqrt(3), 12);
  });

  test('needs two pairs, and has a table for so many', () => {
    const pairs = (count: number) => Array.from({ length: count }, () => [1, 1] as const);
    expect(() => estimateRatio(pairs(1))).toThrow(RangeError);
    expect(estimateRatio(pairs(T_PAIRS_MAX)).estimate).toBe(1);
    expect(() => estimateRatio(pairs(T_PAIRS_MAX + 1))).toThrow(RangeError);
  });
});
