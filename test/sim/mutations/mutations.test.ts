import { afterEach, describe, expect, test, vi } from 'vitest';
import { simulate } from '../simulation.ts';
import { MUTANTS } from './mutants.ts';

/** Undisturbed clusters agree long before that (simulation.test.ts). */
const CONVERGE_MAX_MS = 10_000;

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the checkers catch broken variants', () => {
  test.each(MUTANTS)('$name', { timeout: 60_000 }, async ({ schedules, says, break: breakRule }) => {
    breakRule();
    const others = new Set<string>();
    for (const schedule of schedules) {
      const { violation } = await simulate(schedule, { convergeMaxMs: CONVERGE_MAX_MS });
      if (violation !== null && says.test(violation)) return;
      others.add(violation?.split('\n')[0] ?? 'nothing to complain about');
    }
    expect.fail(`not caught; the checkers said: ${[...others].join('; ')}`);
  });
});
