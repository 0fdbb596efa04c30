import { expect, test } from 'vitest';
import { measureFigures } from './figures.ts';
import { figureLines } from './figures-report.ts';

const SHORT = {
  hosts: 60,
  seed: 5,
  containers: 4,
  updates: 8,
  failures: 3,
  idleMs: 20_000,
  churnMs: 300,
  watchMs: 20_000,
  partitionMs: 15_000,
};

test('the figures of a small mesh of partial views, and the same ones again', { timeout: 120_000 }, async () => {
  const figures = await measureFigures(SHORT, () => {});
  expect(figures.linksMax).toBeLessThanOrEqual(10);
  expect(figures.linksMean).toBeLessThan(8);
  expect(figures.spreadMs).toBeLessThan(1_000);
  expect(figures.idleBytesPerSecond).toBeLessThan(1_024);
  expect(figures.failureMs).toBeLessThan(10_000);
  expect(figures.falseDeaths).toBe(0);
  expect(figures.healMs).toBeLessThan(5_000);
  const { stateBytes: _measured, ...again } = await measureFigures(SHORT, () => {});
  expect(again).toEqual({ ...figures, stateBytes: undefined });
});

test('a goal that is missed is said, and so is the sum', () => {
  const figures = {
    meshedMs: 400,
    linksMean: 6.2,
    linksMax: 10,
    spreadMs: 900,
    spreadLossyMs: 'never',
    idleBytesPerSecond: 2_000,
    idleMessagesPerSecond: 9,
    churnBytesPerSecond: 'not measured',
    failureMs: 9_000,
    falseDeaths: 0,
    watchedMs: 60_000,
    healMs: 2_000,
    stateBytes: 30 * 2 ** 20,
    events: 1,
    simulatedMs: 1,
  } as const;
  const { lines, missed } = figureLines(1_000, figures, { wallMs: 1_000, cpuMs: 900, memoryMiB: 50 });
  expect(missed).toBe(2);
  expect(lines.filter((line) => line.endsWith('MISSED')).map((line) => line.split('  ')[0])).toEqual([
    'the same at 25 % loss',
    'idle bytes per peer and second',
  ]);
  expect(lines.at(-2)).toBe('0.0 s simulated in 1.0 s (0.9 s of one core), 1 events, 50 MiB');
  expect(lines.at(-1)).toBe('FAILED: 1000 hosts, 6 of 9 goals met, 1 not measured');
});
