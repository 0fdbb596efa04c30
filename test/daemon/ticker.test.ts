import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { Ticker } from '../../src/daemon/ticker.ts';
import { systemTimers } from '../../src/host/system-timers.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function counting(nextMs: () => number, failed: (error: FabricError) => void = () => undefined) {
  const at: number[] = [];
  const startMs = performance.now();
  const ticker = new Ticker(
    systemTimers,
    () => {
      at.push(performance.now() - startMs);
      return nextMs();
    },
    failed,
  );
  return { at, ticker };
}

test('nothing happens before the first wake; then as often as the core says', () => {
  const { at, ticker } = counting(() => 100);
  vi.advanceTimersByTime(1_000);
  expect(at).toEqual([]);
  ticker.wake();
  vi.advanceTimersByTime(250);
  expect(at).toEqual([1_000, 1_100, 1_200]);
});

test('a wake brings the tick forward and never back', () => {
  const { at, ticker } = counting(() => 1_000);
  ticker.wake();
  vi.advanceTimersByTime(0);
  ticker.wake(200);
  ticker.wake(500);
  vi.advanceTimersByTime(600);
  expect(at).toEqual([0, 200]);
});

test('a core with nothing due sleeps until it is woken', () => {
  const { at, ticker } = counting(() => Number.POSITIVE_INFINITY);
  ticker.wake();
  vi.advanceTimersByTime(10 ** 9);
  expect(at).toEqual([0]);
  ticker.wake();
  vi.advanceTimersByTime(0);
  expect(at).toHaveLength(2);
});

test('a time beyond what timers can hold does not tick in a circle', () => {
  const { at, ticker } = counting(() => 2 ** 40);
  ticker.wake();
  vi.advanceTimersByTime(60_000);
  expect(at).toEqual([0]);
});

test('a stopped ticker never ticks again', () => {
  const { at, ticker } = counting(() => 10);
  ticker.wake();
  ticker.stop();
  ticker.wake();
  vi.advanceTimersByTime(1_000);
  expect(at).toEqual([]);
});

test('a tick that a full disk stops is reported and tried again; a bug is not caught', () => {
  const failures: string[] = [];
  let error: Error | null = new FabricError('limit', { what: 'the disk is full' });
  const { at, ticker } = counting(
    () => {
      if (error !== null) throw error;
      return 10_000;
    },
    ({ message }) => failures.push(message),
  );
  ticker.wake();
  vi.advanceTimersByTime(1_500);
  expect(at).toEqual([0, 1_000]);
  expect(failures).toHaveLength(2);
  error = null;
  vi.advanceTimersByTime(5_000);
  expect(at).toEqual([0, 1_000, 2_000]);
  error = new Error('bug');
  ticker.wake();
  expect(() => vi.advanceTimersByTime(0)).toThrow('bug');
});
