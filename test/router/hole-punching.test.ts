import { describe, expect, test } from 'vitest';
import { DIRECT_PAUSE_MAX_MS, DIRECT_PAUSE_MS, HolePunching } from '../../src/router/hole-punching.ts';

const WHO = { last: false };

/** Steps at each second from `fromMs`, for that long. */
function steps(punching: HolePunching, fromMs: number, ms: number): readonly string[] {
  const taken: string[] = [];
  for (let nowMs = fromMs; nowMs < fromMs + ms; nowMs += 1_000) {
    const step = punching.step(nowMs, WHO);
    if (step !== null) taken.push(`${nowMs} ${step}`);
    if (step === 'call') punching.signalled(nowMs, { first: false });
  }
  return taken;
}

describe('when a relayed tunnel looks for a direct path', () => {
  test('never while it is direct', () => {
    const punching = new HolePunching();
    expect(steps(punching, 0, 100_000)).toEqual([]);
    punching.signalled(0, { first: true });
    punching.rest();
    expect(steps(punching, 0, 100_000)).toEqual([]);
  });

  test('at once when it became relayed, then ever more seldom, each time after a call', () => {
    const punching = new HolePunching();
    punching.signalled(0, { first: true });
    expect(steps(punching, 0, 75_000)).toEqual([
      '0 try',
      `${DIRECT_PAUSE_MS} call`,
      `${DIRECT_PAUSE_MS + 1_000} try`,
      `${3 * DIRECT_PAUSE_MS + 1_000} call`,
      `${3 * DIRECT_PAUSE_MS + 2_000} try`,
      `${7 * DIRECT_PAUSE_MS + 2_000} call`,
      `${7 * DIRECT_PAUSE_MS + 3_000} try`,
    ]);
    expect(punching.dueMs - (7 * DIRECT_PAUSE_MS + 3_000)).toBe(DIRECT_PAUSE_MAX_MS);
  });

  test('together with the other end when that has called, and then not by itself', () => {
    const punching = new HolePunching();
    punching.signalled(0, { first: true });
    punching.step(0, WHO);
    punching.signalled(9_000, { first: false });
    expect(steps(punching, 9_000, 19_000)).toEqual(['9000 try']);
  });

  test('whatever the other end signals, tries are five seconds apart', () => {
    const punching = new HolePunching();
    punching.signalled(0, { first: true });
    let tries = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
      punching.signalled(nowMs, { first: false });
      if (punching.step(nowMs, WHO) === 'try') tries++;
    }
    expect(tries).toBeLessThanOrEqual(12);
  });

  test('a call that nobody answers is no try: the next one comes after the same pause', () => {
    const punching = new HolePunching();
    punching.restart(0);
    expect([punching.step(0, WHO), punching.dueMs]).toEqual(['call', DIRECT_PAUSE_MS]);
    expect([punching.step(DIRECT_PAUSE_MS, WHO), punching.dueMs]).toEqual(['call', 2 * DIRECT_PAUSE_MS]);
  });

  test('of two ends that began together one calls first', () => {
    const [first, last] = [new HolePunching(), new HolePunching()];
    for (const one of [first, last]) one.signalled(0, { first: true });
    first.step(0, { last: false });
    last.step(0, { last: true });
    expect(last.dueMs).toBeGreaterThan(first.dueMs);
  });
});
