import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../src/base/address.ts';
import { DEFAULT_VNI, type PeerId } from '../../../src/base/ids.ts';
import { Acceptor } from '../../../src/ipam/reclaim/acceptor.ts';
import type { Chain } from '../../../src/ipam/reclaim/chain.ts';
import type { Ballot, Title, Value } from '../../../src/ipam/reclaim/decision.ts';
import { Voter } from '../../../src/ipam/reclaim/voter.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemoryStore } from '../../fakes/memory-store.ts';

const LEASE_MS = 60_000;
const SLOT = 5;
const [SELF, PROPOSER, THIRD, OWNER, TAKER] = [1, 2, 3, 4, 5].map((n) => String(n).repeat(32)) as [
  PeerId,
  PeerId,
  PeerId,
  PeerId,
  PeerId,
];
const BALLOT: Ballot = { round: 1, proposer: PROPOSER };
const title = (cidr: string, epoch: number): Title => ({ network: DEFAULT_VNI, cidr: parseCidr(cidr)!, epoch });

/** A voter that has been up for long, of an owner that is enrolled and gone. */
function setUp() {
  const clock = new ManualClock();
  const facts = {
    isPaused: false,
    alive: new Set<PeerId>(),
    enrolled: new Set<PeerId>([OWNER]),
    heard: 7,
    titles: [title('10.32.0.0/24', 3)],
    gifts: [] as Title[],
    marks: 0,
  };
  const chain = { length: SLOT, voters: [SELF, PROPOSER, THIRD], leaseMs: LEASE_MS, longestLeaseMs: LEASE_MS };
  const acceptor = new Acceptor({ store: new MemoryStore(), network: 0 });
  const voter = new Voter({
    self: SELF,
    network: DEFAULT_VNI,
    clock,
    chain: chain as unknown as Chain,
    acceptor,
    key: () => new Uint8Array(32),
    sign: () => new Uint8Array(64),
    isPaused: () => facts.isPaused,
    isAlive: (peer) => facts.alive.has(peer),
    isEnrolled: (peer) => facts.enrolled.has(peer),
    hasHeard: (_peer, version) => version <= facts.heard,
    titlesOf: () => facts.titles,
    giftsTo: () => facts.gifts,
    marked: () => void facts.marks++,
  });
  clock.advance(LEASE_MS);
  const renew = (owner = OWNER, wish: { length?: number; version?: number } = {}): string => {
    const answer = voter.renew(owner, { kind: 'renew', number: 1, length: SLOT, version: 7, ...wish });
    return answer.kind === 'no-promise' ? answer.why : answer.kind;
  };
  const prepare = (wish: { poll?: boolean; slot?: number; ballot?: Ballot; from?: PeerId } = {}) => {
    const { from = PROPOSER, ...rest } = wish;
    return voter.prepare(from, { kind: 'prepare', poll: false, slot: SLOT, ballot: BALLOT, target: OWNER, ...rest });
  };
  const vote = (wish: Parameters<typeof prepare>[0] = {}): string => {
    const answer = prepare(wish);
    return answer.kind === 'no-vote' ? answer.why : answer.kind;
  };
  const accept = (value: Value, ballot = BALLOT): string => {
    const answer = voter.accept(PROPOSER, { kind: 'accept', slot: SLOT, ballot, value });
    return answer.kind === 'no-vote' ? answer.why : answer.kind;
  };
  return { clock, facts, chain, acceptor, voter, renew, prepare, vote, accept };
}

type Scene = ReturnType<typeof setUp>;
const voters = (...list: PeerId[]): Value => ({ kind: 'voters', voters: list, leaseMs: LEASE_MS });

