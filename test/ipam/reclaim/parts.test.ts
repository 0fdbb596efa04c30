import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../src/base/address.ts';
import { toHex } from '../../../src/base/bytes.ts';
import { DEFAULT_VNI, type PeerId, type Vni } from '../../../src/base/ids.ts';
import { makeAddressPlan } from '../../../src/ipam/plan.ts';
import { Acceptor } from '../../../src/ipam/reclaim/acceptor.ts';
import { Chain } from '../../../src/ipam/reclaim/chain.ts';
import {
  blockingOf,
  type Decision,
  majorityOf,
  mayFollow,
  type Value,
  votingBytes,
} from '../../../src/ipam/reclaim/decision.ts';
import { nextVoters } from '../../../src/ipam/reclaim/electorate.ts';
import { Fence } from '../../../src/ipam/reclaim/fence.ts';
import { Promises } from '../../../src/ipam/reclaim/promises.ts';
import { commonTitles } from '../../../src/ipam/reclaim/proposer.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemoryStore } from '../../fakes/memory-store.ts';
import { quickSignatures } from '../../fakes/quick-crypto.ts';

const seeds = [1, 2, 3, 4].map((byte) => new Uint8Array(32).fill(byte));
const keys = seeds.map((seed) => quickSignatures.ed25519Public(seed));
const [a, b, c, d] = keys.map((key) => toHex(quickSignatures.sha256(key).subarray(0, 16)) as PeerId) as [
  PeerId,
  PeerId,
  PeerId,
  PeerId,
];
const nobody = (): boolean => false;
const LEASE_MS = 100_000;
const NAMED = 7 as Vni;

test('any majority and any blocking set meet, and no smaller set meets all majorities', () => {
  for (let voters = 1; voters <= 7; voters++) {
    expect(majorityOf(voters) + blockingOf(voters)).toBe(voters + 1);
    expect(majorityOf(voters) * 2).toBeGreaterThan(voters);
  }
});

test.each([
  ['one more', [a], [a, b].sort(), true],
  ['one less of four', [a, b, c, d].sort(), [a, b, c].sort(), true],
  ['one less of three', [a, b, c].sort(), [a, b].sort(), false],
  ['another one in the place of one', [a, b, c].sort(), [a, b, d].sort(), false],
  ['the same', [a, b, c].sort(), [a, b, c].sort(), false],
  ['two more', [a], [a, b, c].sort(), false],
] as const)('a list of voters may follow: %s', (_name, before, after, expected) => {
  expect(mayFollow(before, after)).toBe(expected);
});

