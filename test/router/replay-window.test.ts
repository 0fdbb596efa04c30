import { describe, expect, it } from 'vitest';
import { REPLAY_WINDOW, ReplayWindow } from '../../src/router/replay-window.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

describe('replay window', () => {
  const rows: readonly { name: string; marked: readonly number[]; counter: number; verdict: string }[] = [
    { name: 'the first counter is fresh', marked: [], counter: 0, verdict: 'fresh' },
    { name: 'a repeat is replayed', marked: [0], counter: 0, verdict: 'replayed' },
    { name: 'a gap is fresh', marked: [0, 2], counter: 1, verdict: 'fresh' },
    { name: 'the oldest in the window is fresh', marked: [REPLAY_WINDOW], counter: 1, verdict: 'fresh' },
    { name: 'TM2 one before the window is too old', marked: [REPLAY_WINDOW], counter: 0, verdict: 'too-old' },
    { name: 'a jump over the whole ring forgets', marked: [5, 5 + 40_000], counter: 40_004, verdict: 'fresh' },
    { name: 'beyond 2^32', marked: [2 ** 40], counter: 2 ** 40 - 1, verdict: 'fresh' },
    { name: 'a repeat beyond 2^32', marked: [2 ** 40, 2 ** 40 + 33], counter: 2 ** 40, verdict: 'replayed' },
    { name: 'at the largest counter', marked: [2 ** 53 - 1], counter: 2 ** 53 - 1, verdict: 'replayed' },
  ];
  for (const { name, marked, counter, verdict } of rows) {
    it(name, () => {
      const window = new ReplayWindow();
      for (const mark of marked) window.mark(mark);
      expect(window.check(counter)).toBe(verdict);
    });
  }

  it('TM1 TM2 agrees with a set of all counters ever seen', () => {
    const random = new SeededRandom(1);
    for (let run = 0; run < 8; run++) {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      let highest = run * 1e9;
      for (let step = 0; step < 3000; step++) {
        const jump = random.below(50) === 0 ? random.below(20_000) : random.below(40);
        const counter = Math.max(0, highest + jump - random.below(random.below(2) === 0 ? 60 : 9000));
        const top = seen.size === 0 ? -1 : highest;
        const expected = seen.has(counter) ? 'replayed' : 'fresh';
        const verdict = window.check(counter);
        expect(verdict).toBe(counter <= top && top - counter >= REPLAY_WINDOW ? 'too-old' : expected);
        if (verdict !== 'fresh') continue;
        window.mark(counter);
        highest = seen.size === 0 ? counter : Math.max(highest, counter);
        seen.add(counter);
      }
    }
  });
});
