import { describe, expect, test } from 'vitest';
import { GOSSIP_TIMES, NEWS_WINDOW_MS } from '../../src/gossip/limits.ts';
import { Pace } from '../../src/gossip/pace.ts';

/** After ten windows of news at that rate; the time of the last one. */
function paceAt(perSecond: number): { pace: Pace; nowMs: number } {
  const pace = new Pace(GOSSIP_TIMES);
  const everyMs = 1_000 / perSecond;
  let nowMs = 0;
  for (let i = 1; i * everyMs <= 10 * NEWS_WINDOW_MS; i++) {
    nowMs = i * everyMs;
    pace.saw(nowMs);
  }
  return { pace, nowMs };
}

describe('the pauses stretch with the rate of news', () => {
  test.each([
    ['a change every two seconds', 0.5, { own: 10, push: 10, lazy: 30 }],
    ['8 changes per second', 8, { own: 10, push: 10, lazy: 30 }],
    ['100 changes per second', 100, { own: 100, push: 100, lazy: 300 }],
    ['500 changes per second', 500, { own: 500, push: 200, lazy: 600 }],
    ['5,000 changes per second', 5_000, { own: 500, push: 200, lazy: 600 }],
  ])('%s', (_name, perSecond, wanted) => {
    const { pace, nowMs } = paceAt(perSecond);
    const pauses = { own: pace.ownPushMs(nowMs), push: pace.pushMs(nowMs), lazy: pace.lazyMs(nowMs) };
    for (const [name, ms] of Object.entries(wanted)) {
      expect(pauses[name as keyof typeof pauses], name).toBeGreaterThanOrEqual(ms);
      expect(pauses[name as keyof typeof pauses], name).toBeLessThan(1.1 * ms);
    }
    expect(pace.isBusy(nowMs)).toBe(perSecond > 10);
  });

  test('by the versions that a push brings, but a claim of very many does not last', () => {
    const pace = new Pace(GOSSIP_TIMES);
    for (let nowMs = 0; nowMs < 10_000; nowMs += 100) pace.saw(nowMs, 10);
    expect(pace.pushMs(10_000)).toBeGreaterThan(90);
    pace.saw(10_000, 2 ** 50);
    expect(pace.isBusy(10_000 + 3 * NEWS_WINDOW_MS)).toBe(false);
  });

  test('a rush is over once, when nothing new has come for half a second; a calm mesh has none', () => {
    const { pace, nowMs } = paceAt(100);
    expect(pace.takeRushOver(nowMs + 499)).toBe(false);
    pace.saw(nowMs + 499);
    expect(pace.rushOverAtMs).toBe(nowMs + 999);
    expect([998, 999, 1_000].map((ms) => pace.takeRushOver(nowMs + ms))).toEqual([false, true, false]);

    const calm = paceAt(8);
    expect(calm.pace.rushOverAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('and are as short as ever a few seconds after', () => {
    const { pace, nowMs } = paceAt(500);
    expect(pace.isBusy(nowMs + 3 * NEWS_WINDOW_MS)).toBe(true);
    expect(pace.isBusy(nowMs + 5 * NEWS_WINDOW_MS)).toBe(false);
    expect(pace.pushMs(nowMs + 5 * NEWS_WINDOW_MS)).toBe(GOSSIP_TIMES.pushMs);
  });
});