describe('the fence', () => {
  const noTitles: ReadonlySet<string> = new Set();
  function setUp(voters: readonly PeerId[] = [a, b, c]) {
    const clock = new ManualClock();
    const fence = new Fence(clock);
    fence.setVoters(voters);
    const renew = (peer: PeerId, delayMs = 0, titles = noTitles) => {
      const number = fence.asks(peer, titles);
      clock.advance(delayMs);
      return fence.promised(peer, number, LEASE_MS);
    };
    return { clock, fence, renew };
  }

  test('is closed until every majority has a voter that promised', () => {
    const { fence, renew } = setUp();
    expect(fence.leftMs(nobody)).toBe(0);
    renew(a);
    expect(fence.leftMs(nobody)).toBe(0);
    renew(b);
    expect(fence.leftMs(nobody)).toBe(0.99 * LEASE_MS);
  });

  test('counts from when a renewal was sent, less what clocks drift', () => {
    const { fence, renew } = setUp();
    renew(a);
    renew(b, 30_000);
    expect(fence.leftMs(nobody)).toBe(0.99 * LEASE_MS - 30_000);
  });

  test('closes by whichever clock says so', () => {
    for (const step of ['both', 'wall'] as const) {
      const { clock, fence, renew } = setUp();
      renew(a);
      renew(b);
      if (step === 'both') clock.advance(LEASE_MS);
      else clock.stepWall(LEASE_MS);
      expect(fence.leftMs(nobody)).toBe(0);
    }
    const { clock, fence, renew } = setUp();
    renew(a);
    renew(b);
    clock.stepWall(-LEASE_MS);
    clock.advance(LEASE_MS);
    expect(fence.leftMs(nobody)).toBe(0);
  });

  test('takes an answer to the last renewal only', () => {
    const { fence } = setUp();
    const first = fence.asks(a, noTitles);
    const second = fence.asks(a, noTitles);
    expect(fence.promised(a, first, LEASE_MS)).toBe(false);
    expect(fence.promised(a, second, LEASE_MS)).toBe(true);
    expect(fence.promised(a, second, LEASE_MS)).toBe(false);
    expect(fence.promised(d, second, LEASE_MS)).toBe(false);
  });

  test('is open for ever below three voters, and where the others were removed', () => {
    expect(setUp([a, b]).fence.leftMs(nobody)).toBeNull();
    expect(setUp([]).fence.leftMs(nobody)).toBeNull();
    expect(setUp().fence.leftMs((peer) => peer !== a)).toBeNull();
  });

  test('asks again after a quarter of a second, then less and less, and renews after a quarter of a lease', () => {
    const { clock, fence } = setUp();
    const sentMs: number[] = [];
    for (let ms = 0; ms < 100_000; ms += 250) {
      const waitMs = fence.waitMs(noTitles, 250);
      expect(waitMs === 0).toBe(fence.due(noTitles).length > 0);
      if (fence.due(noTitles).includes(a)) {
        for (const peer of [b, c]) fence.asks(peer, noTitles);
        fence.asks(a, noTitles);
        sentMs.push(ms);
      }
      clock.advance(250);
    }
    expect(sentMs).toEqual([0, 250, 750, 1_750, 3_750, 7_750, 15_750, 31_750, 61_750, 91_750]);
    const number = fence.asks(a, noTitles);
    fence.promised(a, number, LEASE_MS);
    expect(fence.due(noTitles)).not.toContain(a);
    clock.advance(LEASE_MS / 4);
    expect(fence.due(noTitles)).toContain(a);
  });

  test('asks at once about a title of which voters have not heard, and says when they have', () => {
    const { fence, renew } = setUp();
    for (const peer of [a, b, c]) renew(peer);
    const titles = new Set(['gift']);
    expect(fence.due(titles)).toEqual([a, b, c]);
    expect(fence.isConfirmed('gift', nobody)).toBe(false);
    renew(a, 0, titles);
    expect(fence.isConfirmed('gift', nobody)).toBe(false);
    renew(b, 0, titles);
    expect(fence.isConfirmed('gift', nobody)).toBe(true);
  });
});

describe('a voter’s promises', () => {
  test('count from receipt, and a later one never ends earlier', () => {
    const clock = new ManualClock();
    const promises = new Promises(clock, 0);
    promises.give(a, LEASE_MS);
    promises.give(a, 1_000);
    clock.advance(LEASE_MS - 1);
    expect(promises.isLive(a)).toBe(true);
    clock.advance(1);
    expect(promises.isLive(a)).toBe(false);
  });

  test('forgotten at a start are made good by silence', () => {
    const clock = new ManualClock();
    const promises = new Promises(clock, LEASE_MS);
    expect(promises.isSilent).toBe(true);
    clock.advance(LEASE_MS);
    expect(promises.isSilent).toBe(false);
    promises.silence(5_000);
    expect(promises.isSilent).toBe(true);
  });
});

