import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { chooseRelays, RELAYS_TRIED_MAX } from '../../src/router/relay-choice.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const id = (number: number): PeerId => number.toString(16).padStart(32, '0') as PeerId;
const NONE = { peer: id(0), current: null, published: [], ready: [], neighbours: [] };
const ready = (...peers: (readonly [number, number | null])[]) => peers.map(([n, rttMs]) => ({ peer: id(n), rttMs }));

describe('the choice of relays', () => {
  const rows = [
    ['nobody is known', NONE, { use: [], connect: [] }],
    [
      'those that answer soonest, three at most',
      { ...NONE, ready: ready([1, 30], [2, null], [3, 10], [4, 20]) },
      { use: [3, 4, 1], connect: [] },
    ],
    [
      'the one in use, then those that the peer names, in its order',
      { ...NONE, current: id(4), published: [id(9), id(2)], ready: ready([1, 1], [2, 50], [4, 90], [9, 80]) },
      { use: [4, 9, 2], connect: [] },
    ],
    [
      'never the peer itself',
      { ...NONE, ready: ready([0, 1], [1, 2]), published: [id(0)], neighbours: [id(0)] },
      { use: [1], connect: [] },
    ],
    [
      'sessions with what the peer names and with neighbours, where few are ready',
      { ...NONE, ready: ready([1, 1]), published: [id(7)], neighbours: [id(1), id(7), id(8), id(9)] },
      { use: [1], connect: [7, 8] },
    ],
  ] as const;
  for (const [name, facts, { use, connect }] of rows) {
    test(name, () => expect(chooseRelays(facts, 0)).toEqual({ use: use.map(id), connect: connect.map(id) }));
  }

  test('whatever is known: few, distinct, ready ones, and over the rounds each of them', () => {
    const random = new SeededRandom(21);
    const some = (): PeerId[] => Array.from({ length: random.below(6) }, () => id(random.below(12)));
    for (let run = 0; run < 500; run++) {
      const peers = [...new Set(some())];
      const facts = {
        peer: id(random.below(12)),
        current: random.fraction() < 0.5 ? id(random.below(12)) : null,
        published: some(),
        ready: peers.map((peer) => ({ peer, rttMs: random.fraction() < 0.3 ? null : random.below(100) })),
        neighbours: some(),
      };
      const used = new Set<PeerId>();
      for (let round = 0; round < 12; round++) {
        const { use, connect } = chooseRelays(facts, round);
        for (const peer of use) used.add(peer);
        expect(use.length + connect.length).toBeLessThanOrEqual(RELAYS_TRIED_MAX);
        expect(new Set([...use, ...connect]).size).toBe(use.length + connect.length);
        expect([...use, ...connect]).not.toContain(facts.peer);
        expect(use.every((peer) => peers.includes(peer)) && connect.every((peer) => !peers.includes(peer))).toBe(true);
      }
      expect([...used].sort()).toEqual(peers.filter((peer) => peer !== facts.peer).sort());
    }
  });
});
