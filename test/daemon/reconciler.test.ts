import { expect, test } from 'vitest';
import { Reconciler } from '../../src/daemon/reconciler.ts';

/** Work that ends when the test says so. */
function setUp() {
  const ends: ((error?: Error) => void)[] = [];
  const reasons: string[] = [];
  const work = () =>
    new Promise<void>((resolve, reject) => ends.push((error) => (error === undefined ? resolve() : reject(error))));
  const reconciler = new Reconciler(work, (reason) => reasons.push(reason));
  const end = async (error?: Error) => {
    ends.at(-1)!(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { reconciler, reasons, end, runs: () => ends.length };
}

test('one run at a time, and one more for whatever was asked meanwhile', async () => {
  const { reconciler, end, runs } = setUp();
  reconciler.request();
  for (let i = 0; i < 3; i++) reconciler.request();
  expect(runs()).toBe(1);
  await end();
  expect(runs()).toBe(2);
  await end();
  expect(runs()).toBe(2);
  reconciler.request();
  expect(runs()).toBe(3);
});

test('a failure is kept and told until a run succeeds', async () => {
  const { reconciler, reasons, end } = setUp();
  reconciler.request();
  await end(new Error('no netlink'));
  expect(reconciler.fault).toBe('no netlink');
  expect(reasons).toEqual(['no netlink']);
  reconciler.request();
  await end();
  expect(reconciler.fault).toBeNull();
});

test('stop waits for the run under way and starts no other', async () => {
  const { reconciler, end, runs } = setUp();
  reconciler.request();
  reconciler.request();
  const stopped = reconciler.stop();
  await end();
  await stopped;
  reconciler.request();
  expect(runs()).toBe(1);
});

test('again and again until it is stopped', async () => {
  const { reconciler, end, runs } = setUp();
  const due: (() => void)[] = [];
  let cancelled = 0;
  const timers = {
    nowMs: () => 0,
    after: (ms: number, run: () => void) => {
      expect(ms).toBe(60_000);
      due.push(run);
      return () => void cancelled++;
    },
    soon: () => () => undefined,
  };
  reconciler.every(60_000, timers);
  due.shift()!();
  expect([runs(), due.length]).toEqual([1, 1]);
  await end();
  await reconciler.stop();
  expect(cancelled).toBe(1);
});
