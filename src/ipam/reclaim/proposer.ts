// The proposer of single-decree Paxos for the next slot, one attempt at a time: a poll that binds nobody when the attempt is
// against a host, phase 1, phase 2. A value that a voter has accepted before is taken up instead of our own. A block is reclaimed
// only if every voter of the phase-1 majority says that the host owns it, by the same record; so a gift that one of them knows of
// stands.

import { cidrContains, cidrsOverlap } from '../../base/address.ts';
import type { Clock, Crypto, Random } from '../../base/capabilities.ts';
import type { PeerId, Vni } from '../../base/ids.ts';
import { peerIdOf } from '../../base/membership.ts';
import type { Accepted } from './acceptor.ts';
import type { Chain } from './chain.ts';
import {
  type Ballot,
  compareBallots,
  type Decision,
  majorityOf,
  TITLES_MAX,
  type Title,
  type Value,
  type Vote,
  votingBytes,
} from './decision.ts';
import type { VoteMessage } from './vote-message.ts';

/** What we want a slot to say; what a reclaim takes is known after phase 1. */
export type Intent =
  | Exclude<Value, { readonly kind: 'reclaim' }>
  | { readonly kind: 'reclaim'; readonly owner: PeerId };

/** Three round trips on any underlay that carries a cluster, and a durable write. */
const PHASE_MS = 2_000;
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
const ROUND_MAX = 0x7fff_ffff;

interface Attempt {
  readonly intent: Intent;
  readonly slot: number;
  readonly ballot: Ballot;
  readonly voters: readonly PeerId[];
  phase: 'poll' | 'prepare' | 'accept';
  /** Of this phase. */
  readonly answers: Map<PeerId, { readonly accepted: Accepted | null; readonly titles: readonly Title[] }>;
  readonly refused: Set<PeerId>;
  value: Value | null;
  readonly votes: Map<PeerId, Vote>;
  deadlineMs: number;
}

export interface ProposerPorts {
  readonly self: PeerId;
  readonly network: Vni;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly chain: Chain;
  /** The highest round that this host's own acceptor has answered in the slot. */
  readonly ownRound: (slot: number) => number;
  /** To a voter, ourselves included. */
  readonly send: (voter: PeerId, message: VoteMessage) => void;
  readonly decided: (decision: Decision) => void;
}

export class Proposer {
  readonly #ports: ProposerPorts;
  #attempt: Attempt | null = null;
  #roundSeen = 0;
  #slotSeen = -1;
  #pauseMs = PAUSE_MS;
  #notBeforeMs = 0;

  constructor(ports: ProposerPorts) {
    this.#ports = ports;
  }

  get isFree(): boolean {
    return this.#attempt === null && this.#ports.clock.monotonicMs() >= this.#notBeforeMs;
  }

