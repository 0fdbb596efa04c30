import { expect, test } from 'vitest';
import { DEFAULT_VNI, type PeerId } from '../../../src/base/ids.ts';
import type { Accepted } from '../../../src/ipam/reclaim/acceptor.ts';
import type { Chain } from '../../../src/ipam/reclaim/chain.ts';
import type { Value } from '../../../src/ipam/reclaim/decision.ts';
import { Proposer } from '../../../src/ipam/reclaim/proposer.ts';
import type { VoteMessage } from '../../../src/ipam/reclaim/vote-message.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { quickSignatures } from '../../fakes/quick-crypto.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const [SELF, SECOND, THIRD, OTHER] = [1, 2, 3, 4].map((n) => String(n).repeat(32)) as [PeerId, PeerId, PeerId, PeerId];
const SLOT = 5;

function setUp() {
  const sent: { readonly to: PeerId; readonly message: VoteMessage }[] = [];
  const chain = { length: SLOT, voters: [SELF, SECOND, THIRD], full: false };
  const proposer = new Proposer({
    self: SELF,
    network: DEFAULT_VNI,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    crypto: quickSignatures,
    chain: chain as unknown as Chain,
    ownRound: () => 0,
    send: (to, message) => void sent.push({ to, message }),
    decided: () => undefined,
  });
  const answer = (from: PeerId, accepted: Accepted | null = null, ballot = { round: 1, proposer: SELF }): void => {
    proposer.prepared(from, { kind: 'prepared', poll: false, slot: SLOT, ballot, accepted, titles: [] });
  };
  /** What it asks to be accepted; null: nothing yet. */
  const wanted = (): Value | null => {
    const last = sent.at(-1)?.message;
    return last?.kind === 'accept' ? last.value : null;
  };
  return { proposer, answer, wanted };
}

const list = (...voters: PeerId[]): Value => ({ kind: 'voters', voters, leaseMs: 1 });

test('a value that a voter has accepted is proposed on, of several the one of the highest ballot', () => {
  const { proposer, answer, wanted } = setUp();
  proposer.begin({ kind: 'none' });
  answer(SECOND, { ballot: { round: 7, proposer: OTHER }, value: list(SELF, SECOND, THIRD, OTHER) });
  answer(SELF, { ballot: { round: 6, proposer: THIRD }, value: { kind: 'none' } });
  expect(wanted()).toEqual(list(SELF, SECOND, THIRD, OTHER));
});

test('a majority without ourselves is not enough: our own acceptor has to remember the ballot', () => {
  const { proposer, answer, wanted } = setUp();
  proposer.begin({ kind: 'none' });
  answer(SECOND);
  answer(THIRD);
  expect(wanted()).toBeNull();
  answer(SELF);
  expect(wanted()).toEqual({ kind: 'none' });
});

test('answers of others than voters, to other ballots, and twice by one count for nothing', () => {
  const { proposer, answer, wanted } = setUp();
  proposer.begin({ kind: 'none' });
  answer(SELF);
  answer(SELF);
  answer(OTHER);
  answer(SECOND, null, { round: 2, proposer: SELF });
  answer(SECOND, null, { round: 1, proposer: THIRD });
  expect(wanted()).toBeNull();
});
