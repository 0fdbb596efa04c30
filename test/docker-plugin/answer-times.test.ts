import { expect, test } from 'vitest';
import { AnswerTimes } from '../../src/docker-plugin/answer-times.ts';

function timesOf(...ms: readonly number[]): AnswerTimes {
  const times = new AnswerTimes();
  for (const each of ms) times.add(each);
  return times;
}

test.each([
  ['none yet', timesOf(), 0, 0],
  ['one', timesOf(7), 7, 7],
  ['two', timesOf(9, 3), 3, 9],
  ['a hundred, in any order', timesOf(...Array.from({ length: 100 }, (_, i) => 100 - i)), 50, 99],
])('median and 99 of 100: %s', (_name, times, median, p99) => {
  expect([times.quantile(0.5), times.quantile(0.99)]).toEqual([median, p99]);
});

test('old ones are forgotten', () => {
  const times = timesOf(...Array.from({ length: 5_000 }, (_, i) => (i < 100 ? 900 : 1)));
  expect(times.quantile(1)).toBe(1);
});
