import { expect, test } from 'vitest';
import type { PeerId } from '../../../src/base/ids.ts';
import { ElsewhereNews } from '../../../src/daemon/events/elsewhere-news.ts';
import { ManualTimers } from '../../fakes/manual-timers.ts';

const self = 'aa' as PeerId;
const other = 'bb' as PeerId;

function setUp() {
  const timers = new ManualTimers();
  const told: string[] = [];
  const news = new ElsewhereNews(self, timers, ({ kind, what }) => told.push(`${kind}: ${what}`));
  return { timers, told, news };
}

test('the first at once, the others of a second together', () => {
  const { timers, told, news } = setUp();
  news.start();
  for (let n = 0; n < 100; n++) news.claim(other);
  news.withdraw(other);
  expect(told).toEqual(['elsewhere: containers on other hosts: 1 came or changed']);
  timers.advance(1_000);
  expect(told.slice(1)).toEqual(['elsewhere: containers on other hosts: 99 came or changed, 1 went']);
  timers.advance(1_000);
  news.withdraw(other);
  expect(told.slice(2)).toEqual(['elsewhere: containers on other hosts: 1 went']);
});

test('what was known before the start, and our own, is no news', () => {
  const { timers, told, news } = setUp();
  news.claim(other);
  news.start();
  news.claim(self);
  news.withdraw(self);
  timers.advance(5_000);
  expect([told, timers.pending]).toEqual([[], 0]);
});

test('it ends', () => {
  const { timers, told, news } = setUp();
  news.start();
  news.claim(other);
  news.stop();
  news.claim(other);
  timers.advance(5_000);
  expect([told.length, timers.pending]).toEqual([1, 0]);
});
