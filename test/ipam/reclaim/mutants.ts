// Broken variants of the voting: each has one rule taken away by replacing a method for the time of a test. The random runs must
// catch every one of them. The product knows nothing of this.

import { vi } from 'vitest';
import type { PeerId } from '../../../src/base/ids.ts';
import { Disputes } from '../../../src/ipam/disputes.ts';
import { LeaseVoting } from '../../../src/ipam/lease-voting.ts';
import { Acceptor } from '../../../src/ipam/reclaim/acceptor.ts';
import { Fence } from '../../../src/ipam/reclaim/fence.ts';
import { Promises } from '../../../src/ipam/reclaim/promises.ts';
import { Proposer } from '../../../src/ipam/reclaim/proposer.ts';
import { type VotedSpace, VotedSpaces } from '../../../src/ipam/reclaim/voted-spaces.ts';
import { HostClock } from '../../fakes/host-clock.ts';
import {
  formerOwnerReturns,
  giftThatNoVoterHeardOf,
  hostOfTwoNetworksIsGone,
  latePromises,
  manyGiftsThatNoVoterHeardOf,
  ownerReturnsWhileValueTravels,
  stoppedMachine,
  votersDiskIsSetBack,
  votersRestart,
} from './stories.ts';
import { run } from './voting-run.ts';

const SEEDS_MAX = 5;

export interface Mutant {
  readonly name: string;
  /** What brings it to light. */
  readonly story: () => void;
  readonly break: () => void;
}

function randomRuns(): void {
  for (let seed = 1; seed <= SEEDS_MAX; seed++) run(seed);
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a host allocates on when no voter confirms it',
    story: votersRestart,
    break: () => {
      vi.spyOn(Fence.prototype, 'leftMs').mockReturnValue(null);
    },
  },
  {
    name: 'the fence counts from the receipt of a promise, not from the sending of the renewal',
    story: latePromises,
    break: () => {
      const asks = Fence.prototype.asks;
      const promised = Fence.prototype.promised;
      const sent = new WeakMap<Fence, Map<string, ReadonlySet<string>>>();
      vi.spyOn(Fence.prototype, 'asks').mockImplementation(function (this: Fence, peer, titles) {
        const number = asks.call(this, peer, titles);
        sent.set(this, (sent.get(this) ?? new Map<string, ReadonlySet<string>>()).set(`${peer} ${number}`, titles));
        return number;
      });
      vi.spyOn(Fence.prototype, 'promised').mockImplementation(function (this: Fence, peer, number, leaseMs) {
        const titles = sent.get(this)?.get(`${peer} ${number}`);
        if (titles === undefined) return false;
        return promised.call(this, peer, asks.call(this, peer, titles), leaseMs);
      });
    },
  },
  {
    name: 'the fence does not look at the wall clock',
    story: stoppedMachine,
    break: () => {
      vi.spyOn(HostClock.prototype, 'wallMs').mockReturnValue(0);
    },
  },
  {
    name: 'a voter forgets its promises at a restart and votes at once',
    story: votersRestart,
    break: () => {
      vi.spyOn(Promises.prototype, 'isSilent', 'get').mockReturnValue(false);
    },
  },
  {
    name: 'a voter votes against an owner to whom its promise is live',
    story: randomRuns,
    break: () => {
      vi.spyOn(Promises.prototype, 'isLive').mockReturnValue(false);
    },
  },
  {
    name: 'a voter goes on promising to an owner against whom it answered a ballot',
    story: ownerReturnsWhileValueTravels,
    break: () => {
      vi.spyOn(Acceptor.prototype, 'closedTo').mockReturnValue(null);
      vi.spyOn(Acceptor.prototype, 'contested').mockReturnValue([]);
    },
  },
  {
    name: 'a voter whose disk was set back does not look at the mark that it had published',
    story: votersDiskIsSetBack,
    break: () => {
      vi.spyOn(Acceptor.prototype, 'sawOwnMark').mockReturnValue(false);
    },
  },
  {
    name: 'reclaim without a majority: one answer to a ballot counts for all',
    story: randomRuns,
    break: () => {
      const prepared = Proposer.prototype.prepared;
      const peers = new Set<PeerId>();
      vi.spyOn(Proposer.prototype, 'prepared').mockImplementation(function (this: Proposer, from, message) {
        for (const peer of peers.add(from)) prepared.call(this, peer, message);
      });
    },
  },
  {
    name: 'a block is used before voters have heard of its gift',
    story: giftThatNoVoterHeardOf,
    break: () => {
      vi.spyOn(Fence.prototype, 'isConfirmed').mockReturnValue(true);
    },
  },
  {
    name: 'a gift of which no voter has heard is joined with its neighbours under a title of our own',
    story: manyGiftsThatNoVoterHeardOf,
    break: () => {
      vi.spyOn(LeaseVoting.prototype, 'knowsOurTitles').mockReturnValue(true);
    },
  },
  {
    name: 'a vote about one network’s block counts for the other’s',
    story: hostOfTwoNetworksIsGone,
    break: () => {
      const add = VotedSpaces.prototype.add;
      vi.spyOn(VotedSpaces.prototype, 'add').mockImplementation(function (this: VotedSpaces, space: VotedSpace) {
        const { network } = space;
        add.call(this, {
          ...space,
          reclaimed: (value) =>
            space.reclaimed({ ...value, titles: value.titles.map((title) => ({ ...title, network })) }),
        });
      });
    },
  },
  {
    name: 'a former owner goes on using what the voters gave to another host',
    story: formerOwnerReturns,
    break: () => {
      vi.spyOn(Disputes.prototype, 'blocks').mockReturnValue([]);
    },
  },
];
