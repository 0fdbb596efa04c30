import { describe, expect, test } from 'vitest';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { MOVES_MAX, MOVES_WINDOW_MS, Moves } from '../../src/router/moves.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const A = 'a'.repeat(32) as PeerId;
const B = 'b'.repeat(32) as PeerId;

const C = 'c'.repeat(32) as PeerId;
const M = '02:00:00:00:00:07' as Mac;

/** As `C` sees what goes back and forth between A and B. */
function setUp(self = C) {
  const clock = new ManualClock();
  const told: PeerId[] = [];
  const moves = new Moves({
    self,
    nowMs: () => clock.monotonicMs(),
    moved: (_network, _what, at) => void told.push(at),
  });
  let at = A;
  let sequence = 0;
  const move = (): void => {
    moves.left(DEFAULT_VNI, M, { at, sequence: sequence++ });
    at = at === A ? B : A;
    moves.arrived(DEFAULT_VNI, M, at);
  };
  return { clock, moves, move, told };
}

describe('moves', () => {
  test('to where it was before are none', () => {
    const { moves, told } = setUp();
    moves.left(DEFAULT_VNI, M, { at: A });
    for (const at of [A, B, B, A]) moves.arrived(DEFAULT_VNI, M, at);
    expect(told).toEqual([B, A]);
  });

  test('of what was never seen to leave are none', () => {
    const { moves, told } = setUp();
    moves.arrived(DEFAULT_VNI, M, A);
    expect([told, moves.isKnown(DEFAULT_VNI, M), moves.lastSequence(DEFAULT_VNI, M)]).toEqual([[], false, -1]);
  });

  test('remember the highest sequence of what left', () => {
    const { moves } = setUp();
    moves.left(DEFAULT_VNI, M, { at: A, sequence: 7 });
    moves.left(DEFAULT_VNI, M, { at: B, sequence: 3 });
    expect(moves.lastSequence(DEFAULT_VNI, M)).toBe(7);
  });

  test(`${MOVES_MAX} within 180 s hold it where it is, until the first of them is as old`, () => {
    const { clock, moves, move } = setUp();
    for (let i = 0; i < MOVES_MAX; i++) {
      expect(moves.heldElsewhere(DEFAULT_VNI, M)).toBeNull();
      move();
      clock.advance(10_000);
    }
    const untilMs = clock.monotonicMs() - 50_000 + MOVES_WINDOW_MS;
    const held = { network: DEFAULT_VNI, what: M, at: B, from: A, untilMs };
    expect([moves.heldElsewhere(DEFAULT_VNI, M), moves.held()]).toEqual([held, [held]]);
    clock.advance(untilMs - clock.monotonicMs() - 1);
    expect(moves.heldElsewhere(DEFAULT_VNI, M)).toEqual(held);
    clock.advance(1);
    expect(moves.held()).toEqual([]);
  });

  test('of what is here keep nothing from staying', () => {
    const { moves, move } = setUp(B);
    for (let i = 0; i < MOVES_MAX; i++) move();
    expect([moves.heldElsewhere(DEFAULT_VNI, M), moves.held().length]).toEqual([null, 1]);
  });

  test('that are rare hold nothing', () => {
    const { clock, moves, move } = setUp();
    for (let i = 0; i < 50; i++) {
      move();
      clock.advance(MOVES_WINDOW_MS / (MOVES_MAX - 1));
      expect(moves.held()).toEqual([]);
    }
  });

  test('are forgotten by an operator, who may say so in vain', () => {
    const { moves, move } = setUp();
    expect(moves.clear(DEFAULT_VNI, M)).toBe(false);
    for (let i = 0; i < MOVES_MAX; i++) move();
    expect(moves.clear(DEFAULT_VNI, M)).toBe(true);
    expect([moves.held(), moves.lastSequence(DEFAULT_VNI, M)]).toEqual([[], MOVES_MAX - 1]);
  });

  test('are bounded: what left longest ago is forgotten', () => {
    const { moves } = setUp();
    for (let i = 0; i < 10_000; i++) moves.left(DEFAULT_VNI, `10.0.${i >> 8}.${i & 255}`, { at: A });
    expect([moves.isKnown(DEFAULT_VNI, '10.0.0.0'), moves.isKnown(DEFAULT_VNI, '10.0.39.15')]).toEqual([false, true]);
  });
});