  /** Does nothing while another attempt is under way or pauses. */
  begin(intent: Intent): void {
    const { self, chain, ownRound, clock } = this.#ports;
    if (!this.isFree || chain.full) return;
    const slot = chain.length;
    const seen = this.#slotSeen === slot ? this.#roundSeen : 0;
    const round = Math.max(seen, ownRound(slot)) + 1;
    if (round > ROUND_MAX) return;
    this.#attempt = {
      intent,
      slot,
      ballot: { round, proposer: self },
      voters: [...chain.voters],
      phase: intent.kind === 'reclaim' ? 'poll' : 'prepare',
      answers: new Map(),
      refused: new Set(),
      value: null,
      votes: new Map(),
      deadlineMs: clock.monotonicMs() + PHASE_MS,
    };
    this.#sendPhase(this.#attempt);
  }

  prepared(from: PeerId, message: Extract<VoteMessage, { kind: 'prepared' }>): void {
    const attempt = this.#current(from, message);
    if (attempt === null || attempt.phase !== (message.poll ? 'poll' : 'prepare')) return;
    attempt.answers.set(from, message);
    // Ourselves among them: a ballot that our own acceptor has answered is never used again, also after a crash.
    if (attempt.answers.size < majorityOf(attempt.voters.length) || !attempt.answers.has(this.#ports.self)) return;
    if (attempt.phase === 'poll') {
      if (this.#choose(attempt).kind === 'none')
        this.#giveUp(); // a slot would be spent on nothing
      else this.#enter(attempt, 'prepare');
    } else {
      attempt.value = this.#choose(attempt);
      this.#enter(attempt, 'accept');
    }
  }

  accepted(from: PeerId, message: Extract<VoteMessage, { kind: 'accepted' }>): void {
    const { network, crypto, decided } = this.#ports;
    const attempt = this.#current(from, message);
    if (attempt === null || attempt.phase !== 'accept' || attempt.value === null) return;
    const { slot, ballot, value } = attempt;
    const { key, signature } = message.vote;
    if (peerIdOf(key, crypto) !== from) return;
    if (!crypto.ed25519Verify(key, votingBytes(network, { slot, ballot, value }), signature)) return;
    attempt.votes.set(from, message.vote);
    if (attempt.votes.size < majorityOf(attempt.voters.length)) return;
    this.#attempt = null;
    this.#pauseMs = PAUSE_MS;
    decided({ slot, ballot, value, votes: [...attempt.votes.values()] });
  }

  refused(from: PeerId, message: Extract<VoteMessage, { kind: 'no-vote' }>): void {
    if (message.slot === this.#ports.chain.length) {
      const seen = this.#slotSeen === message.slot ? this.#roundSeen : 0;
      this.#slotSeen = message.slot;
      this.#roundSeen = Math.min(ROUND_MAX, Math.max(seen, message.round));
    }
    const attempt = this.#current(from, message);
    if (attempt === null) return;
    attempt.refused.add(from);
    const { length } = attempt.voters;
    if (length - attempt.refused.size < majorityOf(length)) this.#giveUp();
  }

  /** The slot was decided, by us or by others. */
  slotDecided(): void {
    if (this.#attempt !== null && this.#attempt.slot < this.#ports.chain.length) this.#attempt = null;
  }

  tick(): void {
    if (this.#attempt !== null && this.#ports.clock.monotonicMs() >= this.#attempt.deadlineMs) this.#giveUp();
  }

  #current(from: PeerId, message: { readonly slot: number; readonly ballot: Ballot }): Attempt | null {
    const attempt = this.#attempt;
    const fits =
      attempt !== null &&
      attempt.slot === message.slot &&
      compareBallots(attempt.ballot, message.ballot) === 0 &&
      attempt.voters.includes(from);
    return fits ? attempt : null;
  }

  #enter(attempt: Attempt, phase: Attempt['phase']): void {
    attempt.phase = phase;
    attempt.answers.clear();
    attempt.refused.clear();
    attempt.deadlineMs = this.#ports.clock.monotonicMs() + PHASE_MS;
    this.#sendPhase(attempt);
  }

  /** Ourselves first: what we refuse needs nobody else's answer. */
  #sendPhase(attempt: Attempt): void {
    const { self, send } = this.#ports;
    const { slot, ballot, intent, value, phase } = attempt;
    const target = intent.kind === 'reclaim' ? intent.owner : null;
    const message: VoteMessage =
      phase === 'accept' && value !== null
        ? { kind: 'accept', slot, ballot, value }
        : { kind: 'prepare', poll: phase === 'poll', slot, ballot, target };
    for (const voter of [self, ...attempt.voters.filter((peer) => peer !== self)]) {
      if (this.#attempt === attempt && attempt.phase === phase) send(voter, message);
    }
  }

  #choose({ answers, intent }: Attempt): Value {
    let before: Accepted | null = null;
    for (const { accepted } of answers.values()) {
      if (accepted !== null && (before === null || compareBallots(accepted.ballot, before.ballot) > 0))
        before = accepted;
    }
    if (before !== null) return before.value;
    if (intent.kind !== 'reclaim') return intent;
    const titles = commonTitles([...answers.values()].map((answer) => answer.titles)).slice(0, TITLES_MAX);
    if (titles.length === 0) return { kind: 'none' };
    return { kind: 'reclaim', owner: intent.owner, heir: this.#ports.self, titles };
  }

  #giveUp(): void {
    const { clock, random } = this.#ports;
    this.#attempt = null;
    this.#notBeforeMs = clock.monotonicMs() + this.#pauseMs * (0.5 + random.fraction());
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
  }
}

/** The largest blocks that all lists have by the same epoch. */
export function commonTitles(lists: readonly (readonly Title[])[]): readonly Title[] {
  const [first, ...others] = lists;
  if (first === undefined) return [];
  return others.reduce<readonly Title[]>((common, list) => common.flatMap((title) => overlapsOf(title, list)), first);
}

function overlapsOf(title: Title, list: readonly Title[]): Title[] {
  return list.flatMap((other) => {
    if (!isOfOneRecord(title, other) || !cidrsOverlap(title.cidr, other.cidr)) return [];
    return [cidrContains(title.cidr, other.cidr) ? other : title];
  });
}

function isOfOneRecord(a: Title, b: Title): boolean {
  return a.network === b.network && a.epoch === b.epoch;
}
