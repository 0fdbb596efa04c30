// Address management of one network on one host: allocates addresses from the blocks that the host owns, gives blocks to
// peers that ask, and asks peers when it runs low. Ownership moves only by its owner's durable, signed gift, and nobody
// allocates outside of what its own durable records say it owns; so no partition, crash or forged record can make two
// hosts hand out one address (docs/leases.md). Synchronous and pure over its capabilities; single-threaded use.

import type { Cidr, Family, IpAddress } from '../base/address.ts';
import { toHex } from '../base/bytes.ts';
import { FabricError } from '../base/errors.ts';
import type { GiftId, PeerId } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import { AddressPool } from './address-pool.ts';
import { Allocation, needKey, needOf } from './allocation.ts';
import { inUse, stillAsking } from './allocation-errors.ts';
import { Conflicts } from './conflicts.ts';
import { Disputes } from './disputes.ts';
import { donorsFor, isWorthALink } from './donors.ts';
import { Estate } from './estate.ts';
import { LeaseExchange } from './exchange.ts';
import { Holdings, INHERIT_SETTLE_MS } from './holdings.ts';
import { decodeLeaseMessage, encodeLeaseMessage, type LeaseMessage, type Refusal, type Wish } from './lease-message.ts';
import { type LeaseFacts, leaseRows, ownLeaseRows } from './lease-rows.ts';
import { LeaseView } from './lease-view.ts';
import { LeaseVoting } from './lease-voting.ts';
import { isAllocatable } from './plan.ts';
import { isVoteMessage } from './reclaim/vote-message.ts';
import { SpaceRequests } from './space-requests.ts';
import type {
  AllocationRequest,
  AllocationResult,
  IpamOptions,
  IpamStats,
  LeaseRow,
  PublishedVote,
  Reservation,
} from './types.ts';

const TICK_MAX_MS = 1000;

export class Ipam {
  readonly #options: IpamOptions;
  readonly #estate: Estate;
  readonly #view: LeaseView;
  readonly #holdings: readonly Holdings[];
  readonly #requests: SpaceRequests;
  readonly #exchange: LeaseExchange;
  readonly #allocation: Allocation;
  readonly #voting: LeaseVoting;
  readonly #conflicts: Conflicts;
  readonly #drops = new Map<string, number>();
  /** Gifts of a {@link surrender}, also of one that was not confirmed in time and is tried again. */
  readonly #surrendered: LeaseRecord[] = [];
  #isTakenOver = true; // what follows from the last decision of the voters was begun
  #stopped: FabricError | null = null;

