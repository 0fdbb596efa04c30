import { expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { RecordIntake } from '../../src/daemon/record-intake.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';

const [ONE, OTHER] = ['1'.repeat(32), '2'.repeat(32)] as [PeerId, PeerId];
const X = Uint8Array.of(1);

function setUp() {
  const timers = new ManualTimers();
  const taken: string[] = [];
  const full = new Set<string>();
  let failures = 0;
  const intake = new RecordIntake({
    timers,
    apply: (author, { key, value }) => {
      if (full.has(key)) throw new FabricError('limit', { what: 'the disk is full' });
      taken.push(`${author[0]} ${key} ${value === null ? 'gone' : 'there'}`);
    },
    failed: () => failures++,
  });
  return { timers, taken, full, intake, failures: () => failures };
}

test('what could not be written waits alone, and is taken in once', () => {
  const { timers, taken, full, intake, failures } = setUp();
  full.add('net/7');
  intake.take(ONE, [
    { key: 'net/7', value: X },
    { key: 'at/1', value: X },
  ]);
  intake.take(OTHER, [{ key: 'at/2', value: X }]);
  expect([taken, failures()]).toEqual([['1 at/1 there', '2 at/2 there'], 1]);
  timers.advance(1_000);
  expect(failures()).toBe(2);
  full.clear();
  timers.advance(1_000);
  timers.advance(10_000);
  expect(taken.slice(2)).toEqual(['1 net/7 there']);
});

test('the last change of a record counts', () => {
  const { timers, taken, full, intake } = setUp();
  full.add('net/7').add('net/8');
  for (const key of ['net/7', 'net/8']) intake.take(ONE, [{ key, value: X }]);
  intake.take(ONE, [{ key: 'net/7', value: null }]);
  full.clear();
  intake.take(ONE, [{ key: 'net/8', value: null }]);
  timers.advance(5_000);
  expect(taken).toEqual(['1 net/8 gone', '1 net/7 gone']);
});

test('a bug is no full disk', () => {
  const { timers } = setUp();
  const intake = new RecordIntake({
    timers,
    apply: () => {
      throw new Error('invariant broken');
    },
    failed: () => undefined,
  });
  expect(() => intake.take(ONE, [{ key: 'peer', value: X }])).toThrow('invariant broken');
});