describe('the acceptor', () => {
  const value: Value = { kind: 'none' };
  const titles = [{ network: DEFAULT_VNI, cidr: parseCidr('10.32.0.0/16')!, epoch: 1 }];
  const at = (round: number, proposer = a) => ({ round, proposer });

  test('answers no lower ballot, and remembers over a restart what it answered', () => {
    const store = new MemoryStore();
    const first = new Acceptor({ store, network: 0 });
    expect(first.prepare(2, at(5), { peer: d, titles })).toBe(true);
    expect(first.prepare(2, at(4), null)).toBe(false);
    expect(first.accept(2, at(4), value)).toBe(false);
    expect(first.accept(2, at(5), value)).toBe(true);
    const again = new Acceptor({ store: new MemoryStore(store.snapshot()), network: 0 });
    expect(again.promised(2)).toEqual(at(5));
    expect(again.accepted(2)).toEqual({ ballot: at(5), value });
    expect(again.closedTo(2, d)).toEqual(titles);
    expect(again.contested(2)).toEqual(titles);
    expect(again.mark).toEqual({ slot: 2, change: 2 });
  });

  test('begins anew in the next slot', () => {
    const acceptor = new Acceptor({ store: new MemoryStore(), network: 0 });
    acceptor.prepare(2, at(5), { peer: d, titles });
    expect([acceptor.promised(3).round, acceptor.accepted(3), acceptor.closedTo(3, d)]).toEqual([0, null, null]);
    expect(acceptor.prepare(3, at(1), null)).toBe(true);
  });

  test('that finds a newer mark of its own abstains in that slot and before', () => {
    const acceptor = new Acceptor({ store: new MemoryStore(), network: 0 });
    acceptor.prepare(2, at(5), null);
    expect(acceptor.sawOwnMark({ slot: 2, change: 1 })).toBe(false);
    expect(acceptor.abstains(2)).toBe(false);
    expect(acceptor.sawOwnMark({ slot: 4, change: 1 })).toBe(true);
    expect([2, 3, 4, 5].map((slot) => acceptor.abstains(slot))).toEqual([true, true, true, false]);
  });

  test('refuses a store that it can’t read', () => {
    const store = new MemoryStore();
    store.put('ipam/0/vote', 'acceptor', new Uint8Array([1, 2, 3]));
    expect(() => new Acceptor({ store, network: 0 })).toThrow(/can’t be read/);
  });
});

describe('the chain', () => {
  const facts = { creator: a, range: '10.32.0.0/16', range6: null, leasePrefix: 24, leasePrefix6: 64 };
  const plan = makeAddressPlan(DEFAULT_VNI, facts)!;
  const open = (store = new MemoryStore()) => new Chain({ plan, crypto: quickSignatures, store });
  const decide = (slot: number, value: Value, by: readonly number[], ballot = { round: 1, proposer: a }): Decision => {
    const unsigned = { slot, ballot, value };
    const bytes = votingBytes(DEFAULT_VNI, unsigned);
    const votes = by.map((i) => ({ key: keys[i]!, signature: quickSignatures.ed25519Sign(seeds[i]!, bytes) }));
    return { ...unsigned, votes };
  };
  const two: Value = { kind: 'voters', voters: [a, b].sort(), leaseMs: 1_000 };
  const three: Value = { kind: 'voters', voters: [a, b, c].sort(), leaseMs: 500 };

  test('takes what a majority of the voters so far signed, one after the other, and keeps it', () => {
    const store = new MemoryStore();
    const chain = open(store);
    expect(chain.append(decide(0, two, [1]))).toBe('invalid');
    expect(chain.append(decide(0, two, [0]))).toBe('added');
    expect(chain.append(decide(1, three, [0]))).toBe('invalid');
    expect(chain.append(decide(1, three, [0, 0]))).toBe('invalid'); // one voter twice
    expect(chain.append(decide(1, three, [0, 1]))).toBe('added');
    expect(chain.append(decide(1, { kind: 'none' }, [0, 1]))).toBe('known');
    const again = open(new MemoryStore(store.snapshot()));
    expect([again.length, again.voters, again.leaseMs, again.longestLeaseMs]).toEqual([
      2,
      [a, b, c].sort(),
      500,
      1_000,
    ]);
  });

  test('signatures hold for their slot, ballot and value only', () => {
    const good = decide(0, two, [0]);
    const chain = open();
    for (const forged of [
      { ...good, value: { kind: 'none' } as const },
      { ...good, ballot: { round: 2, proposer: a } },
      { ...decide(1, two, [0]), slot: 0 },
    ]) {
      expect(chain.append(forged)).toBe('invalid');
    }
    expect(chain.append(good)).toBe('added');
  });

  test('keeps what came too early', () => {
    const chain = open();
    expect(chain.append(decide(1, three, [0, 1]))).toBe('early');
    expect(chain.append(decide(0, two, [0]))).toBe('added');
    expect(chain.length).toBe(2);
    expect(chain.append(decide(5_000, three, [0, 1]))).toBe('invalid');
  });

  test('what came too early and can’t be stored in its turn is stored later', () => {
    const store = new MemoryStore();
    const chain = open(store);
    chain.append(decide(1, three, [0, 1]));
    store.beforeCommit = () => {
      if (chain.length === 1) throw new Error('the disk is full');
    };
    expect(() => chain.append(decide(0, two, [0]))).toThrow('the disk is full');
    expect(chain.length).toBe(1);
    store.beforeCommit = () => {};
    expect(chain.append(decide(0, two, [0]))).toBe('known');
    expect(chain.length).toBe(2);
  });
});