  /** Loads everything from the store. Throws FabricError `state-damaged` when it can't be read. */
  constructor(options: IpamOptions) {
    const { self, plan, store, clock, random, crypto } = options;
    this.#options = options;
    this.#estate = new Estate({ self, plan, store, sign: options.sign, giftId: () => this.#giftId() });
    this.#view = new LeaseView(plan, crypto, options.identityKeyOf);
    this.#conflicts = new Conflicts({
      log: options.log,
      reservations: () => this.reservations(),
      ownerOf: (ip) => this.#view.ownerOf(ip),
      conflict: (conflict) => options.events.conflict(conflict),
    });
    const disputes = new Disputes({ self, estate: this.#estate, view: this.#view });
    this.#holdings = plan.families.map(
      (family) =>
        new Holdings({
          plan: family,
          pool: new AddressPool({
            network: plan.network,
            plan: family,
            store,
            clock,
            avoided: () => this.#voting.inUseElsewhere(family.family),
          }),
          estate: this.#estate,
          clock,
          disputed: () => disputes.blocks(family.family),
          unconfirmed: () => this.#voting.unconfirmed(),
        }),
    );
    const facts = { ...options, view: this.#view };
    this.#requests = new SpaceRequests({
      clock,
      random,
      giftId: () => this.#giftId(),
      donorsFor: (need) => donorsFor(need, facts),
      send: (donor, { family, wish, exact }, giftId) =>
        this.#send(donor, { kind: 'request', giftId, family, wish, exact }),
      awaitsLink: (donor, need) => isWorthALink(donor, need, facts),
      ended: () => options.events.changed(),
    });
    this.#exchange = new LeaseExchange({
      self,
      estate: this.#estate,
      view: this.#view,
      crypto,
      log: options.log,
      identityKeyOf: options.identityKeyOf,
      send: (peer, message) => this.#send(peer, message),
      choose: (family, wish, exact, asker) => this.#chooseGift(family, wish, exact, asker),
      expects: (giftId) => this.#requests.expects(giftId),
      received: ({ record, cidr }, expected) => {
        this.#requests.granted(record.giftId);
        if (!expected) this.#side(cidr.family)?.settle(cidr);
      },
      mayCoalesce: () => this.#voting.knowsOurTitles(),
      changed: () => this.#ownRecordsChanged(),
      drop: (reason) => this.#drop(reason),
    });
    this.#allocation = new Allocation({
      self,
      clock,
      estate: this.#estate,
      view: this.#view,
      holdings: this.#holdings,
      requests: this.#requests,
    });
    this.#voting = new LeaseVoting({
      options,
      host: options.votersOf === undefined ? null : options.votersOf.#voting,
      estate: this.#estate,
      view: this.#view,
      isPaused: () => this.#stopped !== null,
      reclaimed: (value) => {
        this.#view.reclaimed(value);
        this.#isTakenOver = false;
      },
      changed: () => (this.#isTakenOver ? options.events.changed() : this.#othersTookOver()),
      drop: (reason) => this.#drop(reason),
    });
  }

  /** Takes the whole range as the cluster's creator. Once, when the cluster is made; repeats change nothing. */
  createCluster(): void {
    this.#exchange.found();
  }

  /** What this host publishes: the daemon makes its gossip map equal to it at start. */
  records(): readonly LeaseRecord[] {
    return this.#estate.records();
  }

  /** A link to the peer came up: whoever waits for space asks now. */
  linked(peer: PeerId): void {
    this.#requests.linked(peer);
    this.#voting.core?.linked();
    this.#maintain();
  }

  /** This host forgets the network: it is not used any more. */
  close(): void {
    this.#voting.leave();
  }

  /** What this host publishes for the voting: the daemon makes its gossip map equal to it at start. */
  votes(): ReadonlyMap<string, Uint8Array> {
    return this.#voting.core?.published() ?? new Map();
  }

  /** An entry that a host publishes for the voting, our own (as others keep it) included; repeats are cheap. Never throws for bad ones. */
  observeVote(author: PeerId, vote: PublishedVote): void {
    if (vote.network === this.#options.plan.network) this.#voting.core?.observe(author, vote.entry, vote.value);
  }

  /** A record in the author's gossip map, our own (as others keep it) included; repeats are cheap. Never throws for bad ones. */
  observe(author: PeerId, record: LeaseRecord): void {
    this.#exchange.observe(author, record);
  }

  /** The record left the author's map. Records of hosts that are gone stay: they prove what happened. */
  withdraw(author: PeerId, record: LeaseRecord): void {
    this.#exchange.withdraw(author, record);
  }

  /**
   * An operator said at host `by` that `peer` is gone for good (`rmpeer`); repeats are cheap. At that host itself everything
   * that the peer owned becomes ours, to be used after {@link INHERIT_SETTLE_MS}.
   */
  peerRemoved(peer: PeerId, by: PeerId): void {
    if (this.#view.peerRemoved(peer, by)) this.#othersTookOver();
  }

  /** A message of the lease channel of this network; malformed ones are counted. */
  receive(peer: PeerId, bytes: Uint8Array): void {
    if (isVoteMessage(bytes)) {
      this.#voting.core?.receive(peer, bytes);
      return;
    }
    const message = decodeLeaseMessage(bytes);
    if (message === null) this.#drop('message-malformed');
    else if (message.kind === 'request') this.#exchange.answer(peer, message);
    else if (message.kind === 'grant') this.#exchange.granted(peer, message);
    else if (!this.#requests.refused(peer, message.giftId, message.reason)) this.#drop('refusal-unasked');
  }

  /** Idempotent: an owner that holds an address of the family (or the wanted one) gets it again. */
  allocate(request: AllocationRequest): AllocationResult {
    if (this.#stopped !== null) return { status: 'failed', error: this.#stopped };
    const fence = this.#voting.obstacle();
    if (fence !== null) {
      const ip = this.#allocation.held(request);
      return ip === null ? { status: 'wait', why: fence.message } : { status: 'ok', ip };
    }
    const result = this.#allocation.allocate(request);
    if (result.status === 'ok') this.#maintain();
    return result;
  }

  /** Frees addresses of an owner, all or those in no block of ours; durable with the next synced write; idempotent. Returns them. */
  release(owner: string, which: 'all' | 'lost' = 'all'): readonly IpAddress[] {
    return this.#holdings.flatMap((side) => {
      const wanted = side.pool.addressesOf(owner).filter((value) => which === 'all' || !side.owns(value));
      const ips = side.pool.release(owner, wanted).map((value) => ({ family: side.plan.family, value }));
      for (const ip of ips) this.#conflicts.freed(ip);
      return ips;
    });
  }

  /**
   * An address that is known to be in use here though the store does not say so (a running container, our own older
   * announcement): it is never handed out to another owner. `conflict`: it lies in no block of ours, and is reserved all
   * the same; `refused`: outside the range.
   */
  adoptReserved(ip: IpAddress, owner: string): 'adopted' | 'known' | 'conflict' | 'refused' {
    const side = this.#side(ip.family);
    if (side === null || !isAllocatable(side.plan, ip.value) || side.pool.full) return 'refused';
    if (side.pool.holderOf(ip.value) !== null) return 'known';
    side.pool.take(owner, ip.value);
    this.#conflicts.report();
    return side.owns(ip.value) ? 'adopted' : 'conflict';
  }

  /** With an error (a clone was detected, newer own state is being fetched) nothing is allocated, given or asked; null resumes. */
  setAllocating(stopped: FabricError | null): void {
    this.#stopped = stopped;
    if (stopped !== null) this.#requests.clear();
    else this.#maintain();
    this.#options.events.changed();
  }

  /**
   * Gives all space to a peer, before this host leaves for good; allocation stops. All addresses must have been released.
   * The host may go once {@link isConfirmed} holds for every returned record, or the operator insists.
   */
  surrender(to: PeerId): readonly LeaseRecord[] {
    const holder = this.reservations().find(({ conflict }) => !conflict);
    if (holder !== undefined) throw inUse(holder.ip, holder.owner);
    return this.#handOver(to, (side) => side.owned());
  }

  /**
   * Gives all lease blocks without an address in use to a peer, before this host is off for long; allocation stops. Repeats
   * return the gifts of before, too.
   */
  giveUnused(to: PeerId): readonly LeaseRecord[] {
    return this.#handOver(to, (side) => side.spare());
  }

  /** True once the new owner of a gift of ours published it, or passed it on. */
  isConfirmed(record: LeaseRecord): boolean {
    const claim = this.#estate.find(record);
    return claim === null || this.#view.isPublishedBy(record.owner, claim) || !this.#view.decides(claim);
  }

  reservations(): readonly Reservation[] {
    return this.#holdings.flatMap((side) =>
      side.pool.entries().map(([value, owner]) => {
        const ip = { family: side.plan.family, value };
        return { ip, owner, conflict: !side.owns(value) };
      }),
    );
  }

  leases(): readonly LeaseRow[] {
    return leaseRows(this.#leaseFacts());
  }

  /** Of {@link leases} what this host owns, in no order; its cost does not grow with the cluster. */
  ownLeases(): readonly LeaseRow[] {
    return ownLeaseRows(this.#leaseFacts());
  }

  /** Who owns the address, as far as proven; null outside the network. */
  ownerOf(ip: IpAddress): PeerId | null {
    return this.#owns(ip) ? this.#options.self : this.#view.ownerOf(ip);
  }

  /** Null when an allocation of every family succeeds now, else why not. */
  obstacle(): FabricError | null {
    const halt = this.#halt();
    if (halt !== null) return halt;
    const side = this.#holdings.find((candidate) => !candidate.hasFree());
    if (side === undefined) return null;
    const asking = this.#requests.state(needKey(side)).state === 'asking' || side.settling().length > 0;
    return asking ? stillAsking(side.plan.family) : this.#allocation.exhausted(side);
  }

  ready(): boolean {
    return this.obstacle() === null;
  }

  /** Time-outs, retries, next blocks; returns the milliseconds after which to call it again. */
  tick(): number {
    const claimsBefore = this.#view.claimCount;
    this.#exchange.retryPending();
    if (this.#view.claimCount !== claimsBefore) this.#options.events.changed();
    this.#exchange.tick();
    const votingMs = this.#voting.core?.tick() ?? TICK_MAX_MS;
    this.#inherit();
    const settled = this.#holdings.filter((side) => side.tick()).length > 0;
    if (this.#halt() === null) this.#giveBack();
    if (this.#view.hasRemovals) this.#conflicts.report(); // others' records alone can turn a block of ours into a disputed one
    const nextMs = this.#requests.tick();
    this.#maintain();
    if (settled) this.#options.events.changed();
    return Math.max(1, Math.min(TICK_MAX_MS, votingMs, nextMs ?? TICK_MAX_MS));
  }

  stats(): IpamStats {
    return {
      drops: Object.fromEntries(this.#drops),
      claims: this.#view.claimCount,
      claimsPending: this.#view.pendingCount,
      ownRecords: this.#estate.claims().length,
      gifts: this.#exchange.gifts,
      decisions: this.#voting.core?.decisions ?? 0,
      voters: this.#voting.core?.voters.length ?? 0,
      leaseMs: this.#voting.core?.leaseMs ?? 0,
      families: this.#holdings.map((side) => ({
        family: side.plan.family,
        used: side.pool.size,
        usable: Number(side.usable()),
      })),
    };
  }

  #handOver(to: PeerId, blocksOf: (side: Holdings) => readonly Cidr[]): readonly LeaseRecord[] {
    this.setAllocating(
      new FabricError('address-exhausted', { what: 'no address is allocated', why: 'this host is leaving' }),
    );
    for (const side of this.#holdings) side.pool.deactivate(side.pool.emptyBlocks());
    const blocks = this.#holdings.flatMap(blocksOf);
    this.#surrendered.push(...this.#exchange.give(blocks, to, () => this.#giftId()));
    return this.#surrendered;
  }

  /** Why nothing new may be handed out or given now. */
  #halt(): FabricError | null {
    return this.#stopped ?? this.#voting.obstacle();
  }

  /** A host that is gone lost its blocks, by an operator's word or the voters'. */
  #othersTookOver(): void {
    this.#exchange.peerRemoved();
    this.#inherit();
    this.#conflicts.report();
    this.#isTakenOver = true;
    this.#options.events.changed();
  }

  /** Opens or asks for the next block before the open ones are full, and for a first share. */
  #maintain(): void {
    if (this.#halt() !== null) return;
    for (const side of this.#holdings) {
      if (side.settling().length > 0) continue;
      if (side.hasNothing()) {
        if (this.#options.asksEarly()) this.#requests.want(needOf(side, 'share'), { now: false });
      } else if (side.isLow() && !side.openNext()) {
        this.#requests.want(needOf(side, side.hasFree() ? 'block' : 'any'), { now: false });
      }
    }
  }

  #chooseGift(family: Family, wish: Wish, exact: Cidr | null, asker: PeerId): Cidr | Refusal {
    if (this.#halt() !== null) return 'paused';
    const owners = new Set(this.#view.regions(family).map(({ owner }) => owner));
    const newcomer = !owners.has(asker);
    const hosts = new Set([...owners, ...this.#options.candidates(), this.#options.self, asker]).size;
    return this.#side(family)?.chooseGift(wish, exact, { newcomer, hosts }) ?? 'not-owner';
  }

  /** Also what gossip brings late of a host that was removed here. */
  #inherit(): void {
    if (this.#halt() !== null) return; // what this host knows may be old
    for (const side of this.#holdings) {
      const regions = this.#view
        .inheritableBy(this.#options.self, side.plan.family)
        .filter(({ cidr, claim }) => claim?.decided !== true || !this.#estate.ownsAll(cidr));
      if (regions.length === 0 || !this.#estate.hasRoom({ exact: false })) continue;
      for (const { cidr } of regions) side.settle(cidr, INHERIT_SETTLE_MS);
      this.#exchange.inherit(regions.map(({ cidr, claim }) => ({ cidr, epoch: claim?.record.epoch ?? 0 })));
    }
  }

  #owns(ip: IpAddress): boolean {
    return this.#side(ip.family)?.owns(ip.value) ?? false;
  }

  /** What was got on demand and is not needed any more goes back to its donor, if that is there: it has the neighbours. */
  #giveBack(): void {
    const donors = new Set(this.#options.candidates());
    for (const side of this.#holdings) {
      const received = side.closeEmpty().flatMap((block) => this.#estate.receivedWithin(block));
      for (const { cidr, donor } of received) {
        if (donors.has(donor) && this.#estate.hasRoom({ exact: false })) {
          this.#exchange.give([cidr], donor, () => this.#giftId());
        }
      }
    }
  }

  #ownRecordsChanged(): void {
    this.#voting.titlesChanged(); // also when they can't be published: what others gave us waits for voters to hear of it
    this.#options.events.recordsChanged(this.#estate.records());
    this.#voting.titlesPublished();
    this.#conflicts.report();
    this.#options.events.changed();
  }

  #send(peer: PeerId, message: LeaseMessage): boolean {
    return this.#options.send(peer, encodeLeaseMessage(this.#options.plan.network, message));
  }

  #giftId(): GiftId {
    return toHex(this.#options.random.bytes(16)) as GiftId;
  }

  #leaseFacts(): LeaseFacts {
    const { self, plan, clock } = this.#options;
    const parts = { estate: this.#estate, view: this.#view, holdings: this.#holdings, voting: this.#voting };
    return { self, plan, ...parts, nowMs: clock.wallMs() };
  }

  #side(family: Family): Holdings | null {
    return this.#holdings.find((side) => side.plan.family === family) ?? null;
  }

  #drop(reason: string): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}
