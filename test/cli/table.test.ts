import { expect, test } from 'vitest';
import { bitRate, bytes, duration, printable, table } from '../../src/cli/table.ts';

test('columns are as wide as their widest cell, without blanks at the end', () => {
  expect(
    table(
      ['NAME', 'STATE'],
      [
        ['a-long-name', 'up'],
        ['b', 'down'],
      ],
    ),
  ).toBe('NAME         STATE\na-long-name  up\nb            down');
  expect(table(['A', 'B'], [['x', '']])).toBe('A  B\nx');
  expect(table(['A'], [])).toBe('none');
});

test('the routes of a large cluster fit in one table', () => {
  const rows = Array.from({ length: 150_000 }, (_, i) => [String(i)]);
  expect(table(['N'], rows).split('\n').length).toBe(150_001);
});

test('names from the network can not move the cursor or break a line', () => {
  expect(printable('a\u001b[2Jb\nc\u009bd')).toBe('a\\x1b[2Jb\\x0ac\\x9bd');
  expect(table(['A'], [['x\ny']])).toBe('A\nx\\x0ay');
});

test.each([
  [0, '0 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [3_599_999, '59 min'],
  [3_600_000, '1 h'],
  [86_399_999, '23 h'],
  [86_400_000, '1 d'],
  [400 * 86_400_000, '400 d'],
])('%i ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test.each([
  [0, '0 bit/s'],
  [124.9, '999 bit/s'],
  [125, '1.0 kbit/s'],
  [1.25e6, '10.0 Mbit/s'],
  [1.25e9, '10.0 Gbit/s'],
  [1e15, '8000.0 Tbit/s'],
])('%f bytes a second are %s', (rate, text) => {
  expect(bitRate(rate)).toBe(text);
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536, '1.5 KiB'],
  [5 * 2 ** 30, '5.0 GiB'],
  [2 ** 60, '1024.0 PiB'],
])('%i bytes are %s', (count, text) => {
  expect(bytes(count)).toBe(text);
});
