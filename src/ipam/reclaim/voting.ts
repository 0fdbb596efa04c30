// Takes the address blocks of hosts that are gone back without an operator: the parts of the voting put together, one for all networks.
// Every host renews its lease with the voters and stops allocating when too few of them promise; voters decide who votes, and who
// inherits from an owner to whom no majority of them is bound any more (docs/leases.md argues why that is safe). Pure over its
// ports; whatever a peer sends, nothing here throws for it.

import type { Clock, Crypto, Log, Random, Store } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import type { PeerId, Vni } from '../../base/ids.ts';
import type { AddressPlan } from '../plan.ts';
import { Acceptor } from './acceptor.ts';
import { Chain } from './chain.ts';
import { type Decision, decodeDecision, encodeDecision, majorityOf, VOTERS_MIN } from './decision.ts';
import { nextVoters } from './electorate.ts';
import { Fence } from './fence.ts';
import { type Intent, Proposer } from './proposer.ts';
import { decodeState, encodeState, STATE_ENTRY } from './published.ts';
import { decodeVoteMessage, encodeVoteMessage, type VoteMessage } from './vote-message.ts';
import { type Reclaimed, type VotedSpace, VotedSpaces } from './voted-spaces.ts';
import { Voter } from './voter.ts';

export const LEASE_MS_DEFAULT = 24 * 3_600_000;
/** A slot in which somebody began something is closed by whoever waited so long. */
const STUCK_MS = 10_000;
/** A voter that is gone for so long is replaced. */
const LOST_MS = 600_000;
/** Who has been alive for so long, or for a quarter of a lease, may become a voter. */
const STEADY_MAX_MS = 60_000;
/** Pause between two looks at what should be decided. */
const CONSIDER_MS = 1_000;
/** Decisions that one answer brings. */
const DECISIONS_SENT_MAX = 8;

export interface VotingPorts {
  readonly self: PeerId;
  /** Of the default network, under whose number votes travel and stand. */
  readonly plan: AddressPlan;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly log: Log;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly identityKeyOf: (peer: PeerId) => Uint8Array | null;
  readonly send: (peer: PeerId, bytes: Uint8Array) => boolean;
  /** For how long voters of lists that this host proposes promise; 0: it proposes none. */
  readonly leaseMs: number;
  /** Milliseconds since a host was seen last, or since this one started. */
  readonly unseenMs: (peer: PeerId) => number;
  /** Hosts whose records are known, ourselves included. */
  readonly peers: () => readonly PeerId[];
  readonly isAlive: (peer: PeerId) => boolean;
  /** An operator removed it: it never votes again. */
  readonly isRemoved: (peer: PeerId) => boolean;
  /** While true, what this host knows may be old: it neither votes nor proposes. */
  readonly isPaused: () => boolean;
  /** The version of the published records of a host, also our own, as far as we have them. */
  readonly versionOf: (peer: PeerId) => number;
  /** Our own published records say all that we own. */
  readonly isPublished: () => boolean;
  /** What we publish changed. */
  readonly publish: (entries: ReadonlyMap<string, Uint8Array>) => void;
  readonly drop: (reason: string) => void;
}

export class Voting {
  readonly #ports: VotingPorts;
  readonly #chain: Chain;
  readonly #acceptor: Acceptor;
  readonly #voter: Voter;
  readonly #fence: Fence;
  readonly #proposer: Proposer;
  readonly #spaces = new VotedSpaces();
  /** Hosts that speak this protocol, and whether they fence themselves. */
  readonly #enrolled = new Map<PeerId, boolean>();
  readonly #goneSinceMs = new Map<PeerId, number>();
  readonly #aliveSinceMs = new Map<PeerId, number>();
  /** Decisions that were acted on here. */
  #seen = 0;
  /** What follows from the last of them was told and begun. */
  #isTold = true;
  #openSinceMs: number | null = null;
  #considerMs = Number.NEGATIVE_INFINITY;
  #wasOpen = false;

