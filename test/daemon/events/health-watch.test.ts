import { expect, test } from 'vitest';
import { HealthWatch, WATCH_EVERY_MS } from '../../../src/daemon/events/health-watch.ts';
import type { Health, Problem } from '../../../src/daemon/status-types.ts';
import { ManualTimers } from '../../fakes/manual-timers.ts';

const problem = (code: string, why = 'why'): Problem => ({ code, what: `what ${code}`, why, fix: 'fix' });

function setUp() {
  const timers = new ManualTimers();
  const told: string[] = [];
  const late: number[] = [];
  const health: { now: Health } = { now: { ok: true, problems: [], notices: [] } };
  const watch = new HealthWatch({
    timers,
    judge: () => health.now,
    tell: ({ kind, what, subject }) => told.push(`${kind} ${subject}: ${what}`),
    late: (ms) => late.push(ms),
  });
  watch.start();
  const become = (problems: readonly Problem[], notices: readonly Problem[] = []) => {
    health.now = { ok: problems.length === 0, problems, notices };
    timers.advance(WATCH_EVERY_MS);
    return told.splice(0);
  };
  return { timers, watch, late, become };
}

test('problems and notices are told when they come and when they go, once', () => {
  const { become } = setUp();
  expect(become([])).toEqual([]);
  expect(become([problem('a')])).toEqual(['problem a: what a: why']);
  expect(become([problem('a'), problem('b')], [problem('n')])).toEqual([
    'problem b: what b: why',
    'notice n: what n: why',
  ]);
  expect(become([problem('b')], [problem('n')])).toEqual(['problem-solved a: what a']);
  expect(become([])).toEqual(['problem-solved b: what b', 'notice-gone n: what n']);
});

test('a reason that changes is no news', () => {
  const { become } = setUp();
  become([problem('a', 'first')]);
  expect(become([problem('a', 'second')])).toEqual([]);
});

test('it shows how late the loop is, and ends', () => {
  const { timers, watch, late, become } = setUp();
  become([]);
  expect(late).toEqual([0]);
  timers.clock.advance(WATCH_EVERY_MS + 250); // nothing fires meanwhile, as when the loop is blocked
  timers.advance(0);
  expect(late).toEqual([0, 250]);
  watch.stop();
  expect(timers.pending).toBe(0);
});
