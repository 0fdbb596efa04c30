import { expect, test } from 'vitest';
import { parseDurationMs } from '../../src/base/duration.ts';

test.each([
  ['0s', 0],
  ['90s', 90_000],
  ['30m', 1_800_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['', null],
  ['90', null],
  ['1.5h', null],
  ['-1s', null],
  ['1 s', null],
  ['1w', null],
  ['9999999s', null],
])('%s', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});
