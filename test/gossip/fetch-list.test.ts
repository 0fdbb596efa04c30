import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { FetchList } from '../../src/gossip/fetch-list.ts';

const [A, B, C, X, Y] = ['a', 'b', 'c', 'x', 'y'] as unknown as [PeerId, PeerId, PeerId, PeerId, PeerId];
const OPTIONS = {
  missingMax: 10,
  holdersMax: 2,
  askedPerLinkMax: 2,
  askTimeoutMs: 1_000,
  askNewsTimeoutMs: 150,
  refusedMs: 500,
};

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

  test('of several holders of news the next is asked as well when one is slow, in turn, and any answer ends it', () => {
    const list = new FetchList(OPTIONS);
    for (const holder of [A, B]) list.announce({ author: X, version: 1, holder }, 0, { fresh: true });
    expect(list.take(A, 0)).toEqual([{ author: X, full: false, fresh: true }]);
    list.expire(149);
    expect(list.take(B, 149)).toEqual([]);
    expect(list.expiresAtMs()).toBe(150);
    list.expire(150);
    expect(list.take(B, 150)).toHaveLength(1);
    list.expire(300);
    expect(list.take(A, 300)).toHaveLength(1);
    list.received(X, 1);
    expect(list.size).toBe(0);
    expect(list.expiresAtMs()).toBe(Number.POSITIVE_INFINITY);
  });

  test('a second holder of late news is asked as soon as it turns up', () => {
    const list = new FetchList(OPTIONS);
    list.announce({ author: X, version: 1, holder: A }, 0, { fresh: true });
    list.take(A, 0);
    list.expire(150);
    list.announce({ author: X, version: 1, holder: B }, 170, { fresh: true });
    expect(list.take(B, 170)).toHaveLength(1);
    list.linkDown(A);
    list.linkDown(B);
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
