import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { compareTai64n, decodeTai64n, encodeTai64n, Tai64nSource } from '../../src/router/tai64n.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';

describe('TAI64N', () => {
  test.each([
    ['the Unix epoch', 0n, '400000000000000a00000000'],
    ['a nanosecond before a second', 1_999_999_999n, '400000000000000b3b9ac9ff'],
    ['2030-01-01', 1_893_456_000_000_000_000n, '4000000070dbd88a00000000'],
  ])('%s', (_, ns, hex) => {
    expect(toHex(encodeTai64n(ns))).toBe(hex);
    expect(decodeTai64n(fromHex(hex)!)).toBe(ns);
  });

  test.each([
    ['too short', '400000000000000a000000'],
    ['before the epoch', '400000000000000900000000'],
    ['too many nanoseconds', '400000000000000a3b9aca00'],
  ])('%s is no timestamp', (_, hex) => expect(decodeTai64n(fromHex(hex)!)).toBeNull());
});

describe('a source of timestamps', () => {
  test('increases within one millisecond, over steps of the clock, over restarts with any snapshot', () => {
    const clock = new ManualClock();
    let store = new MemoryStore();
    let source = new Tai64nSource({ clock, store });
    let last = new Uint8Array(12);
    const steps = [0, 0, 1, -86_400_000, 5, 365 * 86_400_000, -400 * 86_400_000, 0, 61_000, 0];
    for (const step of steps) {
      clock.stepWall(step);
      for (let i = 0; i < 3; i++) {
        const next = source.next();
        expect(compareTai64n(next, last)).toBeGreaterThan(0);
        last = next.slice();
      }
      store = new MemoryStore(store.snapshot());
      source = new Tai64nSource({ clock, store });
    }
  });

  test('writes once a minute, not once a handshake', () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const source = new Tai64nSource({ clock, store });
    for (let i = 0; i < 600; i++) {
      source.next();
      clock.advance(1000);
    }
    expect(store.commits).toBeLessThanOrEqual(11);
  });

  test('a store that fails uses nothing up', () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const source = new Tai64nSource({ clock, store });
    store.beforeCommit = () => {
      throw new Error('disk full');
    };
    expect(() => source.next()).toThrow('disk full');
    store.beforeCommit = () => {};
    source.next();
    expect(store.commits).toBe(1);
  });

  test('a damaged stored value is reported', () => {
    const store = new MemoryStore();
    store.put('tunnels', 'timestamp-reserved', Uint8Array.of(1, 2, 3));
    expect(() => new Tai64nSource({ clock: new ManualClock(), store })).toThrow('malformed');
  });
});
