import { expect, test } from 'vitest';
import { NewsLag } from '../../src/gossip/news-lag.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

test('measures from the first thing missing until nothing is', () => {
  const clock = new ManualClock();
  const took: number[] = [];
  const lag = new NewsLag(clock, (ms) => took.push(ms));
  lag.observe(0);
  clock.advance(100);
  expect(lag.behindMs).toBe(0);
  lag.observe(3);
  clock.advance(40);
  lag.observe(7);
  expect(lag.behindMs).toBe(40);
  clock.advance(10);
  lag.observe(0);
  lag.observe(0);
  expect([took, lag.behindMs]).toEqual([[50], 0]);
});
