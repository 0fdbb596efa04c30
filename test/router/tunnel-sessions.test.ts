import { describe, expect, test } from 'vitest';
import { type Session, SessionSlots } from '../../src/router/tunnel-sessions.ts';
import { REJECT_AFTER_MS } from '../../src/router/tunnel-timing.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

function session(localIndex: number, createdMs = 0): Session {
  return {
    localIndex,
    remoteIndex: localIndex,
    initiator: true,
    cipher: 'aes-256-gcm',
    createdMs,
    rekeyAtMs: createdMs + 120_000,
    pathMtu: 1500,
    capabilities: 0,
    path: { ip: '192.0.2.1', port: 6783 },
    observed: null,
    exhausted: false,
  };
}

describe('session slots', () => {
  test('an offered session is sent on only after it is confirmed; the old one stays receivable', () => {
    const retired: number[] = [];
    const slots = new SessionSlots(({ localIndex }) => retired.push(localIndex));
    slots.establish(session(1));
    slots.offer(session(2));
    expect(slots.current?.localIndex).toBe(1);
    expect(slots.confirm(1)).toBeNull();
    expect(slots.confirm(2)?.localIndex).toBe(2);
    expect(slots.current?.localIndex).toBe(2);
    expect(slots.confirm(2)).toBeNull();
    expect(slots.count).toBe(2);
    expect(retired).toEqual([]);
  });

  test('any of seven unconfirmed offers may be taken, which ends the others; an eighth takes the place of the oldest', () => {
    const retired: number[] = [];
    const slots = new SessionSlots(({ localIndex }) => retired.push(localIndex));
    for (const index of [1, 2, 3, 4, 5, 6, 7, 8]) slots.offer(session(index));
    expect([retired, slots.next?.localIndex]).toEqual([[1], 8]);
    expect(slots.confirm(1)).toBeNull();
    expect(slots.confirm(3)?.localIndex).toBe(3);
    expect([retired, slots.next, slots.count]).toEqual([[1, 8, 7, 6, 5, 4, 2], null, 1]);
  });

  test('of seven offers none gives way to a session of our own', () => {
    const retired: number[] = [];
    const slots = new SessionSlots(({ localIndex }) => retired.push(localIndex));
    slots.establish(session(1));
    for (const index of [2, 3, 4, 5, 6, 7, 8]) slots.offer(session(index));
    slots.establish(session(9));
    expect([slots.current?.localIndex, slots.count, retired]).toEqual([9, 9, []]);
  });

  test('offers do not give way to a session of our own: the peer may be sending on one', () => {
    const retired: number[] = [];
    const slots = new SessionSlots(({ localIndex }) => retired.push(localIndex));
    slots.offer(session(1));
    slots.offer(session(2));
    slots.establish(session(3));
    expect([slots.current?.localIndex, slots.next, slots.count, retired]).toEqual([3, null, 3, []]);
  });

  test('seeded random histories: bounded, each session retired exactly once, none older than 180 s, sizes as a list says', () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = new SeededRandom(seed);
      const alive = new Set<number>();
      const slots = new SessionSlots(({ localIndex }) => {
        expect(alive.delete(localIndex)).toBe(true);
      });
      const born = new Map<number, number>();
      let nowMs = 0;
      for (let step = 1; step <= 100; step++) {
        nowMs += random.below(30_000);
        const dice = random.below(4);
        if (dice <= 1) {
          alive.add(step);
          born.set(step, nowMs);
          if (dice === 0) slots.offer(session(step, nowMs));
          else slots.establish(session(step, nowMs));
        } else if (dice === 2) {
          slots.confirm(slots.next?.localIndex ?? 0);
        } else {
          slots.expire(nowMs);
          for (const index of alive) expect(nowMs - born.get(index)!).toBeLessThan(REJECT_AFTER_MS);
          expect(slots.nextExpiryMs).toBe(Math.min(...[...alive].map((index) => born.get(index)! + REJECT_AFTER_MS)));
        }
        expect(slots.count).toBe(alive.size);
        expect(slots.empty).toBe(alive.size === 0);
        expect(alive.size).toBeLessThanOrEqual(1 + 7 + 9);
      }
      slots.clear();
      expect(alive.size).toBe(0);
    }
  });
});
