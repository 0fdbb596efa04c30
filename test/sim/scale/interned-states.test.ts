import { describe, expect, test } from 'vitest';
import { toHex } from '../../../src/base/bytes.ts';
import type { ClusterId, PeerId } from '../../../src/base/ids.ts';
import { peerIdOf, signState } from '../../../src/gossip/author-state.ts';
import { MemoryAuthorTable } from '../../../src/gossip/author-table.ts';
import { BUCKETS } from '../../../src/gossip/digest-tree.ts';
import { quickCrypto } from '../../fakes/quick-crypto.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { InternedTable, StatePool } from './interned-states.ts';

const CLUSTER = 'c1'.repeat(16) as ClusterId;
const AUTHORS = 12;

function stateOf(author: number, version: number) {
  const seed = quickCrypto.sha256(Uint8Array.of(author));
  const identityKey = quickCrypto.ed25519Public(seed);
  const packed = Uint8Array.of(1, 0x61, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, version);
  const unsigned = { author: peerIdOf(quickCrypto, identityKey), version, floor: 0, packed, identityKey };
  const shape = { live: 1, tombstones: 0 };
  return signState(quickCrypto, CLUSTER, (message) => quickCrypto.ed25519Sign(seed, message), { ...unsigned, shape });
}

describe('a table over shared states', () => {
  test('shows what a table of its own shows, whatever came and went', () => {
    const random = new SeededRandom(4);
    const pool = new StatePool(AUTHORS);
    const pairs = Array.from({ length: 3 }, () => ({
      shared: new InternedTable(pool, quickCrypto),
      own: new MemoryAuthorTable(quickCrypto),
    }));
    for (let step = 0; step < 600; step++) {
      const { shared, own } = pairs[random.below(pairs.length)]!;
      const state = stateOf(random.below(AUTHORS), 1 + random.below(4));
      const removes = random.fraction() < 0.2;
      for (const table of [shared, own]) {
        if (removes) table.delete(state.author);
        else table.set(state);
      }
      expect([shared.size, shared.bytes, toHex(shared.root())]).toEqual([own.size, own.bytes, toHex(own.root())]);
      expect(shared.get(state.author)?.version).toBe(own.get(state.author)?.version);
    }
    for (const { shared, own } of pairs) {
      const listed = (table: typeof shared | typeof own) =>
        Array.from({ length: BUCKETS }, (_, bucket) => [...table.inBucket(bucket)].map(({ author }) => author).sort());
      expect(listed(shared)).toEqual(listed(own));
      expect([...shared.all()]).toHaveLength(own.size);
    }
  });

  test('a state that many hosts hold is there once', () => {
    const pool = new StatePool(AUTHORS);
    const [one, two] = [new InternedTable(pool, quickCrypto), new InternedTable(pool, quickCrypto)];
    one.set(stateOf(1, 1));
    two.set(stateOf(1, 1));
    const { author } = stateOf(1, 1);
    expect(one.get(author)).toBe(two.get(author));
    const copy = one.copy();
    expect([copy.size, copy.bytes, toHex(copy.root())]).toEqual([one.size, one.bytes, toHex(one.root())]);
    copy.set(stateOf(1, 2));
    expect([one.get(author)?.version, copy.get(author)?.version]).toEqual([1, 2]);
    expect(toHex(one.root())).toBe(toHex(two.root()));
    expect(one.get('ff'.repeat(16) as PeerId)).toBeUndefined();
  });

  test('a state is found by its head, also one that this host does not hold; another signature is another state', () => {
    const pool = new StatePool(AUTHORS);
    const [one, two] = [new InternedTable(pool, quickCrypto), new InternedTable(pool, quickCrypto)];
    const state = stateOf(1, 1);
    one.set(state);
    expect(two.verified(state)).toBe(one.get(state.author));
    expect(two.verified({ ...state, version: 2 })).toBeUndefined();
    expect(two.verified({ ...state, signature: stateOf(1, 2).signature })).toBeUndefined();
  });
});
