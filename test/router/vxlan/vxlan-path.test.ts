import { describe, expect, test } from 'vitest';
import {
  ANSWER_MAX_MS,
  LOST_MAX,
  NEED_FIRST,
  NEED_MAX,
  RETRY_FIRST_MS,
  RETRY_MAX_MS,
  STABLE_MS,
  STEP_MS,
  VxlanPath,
} from '../../../src/router/vxlan/vxlan-path.ts';

const REMOTE = '192.0.2.12';
const INTERVAL_MS = 2_000;

/** A path and a peer that answers while `answers`; time passes in the steps that the path asks for. */
class World {
  readonly path = new VxlanPath('not seen yet');
  nowMs = 1_000;
  answers = true;
  asks = 0;
  lastNonce = '';

  run(ms: number): this {
    const endMs = this.nowMs + ms;
    for (;;) {
      const dueMs = Math.max(this.nowMs, this.path.dueMs);
      if (dueMs > endMs) break;
      this.nowMs = dueMs;
      const nonce = this.path.tick(this.nowMs, () => `n${++this.asks}`);
      if (nonce === null) continue;
      this.lastNonce = nonce;
      if (this.answers) this.path.answer(nonce, this.nowMs, INTERVAL_MS);
    }
    this.nowMs = endMs;
    return this;
  }
}

function upWorld(): World {
  const world = new World();
  world.path.allow(REMOTE, world.nowMs);
  return world.run(1_000);
}

describe('coming up', () => {
  test('nothing is asked while it is barred', () => {
    const world = new World().run(1_000_000);
    expect([world.asks, world.path.view]).toEqual([0, { state: 'barred', reason: 'not seen yet' }]);
  });

  test('takes two answers in a row, within a third of a second', () => {
    const world = new World();
    world.path.allow(REMOTE, world.nowMs);
    expect(world.path.view.state).toBe('trying');
    world.run(STEP_MS);
    expect([world.asks, world.path.up]).toEqual([1, false]);
    world.run(STEP_MS);
    expect([world.asks, world.path.view]).toEqual([NEED_FIRST, { state: 'up', reason: null }]);
  });

  test('never happens without answers; asks become rare and the reason says why', () => {
    const world = new World();
    world.answers = false;
    world.path.allow(REMOTE, world.nowMs);
    world.run(600_000);
    expect(world.path.view).toEqual({ state: 'trying', reason: expect.stringMatching(/no answer .* 192\.0\.2\.12/) });
    expect(world.asks).toBeLessThan(600_000 / RETRY_MAX_MS + 5);
    expect(world.asks).toBeGreaterThan(50);
  });

  test("the peer's own ask ends the patience", () => {
    const world = new World();
    world.answers = false;
    world.path.allow(REMOTE, world.nowMs);
    world.run(100_000);
    world.run(Math.max(0, world.path.dueMs - world.nowMs) + ANSWER_MAX_MS); // no ask is under way now
    world.answers = true;
    world.path.asked('theirs', world.nowMs);
    expect(world.run(2 * STEP_MS).path.up).toBe(true);
  });

  test('an answer to another ask, or a second one, counts nothing', () => {
    const { path, lastNonce, nowMs } = upWorld();
    expect(path.answer('invented', nowMs, INTERVAL_MS)).toBe(false);
    expect(path.answer(lastNonce, nowMs, INTERVAL_MS)).toBe(false);
  });
});

describe('while it is up', () => {
  test('it is asked once an interval', () => {
    const world = upWorld();
    const before = world.asks;
    world.run(100 * INTERVAL_MS);
    expect(world.asks - before).toBe(100);
  });

  test('one lost ask, or two, change nothing', () => {
    const world = upWorld();
    world.answers = false;
    world.run(world.path.dueMs - world.nowMs + (LOST_MAX - 1) * ANSWER_MAX_MS + ANSWER_MAX_MS / 2);
    expect(world.path.up).toBe(true);
    world.answers = true;
    world.path.answer(world.lastNonce, world.nowMs, INTERVAL_MS);
    expect(world.run(10 * INTERVAL_MS).path.up).toBe(true);
  });

  test('a path that carries nothing any more falls within an interval and three waits', () => {
    const world = upWorld();
    world.answers = false;
    world.run(INTERVAL_MS + LOST_MAX * ANSWER_MAX_MS);
    expect(world.path.view).toEqual({ state: 'trying', reason: expect.stringContaining('carries nothing any more') });
  });

  test('and comes back when it carries again', () => {
    const world = upWorld();
    world.answers = false;
    world.run(60_000);
    world.answers = true;
    expect(world.run(RETRY_MAX_MS + 4 * STEP_MS).path.up).toBe(true);
  });

  test('a path that flaps has to prove more each time, and less again once it was stable', () => {
    const world = upWorld();
    const asksToComeBack = (): number => {
      world.answers = false;
      world.run(INTERVAL_MS + LOST_MAX * ANSWER_MAX_MS);
      expect(world.path.up).toBe(false);
      world.answers = true;
      const before = world.asks;
      while (!world.path.up) world.run(1);
      return world.asks - before;
    };
    const needed = [1, 2, 3, 4, 5, 6].map(asksToComeBack);
    expect(needed).toEqual([4, 8, 16, 32, NEED_MAX, NEED_MAX]);
    world.run(STABLE_MS);
    expect(asksToComeBack()).toBe(NEED_FIRST);
  });
});

describe('consent taken back', () => {
  test('ends it at once, and is asked for again', () => {
    const world = upWorld();
    expect(world.path.withdrawn(world.lastNonce, world.nowMs)).toBe(true);
    expect(world.path.view).toEqual({ state: 'trying', reason: expect.stringContaining('does not take plain VXLAN') });
    expect(world.run(RETRY_FIRST_MS + 2 * STEP_MS).path.up).toBe(true);
  });

  test('an old or invented withdrawal has no effect', () => {
    const world = upWorld();
    const old = world.lastNonce;
    world.run(10 * INTERVAL_MS);
    for (const nonce of [old, 'invented']) expect(world.path.withdrawn(nonce, world.nowMs)).toBe(false);
    expect(world.path.up).toBe(true);
  });

  test('trust lost here ends it at once; a late answer changes nothing', () => {
    const world = upWorld();
    world.answers = false;
    world.run(INTERVAL_MS);
    world.path.bar('192.0.2.12 lies in none of --trusted-subnets');
    expect(world.path.answer(world.lastNonce, world.nowMs, INTERVAL_MS)).toBe(false);
    expect([world.path.remote, world.path.dueMs]).toEqual([null, Number.POSITIVE_INFINITY]);
  });

  test('a peer that comes back without it: the reason is its silence, not its start', () => {
    const world = upWorld();
    world.answers = false;
    world.path.restarted(world.nowMs);
    expect(world.path.view.reason).toContain('has restarted');
    world.run(STEP_MS + ANSWER_MAX_MS);
    expect(world.path.view).toMatchObject({
      state: 'trying',
      reason: expect.stringContaining('does not trust this one'),
    });
  });

  test('another address of the peer starts anew', () => {
    const world = upWorld();
    world.path.allow(REMOTE, world.nowMs);
    expect(world.path.up).toBe(true);
    world.path.allow('192.0.2.99', world.nowMs);
    expect([world.path.up, world.path.remote]).toEqual([false, '192.0.2.99']);
  });
});