  /** Throws FabricError `state-damaged`. */
  constructor(ports: VotingPorts) {
    const { self, plan, store, clock, random, crypto, sign } = ports;
    const { network } = plan;
    this.#ports = ports;
    this.#chain = new Chain({ plan, crypto, store });
    this.#acceptor = new Acceptor({ store, network });
    this.#fence = new Fence(clock);
    this.#voter = new Voter({
      self,
      network,
      clock,
      chain: this.#chain,
      acceptor: this.#acceptor,
      key: () => ports.identityKeyOf(self),
      sign,
      isPaused: ports.isPaused,
      isAlive: ports.isAlive,
      isEnrolled: (peer) => this.#enrolled.get(peer) ?? false,
      hasHeard: (peer, version) => ports.versionOf(peer) >= version && this.#spaces.isUnderstood(peer),
      titlesOf: (peer) => this.#spaces.titlesOf(peer),
      giftsTo: (peer) => this.#spaces.giftsTo(peer),
      marked: () => this.#publish(),
    });
    this.#proposer = new Proposer({
      self,
      network,
      clock,
      random,
      crypto,
      chain: this.#chain,
      ownRound: (slot) => this.#acceptor.promised(slot).round,
      send: (voter, message) => this.#send(voter, message),
      decided: (decision) => this.#decidedHere(decision),
    });
    this.#fence.setVoters(this.#chain.voters.length < VOTERS_MIN ? [] : this.#chain.voters);
    this.#seen = this.#chain.length;
  }

  /** From now on blocks of that network are voted about, too. Who joins late asks for {@link reclaims}. */
  join(space: VotedSpace): void {
    this.#spaces.add(space);
  }

  leave(network: Vni): void {
    this.#spaces.remove(network);
  }

  /** All that was decided about blocks, in its order. */
  reclaims(): readonly Reclaimed[] {
    return this.#chain.all().flatMap(({ value }) => (value.kind === 'reclaim' ? [value] : []));
  }

  /** How many decisions are known here. */
  get decisions(): number {
    return this.#chain.length;
  }

  get voters(): readonly PeerId[] {
    return this.#chain.voters;
  }

  /** For how long voters promise, milliseconds; 0 below {@link VOTERS_MIN}: they promise nothing. */
  get leaseMs(): number {
    return this.#chain.voters.length < VOTERS_MIN ? 0 : this.#chain.leaseMs;
  }

  /** What this host publishes: entry names and values. A decision stands with who brought it about, as long as that is a voter. */
  published(): ReadonlyMap<string, Uint8Array> {
    const { self } = this.#ports;
    const { voters } = this.#chain;
    const entries = new Map([[STATE_ENTRY, encodeState({ enrolled: this.#isEnrolled, mark: this.#acceptor.mark })]]);
    if (!voters.includes(self)) return entries;
    for (const decision of this.#chain.all()) {
      const { proposer } = decision.ballot;
      if (proposer === self || !voters.includes(proposer)) {
        entries.set(String(decision.slot), encodeDecision(decision));
      }
    }
    return entries;
  }

  /** An entry that a host publishes, our own as peers have it included. Repeats are cheap. */
  observe(author: PeerId, entry: string, bytes: Uint8Array): void {
    const { self, drop } = this.#ports;
    if (entry !== STATE_ENTRY) {
      const decision = decodeDecision(bytes);
      if (decision === null || this.#learn(decision) === 'invalid') drop('decision-invalid');
      return;
    }
    const state = decodeState(bytes);
    if (state === null) {
      drop('decision-invalid');
      return;
    }
    this.#enrolled.set(author, (this.#enrolled.get(author) ?? false) || state.enrolled);
    if (author !== self || !this.#acceptor.sawOwnMark(state.mark)) return;
    this.#ports.log.warn('this host has voted and forgotten it: it abstains', { slot: state.mark.slot });
  }

  /** A message of the lease channel for which isVoteMessage holds. */
  receive(from: PeerId, bytes: Uint8Array): void {
    const message = decodeVoteMessage(bytes);
    if (message === null) this.#ports.drop('message-malformed');
    else this.#handle(from, message);
  }

  /** A link came up: who can be asked now is asked. */
  linked(): void {
    this.#fence.hurry();
    this.#renew();
  }

  /** Our titles changed, and our records say so: a block from others is used once voters have heard of it. */
  titlesPublished(): void {
    this.#renew();
  }

  /** Why this host may hand out nothing new now; null: it may. */
  obstacle(): FabricError | null {
    const behind = this.#enrolled.get(this.#ports.self) === true && this.#chain.voters.length < VOTERS_MIN;
    if (!behind && this.#leftMs() !== 0) return null;
    return new FabricError('lease-expired', {
      what: 'no address is given out',
      why: `too few of the ${this.#chain.voters.length} lease voters have confirmed that this host owns its blocks`,
      fix: "Let TCP 6783 pass to other hosts; 'fabric rmpeer' says that a host is off for good",
    });
  }

  /** Until when this host may allocate if no voter answers any more, as a span from now; null: for ever. */
  get leftMs(): number | null {
    return this.#leftMs();
  }

  /**
   * In how many milliseconds the voters may take back what a host owns, which they promised it last when it was seen last, or a
   * little later where one of them has started anew; null: it lives, or they never will: it went before it fenced itself, or too few
   * of them are left that vote.
   */
  reclaimMs(peer: PeerId): number | null {
    const { self, isAlive, isRemoved, unseenMs } = this.#ports;
    if (this.leaseMs === 0 || peer === self || isAlive(peer) || isRemoved(peer)) return null;
    if (this.#enrolled.get(peer) !== true || !this.#canDecide) return null;
    return Math.max(0, this.leaseMs - unseenMs(peer));
  }

  isConfirmed(title: string): boolean {
    return this.#fence.isConfirmed(title, this.#ports.isRemoved);
  }

  /** Milliseconds until it is to be called again. */
  tick(): number {
    this.#takeUp(); // what a full disk kept from being done
    this.#proposer.tick();
    this.#renew();
    this.#consider();
    this.#noteFence();
    return this.#fence.waitMs(this.#spaces.ownTitles(), CONSIDER_MS);
  }

  /** False: enough of the voters were removed, which never vote again, or there are as many decisions as there may be. */
  get #canDecide(): boolean {
    const { voters, full } = this.#chain;
    return !full && voters.filter((peer) => !this.#ports.isRemoved(peer)).length >= majorityOf(voters.length);
  }

  get #isEnrolled(): boolean {
    return this.#chain.voters.length >= VOTERS_MIN || this.#enrolled.get(this.#ports.self) === true;
  }

  #leftMs(): number | null {
    return this.#fence.leftMs(this.#ports.isRemoved);
  }

  #noteFence(): void {
    const open = this.obstacle() === null;
    if (open === this.#wasOpen) return;
    this.#wasOpen = open;
    this.#spaces.changed();
  }

  #renew(): void {
    const { self, versionOf, isPublished } = this.#ports;
    if (!isPublished()) return; // a voter that has heard our records would not have heard of all titles
    const titles = this.#spaces.ownTitles();
    for (const voter of this.#fence.due(titles)) {
      const number = this.#fence.asks(voter, titles);
      this.#send(voter, { kind: 'renew', number, length: this.#chain.length, version: versionOf(self) });
    }
  }

  #handle(from: PeerId, message: VoteMessage): void {
    switch (message.kind) {
      case 'renew':
        this.#send(from, this.#voter.renew(from, message));
        this.#compareLengths(from, message.length);
        return;
      case 'promise':
        if (!this.#fence.promised(from, message.number, message.leaseMs)) this.#ports.drop('vote-unasked');
        else this.#spaces.changed();
        return;
      case 'no-promise':
        this.#compareLengths(from, message.length);
        return;
      case 'prepare':
      case 'accept':
        this.#send(
          from,
          message.kind === 'prepare' ? this.#voter.prepare(from, message) : this.#voter.accept(from, message),
        );
        this.#compareLengths(from, message.slot);
        return;
      case 'prepared':
        this.#proposer.prepared(from, message);
        return;
      case 'accepted':
        this.#proposer.accepted(from, message);
        return;
      case 'no-vote':
        this.#compareLengths(from, message.slot);
        this.#proposer.refused(from, message);
        return;
      case 'decided':
        if (this.#learn(message.decision) === 'invalid') this.#ports.drop('decision-invalid');
        return;
      case 'fetch':
        this.#sendDecisions(from, message.length);
    }
  }

  /** Who knows less is told, or asks. */
  #compareLengths(peer: PeerId, length: number): void {
    if (peer === this.#ports.self) return;
    if (length > this.#chain.length) this.#send(peer, { kind: 'fetch', length: this.#chain.length });
    else if (length < this.#chain.length) this.#sendDecisions(peer, length);
  }

  #sendDecisions(peer: PeerId, from: number): void {
    for (const decision of this.#chain.all().slice(from, from + DECISIONS_SENT_MAX)) {
      this.#send(peer, { kind: 'decided', decision });
    }
  }

  #decidedHere(decision: Decision): void {
    const { self } = this.#ports;
    const { voters } = this.#chain;
    this.#learn(decision);
    for (const voter of voters) if (voter !== self) this.#send(voter, { kind: 'decided', decision });
  }

  #learn(decision: Decision): 'added' | 'known' | 'early' | 'invalid' {
    const result = this.#chain.append(decision);
    this.#takeUp();
    return result;
  }

  /** First what this host knows, of all decisions and in all networks; then what may have to write. */
  #takeUp(): void {
    if (this.#seen === this.#chain.length && this.#isTold) return;
    this.#isTold = false;
    this.#proposer.slotDecided();
    this.#openSinceMs = null;
    const { log, self } = this.#ports;
    while (this.#seen < this.#chain.length) {
      const { slot, value } = this.#chain.all()[this.#seen++]!;
      if (value.kind === 'voters') {
        log.info('who decides about leases of hosts that are gone', { slot, voters: value.voters.join(' ') });
        this.#fence.setVoters(value.voters.length < VOTERS_MIN ? [] : value.voters);
        this.#voter.votersChanged();
      } else if (value.kind === 'reclaim') {
        const { owner, heir, titles } = value;
        log.warn('blocks of a host that is gone have a new owner', { slot, peer: owner, heir, blocks: titles.length });
        if (owner === self) log.error('this host was gone for too long: blocks of it belong to another one', { heir });
        this.#spaces.reclaimed(value);
      }
    }
    this.#fence.hurry();
    this.#publish();
    this.#renew();
    this.#spaces.changed();
    this.#isTold = true;
  }

  #publish(): void {
    this.#ports.publish(this.published());
  }

  #consider(): void {
    const { clock, self, isPaused } = this.#ports;
    const now = clock.monotonicMs();
    if (now - this.#considerMs < CONSIDER_MS) return;
    this.#considerMs = now;
    if (!this.#chain.voters.includes(self) || isPaused() || this.#acceptor.abstains(this.#chain.length)) return;
    const intent = this.#intent(now);
    if (intent !== null) this.#proposer.begin(intent);
  }

  #intent(now: number): Intent | null {
    const { self, leaseMs, isAlive, isRemoved, peers, random } = this.#ports;
    const { voters, length } = this.#chain;
    if (!this.#proposer.isFree) return null;
    const open = this.#acceptor.promised(length).round > 0;
    this.#openSinceMs = open ? (this.#openSinceMs ?? now + STUCK_MS * random.fraction()) : null;
    if (this.#openSinceMs !== null && now - this.#openSinceMs >= STUCK_MS) return { kind: 'none' };
    for (const peer of voters) {
      if (peer === self || isAlive(peer)) this.#goneSinceMs.delete(peer);
      else if (!this.#goneSinceMs.has(peer)) this.#goneSinceMs.set(peer, now);
    }
    const lost = voters.filter((peer) => isRemoved(peer) || now - (this.#goneSinceMs.get(peer) ?? now) >= LOST_MS);
    const able = peers().filter(
      (peer) => peer === self || (isAlive(peer) && !isRemoved(peer) && this.#enrolled.has(peer)),
    );
    for (const peer of [...this.#aliveSinceMs.keys()]) if (!able.includes(peer)) this.#aliveSinceMs.delete(peer);
    for (const peer of able) if (!this.#aliveSinceMs.has(peer)) this.#aliveSinceMs.set(peer, now);
    const steadyMs = Math.min(STEADY_MAX_MS, leaseMs / 4);
    const steady = able.filter((peer) => voters.includes(peer) || now - this.#aliveSinceMs.get(peer)! >= steadyMs);
    const change = leaseMs === 0 ? null : nextVoters({ self, voters, able: steady, lost, leaseMs });
    return change ?? this.#reclaimIntent(voters, able);
  }

  /** The first live voter tries; another one does when that has not helped. */
  #reclaimIntent(voters: readonly PeerId[], able: readonly PeerId[]): Intent | null {
    const { self, isAlive, isRemoved, random } = this.#ports;
    if (voters.length < VOTERS_MIN || this.#voter.isSilent) return null;
    const isFirst = voters.find((peer) => able.includes(peer)) === self;
    if (!isFirst && random.fraction() > 1 / 16) return null;
    const gone = this.#spaces
      .owners()
      .filter(
        (peer) =>
          peer !== self &&
          this.#enrolled.get(peer) === true &&
          !isAlive(peer) &&
          !isRemoved(peer) &&
          !this.#voter.hasPromised(peer) &&
          this.#spaces.titlesOf(peer).length > 0,
      );
    // Not always the first: voters may differ about it for as long as it lasts.
    const owner = gone.length > 1 ? gone[Math.floor(random.fraction() * gone.length)] : gone[0];
    return owner === undefined ? null : { kind: 'reclaim', owner };
  }

  #send(to: PeerId, message: VoteMessage): void {
    const { self, send, plan } = this.#ports;
    if (to === self) this.#handle(self, message);
    else send(to, encodeVoteMessage(plan.network, message));
  }
}