describe('who should vote', () => {
  const peers = (count: number): PeerId[] =>
    Array.from({ length: count }, (_, i) => i.toString(16).padStart(32, '0') as PeerId);
  const next = (voters: readonly PeerId[], able: readonly PeerId[], lost: readonly PeerId[] = []) => {
    const intent = nextVoters({ self: voters[0]!, voters, able, lost, leaseMs: 1 });
    return intent?.kind === 'voters' ? intent.voters.length : null;
  };

  test.each([
    [1, 1],
    [2, 1],
    [3, 3],
    [4, 3],
    [5, 5],
    [6, 5],
    [7, 7],
    [50, 7],
  ])('of %i hosts %i', (hosts, wanted) => {
    let size = 1;
    for (let step = 0; step < 10; step++) size = next(peers(hosts).slice(0, size), peers(hosts)) ?? size;
    expect(size).toBe(wanted);
  });

  test('one that is gone is replaced: another one first where they are three', () => {
    const [p, q, r, s] = peers(4) as [PeerId, PeerId, PeerId, PeerId];
    expect(next([p, q, r], [p, q, s], [r])).toBe(4);
    expect(next([p, q, r, s], [p, q, s], [r])).toBe(3);
    expect(next([p, q, r], [p, q], [r])).toBeNull();
  });

  test('only the first live voter says so', () => {
    const [p, q, r, s] = peers(4) as [PeerId, PeerId, PeerId, PeerId];
    const facts = { voters: [p, q], able: [p, q, r, s], lost: [], leaseMs: 1 };
    expect(nextVoters({ ...facts, self: q })).toBeNull();
    expect(nextVoters({ ...facts, able: [q, r, s], self: q })).not.toBeNull();
  });
});

test('only what all voters report, of one network and by one epoch, is reclaimed', () => {
  const title = (cidr: string, epoch: number, network = DEFAULT_VNI) => ({ network, cidr: parseCidr(cidr)!, epoch });
  const lists = [
    [title('10.0.0.0/16', 1), title('10.2.0.0/16', 2), title('10.4.0.0/16', 3), title('10.6.0.0/16', 1)],
    [title('10.0.0.0/17', 1), title('10.2.0.0/16', 3), title('10.4.0.0/15', 3), title('10.6.0.0/16', 1, NAMED)],
  ];
  expect(commonTitles(lists)).toEqual([title('10.0.0.0/17', 1), title('10.4.0.0/16', 3)]);
});