describe('a voter promises', () => {
  test('an owner that knows all decisions and of which it has heard all', () => {
    expect(setUp().renew()).toBe('promise');
  });

  const refusals: readonly (readonly [string, string, (scene: Scene) => string])[] = [
    [
      'when it votes no more',
      'not-voter',
      ({ chain, renew }) => {
        chain.voters = [PROPOSER, THIRD];
        return renew();
      },
    ],
    ['to an owner that knows fewer decisions', 'behind', ({ renew }) => renew(OWNER, { length: SLOT - 1 })],
    ['of records that it has not heard', 'unheard', ({ renew }) => renew(OWNER, { version: 8 })],
    [
      'while what it knows may be old',
      'abstains',
      ({ facts, renew }) => {
        facts.isPaused = true;
        return renew();
      },
    ],
    [
      'where its disk has forgotten votes',
      'abstains',
      ({ acceptor, renew }) => {
        acceptor.sawOwnMark({ slot: SLOT, change: 1 });
        return renew();
      },
    ],
    [
      'while it has accepted a list of voters that is not decided',
      'changing',
      ({ accept, renew }) => {
        expect(accept(voters(SELF, PROPOSER, THIRD, TAKER))).toBe('accepted');
        return renew();
      },
    ],
    [
      'to an owner against whom it answered',
      'closed',
      ({ vote, renew }) => {
        expect(vote()).toBe('prepared');
        return renew();
      },
    ],
    [
      'to who got later what it reported as that owner’s',
      'closed',
      ({ facts, vote, renew }) => {
        vote();
        facts.gifts = [title('10.32.0.128/25', 4)];
        return renew(TAKER);
      },
    ],
  ];
  test.each(refusals)('nothing %s: %s', (_name, why, play) => {
    expect(play(setUp())).toBe(why);
  });

  test('those who have other blocks, or got theirs before', () => {
    const { facts, vote, renew } = setUp();
    vote();
    facts.gifts = [title('10.32.0.0/25', 2), title('10.32.1.0/24', 9)];
    expect(renew(TAKER)).toBe('promise');
  });
});

describe('a voter answers a ballot', () => {
  test('against an owner that is gone, with what it owned, durably and marked', () => {
    const { prepare, facts, acceptor } = setUp();
    expect(prepare()).toMatchObject({ kind: 'prepared', accepted: null, titles: facts.titles });
    expect([acceptor.promised(SLOT), facts.marks]).toEqual([BALLOT, 1]);
  });

  test('with what the owner had when it was closed to it, whatever it hears since', () => {
    const { prepare, facts } = setUp();
    prepare();
    facts.titles = [title('10.32.0.0/25', 5)];
    expect(prepare({ ballot: { round: 2, proposer: PROPOSER } })).toMatchObject({ titles: [title('10.32.0.0/24', 3)] });
  });

  test('that is only asked about without binding itself', () => {
    const { vote, renew, acceptor, facts } = setUp();
    expect(vote({ poll: true })).toBe('prepared');
    expect([acceptor.promised(SLOT).round, facts.marks, renew()]).toEqual([0, 0, 'promise']);
  });

  const refusals: readonly (readonly [string, string, (scene: Scene) => string])[] = [
    [
      'it has promised',
      'alive',
      ({ clock, renew, vote }) => {
        renew();
        clock.advance(LEASE_MS - 1);
        return vote();
      },
    ],
    [
      'it sees alive',
      'alive',
      ({ facts, vote }) => {
        facts.alive.add(OWNER);
        return vote();
      },
    ],
    [
      'does not fence itself',
      'not-enrolled',
      ({ facts, vote }) => {
        facts.enrolled.clear();
        return vote();
      },
    ],
    [
      'may have its promise of before a new list',
      'silent',
      ({ voter, vote }) => {
        voter.votersChanged();
        return vote();
      },
    ],
  ];
  test.each(refusals)('not against an owner that %s: %s', (_name, why, play) => {
    expect(play(setUp())).toBe(why);
  });

  const others: readonly (readonly [string, string, (scene: Scene) => string])[] = [
    ['of another slot', 'behind', ({ vote }) => vote({ slot: SLOT + 1 })],
    ['in another’s name', 'not-voter', ({ vote }) => vote({ from: THIRD })],
    ['of who does not vote', 'not-voter', ({ vote }) => vote({ from: TAKER, ballot: { round: 1, proposer: TAKER } })],
    [
      'while what it knows may be old',
      'abstains',
      ({ facts, vote }) => {
        facts.isPaused = true;
        return vote();
      },
    ],
    [
      'below one that it has answered',
      'outbid',
      ({ vote }) => {
        vote({ ballot: { round: 2, proposer: PROPOSER } });
        return vote();
      },
    ],
  ];
  test.each(others)('not %s: %s', (_name, why, play) => {
    expect(play(setUp())).toBe(why);
  });

  test('again after its promise is over', () => {
    const { clock, renew, vote } = setUp();
    renew();
    clock.advance(LEASE_MS);
    expect(vote()).toBe('prepared');
  });
});

test('a voter accepts no value below a ballot that it has answered, and no list but the next', () => {
  const { vote, accept, facts } = setUp();
  vote({ ballot: { round: 2, proposer: PROPOSER } });
  expect(accept({ kind: 'none' })).toBe('outbid');
  const later = { round: 3, proposer: PROPOSER };
  expect(accept(voters(SELF, PROPOSER, TAKER), later)).toBe('not-voter');
  expect(accept({ kind: 'none' }, later)).toBe('accepted');
  expect(facts.marks).toBe(2);
});
