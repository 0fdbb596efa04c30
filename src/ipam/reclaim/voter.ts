// What a voter answers: renewals of owners with promises, ballots of proposers with what it knows, values with its signed vote. All
// that matters of an answer is durable and marked in this host's published records before it is returned. It votes only in the slot
// after the last decision that it knows, so that everyone who votes in a slot agrees on who may.

import { cidrsOverlap } from '../../base/address.ts';
import type { Clock } from '../../base/capabilities.ts';
import type { PeerId, Vni } from '../../base/ids.ts';
import type { Acceptor } from './acceptor.ts';
import type { Chain } from './chain.ts';
import { compareBallots, mayFollow, TITLES_MAX, type Title, votingBytes } from './decision.ts';
import { Promises } from './promises.ts';
import type { VoteMessage, VoteRefusal } from './vote-message.ts';

export interface VoterPorts {
  readonly self: PeerId;
  readonly network: Vni;
  readonly clock: Clock;
  readonly chain: Chain;
  readonly acceptor: Acceptor;
  /** This host's identity key, and Ed25519 with it. */
  readonly key: () => Uint8Array | null;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  /** While true, what this host knows may be old. */
  readonly isPaused: () => boolean;
  readonly isAlive: (peer: PeerId) => boolean;
  /** The host stops allocating when no majority promises: it has said so in its records. */
  readonly isEnrolled: (peer: PeerId) => boolean;
  /** All records of the host up to this version of its map are known here. */
  readonly hasHeard: (peer: PeerId, version: number) => boolean;
  /** What the host owns by all records, in every network; in one order everywhere. */
  readonly titlesOf: (peer: PeerId) => readonly Title[];
  /** What the host says that others gave it. */
  readonly giftsTo: (peer: PeerId) => readonly Title[];
  /** The acceptor's state changed: it is to be marked in this host's records before this returns. */
  readonly marked: () => void;
}

type Of<K extends VoteMessage['kind']> = Extract<VoteMessage, { readonly kind: K }>;

export class Voter {
  readonly #ports: VoterPorts;
  readonly #promises: Promises;

  constructor(ports: VoterPorts) {
    this.#ports = ports;
    this.#promises = new Promises(ports.clock, ports.chain.longestLeaseMs);
  }

  /** A new list of voters stands in the chain. */
  votersChanged(): void {
    this.#promises.silence(this.#ports.chain.longestLeaseMs);
  }

  get isSilent(): boolean {
    return this.#promises.isSilent;
  }

  hasPromised(owner: PeerId): boolean {
    return this.#promises.isLive(owner);
  }

  renew(owner: PeerId, { number, length, version }: Of<'renew'>): VoteMessage {
    const { chain } = this.#ports;
    const why = this.#refusesPromise(owner, length, version);
    if (why === null && this.#promises.give(owner, chain.leaseMs)) {
      return { kind: 'promise', number, leaseMs: chain.leaseMs };
    }
    return { kind: 'no-promise', number, why: why ?? 'silent', length: chain.length };
  }

  prepare(from: PeerId, { poll, slot, ballot, target }: Of<'prepare'>): VoteMessage {
    const { chain, acceptor, titlesOf, marked } = this.#ports;
    const refuse = (why: VoteRefusal): VoteMessage => this.#refuse(slot, ballot, why);
    const why = this.#refusesVote(from, slot, ballot.proposer);
    if (why !== null) return refuse(why);
    if (compareBallots(ballot, acceptor.promised(slot)) < 0) return refuse('outbid');
    const against = target === null ? null : this.#refusesTarget(target);
    if (against !== null) return refuse(against);
    const titles = target === null ? [] : (acceptor.closedTo(slot, target) ?? titlesOf(target).slice(0, TITLES_MAX));
    if (!poll) {
      if (!acceptor.prepare(slot, ballot, target === null ? null : { peer: target, titles })) return refuse('outbid');
      marked();
    }
    return { kind: 'prepared', poll, slot: chain.length, ballot, accepted: acceptor.accepted(slot), titles };
  }

  accept(from: PeerId, { slot, ballot, value }: Of<'accept'>): VoteMessage {
    const { chain, acceptor, network, key, sign, marked } = this.#ports;
    const why = this.#refusesVote(from, slot, ballot.proposer);
    if (why !== null) return this.#refuse(slot, ballot, why);
    const voterKey = key();
    const misfit = value.kind === 'voters' && !mayFollow(chain.voters, value.voters);
    if (misfit || voterKey === null) return this.#refuse(slot, ballot, 'not-voter');
    if (!acceptor.accept(slot, ballot, value)) return this.#refuse(slot, ballot, 'outbid');
    marked();
    const signature = sign(votingBytes(network, { slot, ballot, value }));
    return { kind: 'accepted', slot, ballot, vote: { key: voterKey, signature } };
  }

  #refusesPromise(owner: PeerId, length: number, version: number): VoteRefusal | null {
    const { self, chain, acceptor, isPaused, hasHeard, giftsTo } = this.#ports;
    const slot = chain.length;
    if (!chain.voters.includes(self)) return 'not-voter';
    if (length < slot) return 'behind'; // it may not know that a block is its own no more, or who votes
    if (isPaused() || acceptor.abstains(slot)) return 'abstains';
    if (acceptor.accepted(slot)?.value.kind === 'voters') return 'changing';
    if (acceptor.closedTo(slot, owner) !== null) return 'closed';
    if (!hasHeard(owner, version)) return 'unheard';
    const contested = acceptor.contested(slot);
    if (contested.length === 0) return null;
    const late = giftsTo(owner).some((gift) =>
      contested.some(
        ({ network, cidr, epoch }) => gift.network === network && gift.epoch > epoch && cidrsOverlap(cidr, gift.cidr),
      ),
    );
    return late ? 'closed' : null;
  }

  #refusesVote(from: PeerId, slot: number, proposer: PeerId): VoteRefusal | null {
    const { self, chain, acceptor, isPaused } = this.#ports;
    if (slot !== chain.length) return 'behind';
    if (from !== proposer || !chain.voters.includes(from) || !chain.voters.includes(self)) return 'not-voter';
    return isPaused() || acceptor.abstains(slot) ? 'abstains' : null;
  }

  #refusesTarget(target: PeerId): VoteRefusal | null {
    const { self, isAlive, isEnrolled } = this.#ports;
    if (!isEnrolled(target)) return 'not-enrolled';
    if (target === self || this.#promises.isLive(target) || isAlive(target)) return 'alive';
    return this.#promises.isSilent ? 'silent' : null;
  }

  #refuse(slot: number, ballot: Of<'prepare'>['ballot'], why: VoteRefusal): VoteMessage {
    return { kind: 'no-vote', slot, ballot, why, round: this.#ports.acceptor.promised(slot).round };
  }
}
