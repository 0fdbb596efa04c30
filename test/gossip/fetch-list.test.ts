import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { FetchList } from '../../src/gossip/fetch-list.ts';
import { PushTree } from '../../src/gossip/push-tree.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const [A, B, C, X, Y] = ['a', 'b', 'c', 'x', 'y'] as unknown as [PeerId, PeerId, PeerId, PeerId, PeerId];
const OPTIONS = { missingMax: 10, holdersMax: 2, askedPerLinkMax: 2, askTimeoutMs: 1_000, refusedMs: 500 };

describe('FetchList', () => {
  test('asks one holder only, however many announce', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0);
    list.announce({ author: X, version: 1, holder: B }, 0);
    expect(list.take(A, 0)).toEqual([{ author: X, full: false, fresh: false }]);
    expect(list.take(B, 0)).toEqual([]);
    list.received(X, 1);
    expect(list.size).toBe(0);
  });

  test('a silent holder loses its turn to the next', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0);
    list.announce({ author: X, version: 1, holder: B }, 0);
    list.take(A, 0);
    expect(list.expiresAtMs()).toBe(1_000);
    list.active(A, 600);
    list.expire(1_000);
    expect(list.take(B, 1_000)).toEqual([]);
    list.expire(1_600);
    expect(list.take(B, 1_600)).toHaveLength(1);
    list.expire(2_600);
    expect(list.size).toBe(0);
  });

  test('a lost link hands over at once', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0);
    list.announce({ author: X, version: 1, holder: B }, 0);
    list.take(A, 0);
    list.linkDown(A);
    expect(list.take(B, 0)).toHaveLength(1);
  });

  test('a false promise of a huge version does not hold up the real one', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: Number.MAX_SAFE_INTEGER, holder: A }, 0);
    list.take(A, 0);
    list.announce({ author: X, version: 5, holder: B }, 10);
    list.expire(1_000);
    expect(list.take(B, 1_000)).toHaveLength(1);
    list.received(X, 5);
    expect(list.size).toBe(0);
  });

  test('no more than the window is asked of one neighbour', () => {
    const list = new FetchList(OPTIONS);
    for (const author of [X, Y, C]) list.announce({ author, version: 1, holder: A }, 0);
    expect(list.take(A, 0)).toHaveLength(2);
    expect(list.take(A, 0)).toHaveLength(0);
    list.received(X, 1);
    expect(list.take(A, 0)).toHaveLength(1);
  });

  test('a newer version that another holder has is asked for after the older one came', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0);
    list.take(A, 0);
    list.announce({ author: X, version: 2, holder: B }, 0, { full: true });
    list.received(X, 1);
    expect(list.take(B, 0)).toHaveLength(1);
  });

  test('a refused author is not followed for a while, and bounds hold', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0);
    list.refuse(X, 0);
    expect(list.size).toBe(0);
    expect(list.announce({ author: X, version: 2, holder: A }, 499)).toBe(false);
    expect(list.announce({ author: X, version: 2, holder: A }, 500)).toBe(true);
    expect(list.announce({ author: X, version: 2, holder: B }, 500)).toBe(true);
    expect(list.announce({ author: X, version: 2, holder: C }, 500)).toBe(false);
    for (let i = 0; i < 50; i++) {
      list.announce({ author: `author ${i}` as PeerId, version: 1, holder: A }, 500);
      list.refuse(`other ${i}` as PeerId, 500);
    }
    expect(list.size).toBe(OPTIONS.missingMax);
  });
});

describe('PushTree', () => {
  const links = [A, B, C, X];

  test('news goes to nobody eagerly until somebody asked, and never back', () => {
    const tree = new PushTree(new SeededRandom(1), { allMax: 10, fanout: 4 });
    expect(tree.forward(X, A, links)).toEqual({ eager: [], lazy: expect.arrayContaining([B, C]) });
    tree.graft(X, B);
    expect(tree.forward(X, A, links)).toEqual({ eager: [B], lazy: [C] });
    expect(tree.forward(X, B, links)).toEqual({ eager: [], lazy: expect.arrayContaining([A, C]) });
    expect(tree.forward(Y, A, links).eager).toEqual([]);
  });

  test('prune, a lost link and a forgotten author end the push', () => {
    const tree = new PushTree(new SeededRandom(1), { allMax: 10, fanout: 4 });
    for (const child of [A, B, C]) tree.graft(Y, child);
    tree.prune(Y, A);
    tree.linkDown(B);
    expect(tree.forward(Y, X, links).eager).toEqual([C]);
    tree.forget(Y);
    expect(tree.forward(Y, X, links).eager).toEqual([]);
  });

  test('the lazy sample is bounded and reaches every neighbour in time', () => {
    const tree = new PushTree(new SeededRandom(1), { allMax: 10, fanout: 4 });
    const many = Array.from({ length: 30 }, (_, i) => `peer ${i}` as PeerId);
    const reached = new Set<PeerId>();
    for (let i = 0; i < 100; i++) {
      const { lazy } = tree.forward(X, A, many);
      expect(new Set(lazy).size).toBe(4);
      for (const peer of lazy) reached.add(peer);
    }
    expect(reached.size).toBe(30);
  });
});
