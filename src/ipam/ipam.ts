// Address management of one network on one host: allocates addresses from the blocks that the host owns, gives blocks to
// peers that ask, and asks peers when it runs low. Ownership moves only by its owner's durable, signed gift, and nobody
// allocates outside of what its own durable records say it owns; so no partition, crash or forged record can make two
// hosts hand out one address (docs/leases.md). Synchronous and pure over its capabilities; single-threaded use.

import {
  addressBits,
  type Cidr,
  cidrHasIp,
  cidrOf,
  cidrsOverlap,
  type Family,
  formatCidr,
  formatIp,
  type IpAddress,
} from '../base/address.ts';
import { toHex, utf8 } from '../base/bytes.ts';
import { assert, FabricError } from '../base/errors.ts';
import type { GiftId, PeerId } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import { AddressPool } from './address-pool.ts';
import { exhausted, inUse, invalid, limit, rangesExhausted, stillAsking, wantedRefused } from './allocation-errors.ts';
import { candidatesWithin } from './candidates.ts';
import { Estate } from './estate.ts';
import { LeaseExchange } from './exchange.ts';
import { Holdings } from './holdings.ts';
import { decodeLeaseMessage, encodeLeaseMessage, type LeaseMessage, type Refusal, type Wish } from './lease-message.ts';
import { leaseRows } from './lease-rows.ts';
import { LeaseView } from './lease-view.ts';
import { isAllocatable } from './plan.ts';
import { type Failure, type Need, SpaceRequests } from './space-requests.ts';
import type { AllocationRequest, AllocationResult, IpamOptions, IpamStats, LeaseRow, Reservation } from './types.ts';

const OWNER_BYTES_MAX = 1024;
/** A failed round answers allocations for this long; after it they start a new one. */
const FAILURE_FRESH_MS = 3000;
const TICK_MAX_MS = 1000;

export class Ipam {
  readonly #options: IpamOptions;
  readonly #estate: Estate;
  readonly #view: LeaseView;
  readonly #holdings: readonly Holdings[];
  readonly #requests: SpaceRequests;
  readonly #exchange: LeaseExchange;
  readonly #conflictsReported = new Set<string>();
  readonly #drops = new Map<string, number>();
  /** Gifts of a {@link surrender}, also of one that was not confirmed in time and is tried again. */
  readonly #surrendered: LeaseRecord[] = [];
  #stopped: FabricError | null = null;

  /** Loads everything from the store. Throws FabricError `state-damaged` when it can't be read. */
  constructor(options: IpamOptions) {
    const { self, plan, store, clock, random, crypto } = options;
    this.#options = options;
    this.#estate = new Estate({ self, plan, store, sign: options.sign, giftId: () => this.#giftId() });
    this.#view = new LeaseView(plan, crypto, options.identityKeyOf);
    this.#holdings = plan.families.map(
      (family) =>
        new Holdings({
          plan: family,
          pool: new AddressPool({ network: plan.network, plan: family, store, clock }),
          estate: this.#estate,
          clock,
        }),
    );
    this.#requests = new SpaceRequests({
      clock,
      random,
      giftId: () => this.#giftId(),
      donorsFor: (need) => this.#donorsFor(need),
      send: (donor, { family, wish, exact }, giftId) =>
        this.#send(donor, { kind: 'request', giftId, family, wish, exact }),
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
      choose: (family, wish, exact, newcomer) => this.#chooseGift(family, wish, exact, newcomer),
      expects: (giftId) => this.#requests.expects(giftId),
      received: ({ record, cidr }, expected) => {
        this.#requests.granted(record.giftId);
        if (!expected) this.#side(cidr.family)?.settle(cidr);
      },
      changed: () => this.#ownRecordsChanged(),
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
  linked(_peer: PeerId): void {
    this.#requests.donorsChanged();
    this.#maintain();
  }

  /** A record in the author's gossip map, our own (as others keep it) included; repeats are cheap. Never throws for bad ones. */
  observe(author: PeerId, record: LeaseRecord): void {
    this.#exchange.observe(author, record);
  }

  /** The record left the author's map. Records of hosts that are gone stay: they prove what happened. */
  withdraw(author: PeerId, record: LeaseRecord): void {
    this.#exchange.withdraw(author, record);
  }

  /** A message of the lease channel of this network; malformed ones are counted. */
  receive(peer: PeerId, bytes: Uint8Array): void {
    const message = decodeLeaseMessage(bytes);
    if (message === null) this.#drop('message-malformed');
    else if (message.kind === 'request') this.#exchange.answer(peer, message);
    else if (message.kind === 'grant') this.#exchange.granted(peer, message);
    else if (!this.#requests.refused(peer, message.giftId, message.reason)) this.#drop('refusal-unasked');
  }

  /** Idempotent: an owner that holds an address of the family (or the wanted one) gets it again. */
  allocate({ owner, family, wanted, within }: AllocationRequest): AllocationResult {
    assert(owner.length > 0 && utf8(owner).length <= OWNER_BYTES_MAX, 'an address has an owner of 1 to 1,024 bytes');
    if (this.#stopped !== null) return { status: 'failed', error: this.#stopped };
    const side = this.#side(family);
    if (side === null) {
      return {
        status: 'failed',
        error: invalid(`no IPv${family} address can be chosen`, `the network has no IPv${family} range`),
      };
    }
    if (wanted !== undefined) return this.#allocateWanted(side, owner, wanted);
    if (within !== undefined) return this.#allocateWithin(side, owner, within);
    const held = side.pool.addressesOf(owner).find((value) => this.#estate.owns({ family, value }));
    if (held !== undefined) return { status: 'ok', ip: { family, value: held } };
    if (side.pool.full) return { status: 'failed', error: limit(family) };
    const value = this.#takeFree(side, owner);
    if (value === null) return this.#askAndWait(side);
    this.#maintain();
    return { status: 'ok', ip: { family, value } };
  }

  /** Frees all addresses of an owner, durably; idempotent. Returns what was freed. */
  release(owner: string): readonly IpAddress[] {
    return this.#holdings.flatMap((side) =>
      side.pool.release(owner).map((value) => {
        const ip = { family: side.plan.family, value };
        this.#conflictsReported.delete(formatIp(ip));
        return ip;
      }),
    );
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
    this.#reportConflicts();
    return this.#estate.owns(ip) ? 'adopted' : 'conflict';
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
    this.setAllocating(
      new FabricError('address-exhausted', { what: 'no address is allocated', why: 'this host is leaving' }),
    );
    for (const side of this.#holdings) side.pool.deactivateEmpty();
    const blocks = this.#holdings.flatMap((side) => side.owned());
    this.#surrendered.push(...this.#exchange.give(blocks, to, () => this.#giftId()));
    return this.#surrendered;
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
        return { ip, owner, conflict: !this.#estate.owns(ip) };
      }),
    );
  }

  leases(): readonly LeaseRow[] {
    const { self, plan } = this.#options;
    return leaseRows({ self, plan, estate: this.#estate, view: this.#view, holdings: this.#holdings });
  }

  /** Who owns the address, as far as proven; null outside the network. */
  ownerOf(ip: IpAddress): PeerId | null {
    return this.#estate.owns(ip) ? this.#options.self : this.#view.ownerOf(ip);
  }

  /** Null when an allocation of every family succeeds now, else why not. */
  obstacle(): FabricError | null {
    if (this.#stopped !== null) return this.#stopped;
    const side = this.#holdings.find((candidate) => !candidate.hasFree());
    if (side === undefined) return null;
    const asking = this.#requests.state(needKey(side)).state === 'asking' || side.settling().length > 0;
    return asking ? stillAsking(side.plan.family) : this.#exhausted(side);
  }

  ready(): boolean {
    return this.obstacle() === null;
  }

  /** Time-outs, retries, next blocks; returns the milliseconds after which to call it again. */
  tick(): number {
    this.#exchange.retryPending();
    const settled = this.#holdings.filter((side) => side.tick()).length > 0;
    const nextMs = this.#requests.tick();
    this.#maintain();
    if (settled) this.#options.events.changed();
    return Math.max(1, Math.min(TICK_MAX_MS, nextMs ?? TICK_MAX_MS));
  }

  stats(): IpamStats {
    return {
      drops: Object.fromEntries(this.#drops),
      claims: this.#view.claimCount,
      claimsPending: this.#view.pendingCount,
      ownRecords: this.#estate.claims().length,
      gifts: this.#exchange.gifts,
      families: this.#holdings.map((side) => ({
        family: side.plan.family,
        used: side.pool.size,
        usable: Number(side.usable()),
      })),
    };
  }

  #allocateWanted(side: Holdings, owner: string, ip: IpAddress): AllocationResult {
    const family = side.plan.family;
    const failed = (error: FabricError): AllocationResult => ({ status: 'failed', error });
    if (ip.family !== family || !isAllocatable(side.plan, ip.value)) {
      const why = `the range is ${formatCidr(side.plan.range)} without its network, gateway and broadcast address`;
      return failed(invalid(`${formatIp(ip)} can't be given to a container`, why));
    }
    const holder = side.pool.holderOf(ip.value);
    if (holder !== null && holder !== owner) return failed(inUse(ip, holder));
    if (this.#estate.owns(ip)) {
      if (side.isSettling(ip.value)) return { status: 'wait', why: 'its block turned up in gossip just now' };
      if (holder === null && side.pool.full) return failed(limit(family));
      if (holder === null) side.pool.take(owner, ip.value);
      this.#maintain();
      return { status: 'ok', ip };
    }
    const need: Need = { key: formatIp(ip), family, wish: 'exact', exact: cidrOf(ip, addressBits(family)) };
    const holderPeer = this.#view.ownerOf(ip);
    return this.#await(need, (failures) => wantedRefused(ip, holderPeer, failures));
  }

  /** From what is ours of these blocks; else an address of theirs is asked of its owner, one after the other. */
  #allocateWithin(side: Holdings, owner: string, within: readonly Cidr[]): AllocationResult {
    const { family } = side.plan;
    const misfit = within.find((block) => block.family !== family || !cidrsOverlap(block, side.plan.range));
    if (misfit !== undefined) {
      const why = `the range is ${formatCidr(side.plan.range)}`;
      return { status: 'failed', error: invalid(`no address can be chosen in ${formatCidr(misfit)}`, why) };
    }
    const isIn = (value: bigint) => within.some((block) => cidrHasIp(block, { family, value }));
    const held = side.pool.addressesOf(owner).find((value) => isIn(value) && this.#estate.owns({ family, value }));
    if (held !== undefined) return { status: 'ok', ip: { family, value: held } };
    if (side.pool.full) return { status: 'failed', error: limit(family) };
    const value = side.pool.findFree(side.ownedWithin(within));
    if (value !== null) {
      side.pool.take(owner, value);
      this.#maintain();
      return { status: 'ok', ip: { family, value } };
    }
    const failures: FabricError[] = [];
    for (const candidate of candidatesWithin(side.plan, within, this.#view.regions(family), this.#options.self)) {
      if (side.pool.holderOf(candidate.value) !== null) continue;
      const result = this.#allocateWanted(side, owner, candidate);
      if (result.status !== 'failed') return result;
      failures.push(result.error);
    }
    return { status: 'failed', error: rangesExhausted(within, failures.at(-1) ?? null) };
  }

  /** From open blocks, then from a spare one, then the address that was freed longest ago. */
  #takeFree(side: Holdings, owner: string): bigint | null {
    const fresh = side.pool.takeNext(owner, side.open(), { resting: false });
    if (fresh !== null) return fresh;
    if (side.openNext()) return side.pool.takeNext(owner, side.open(), { resting: false });
    return side.pool.takeNext(owner, side.open(), { resting: true });
  }

  #askAndWait(side: Holdings): AllocationResult {
    if (side.settling().length > 0) return { status: 'wait', why: 'a block of this host turned up in gossip just now' };
    const need = this.#need(side, side.owned().length === 0 ? 'share' : 'any');
    return this.#await(need, () => this.#exhausted(side));
  }

  /** Asks unless a round failed just now. */
  #await(need: Need, error: (failures: readonly Failure[]) => FabricError): AllocationResult {
    const before = this.#requests.state(need.key);
    const fresh =
      before.state === 'failed' &&
      before.failures.length > 0 &&
      this.#options.clock.monotonicMs() - before.sinceMs < FAILURE_FRESH_MS;
    if (fresh) return { status: 'failed', error: error(before.failures) };
    if (!this.#requests.want(need, { now: true })) return { status: 'failed', error: limit(need.family) };
    const after = this.#requests.state(need.key);
    if (after.state === 'failed') return { status: 'failed', error: error(after.failures) };
    return { status: 'wait', why: 'a peer is being asked for address space' };
  }

  /** Opens or asks for the next block before the open ones are full, and for a first share. */
  #maintain(): void {
    if (this.#stopped !== null) return;
    for (const side of this.#holdings) {
      if (side.settling().length > 0) continue;
      if (side.owned().length === 0) this.#requests.want(this.#need(side, 'share'), { now: false });
      else if (side.isLow() && !side.openNext()) {
        this.#requests.want(this.#need(side, side.hasFree() ? 'block' : 'any'), { now: false });
      }
    }
  }

  #need(side: Holdings, wish: Need['wish']): Need {
    return { key: needKey(side), family: side.plan.family, wish, exact: null };
  }

  /** For an exact address its owner; else linked peers, those with the most space first, equals in random order. */
  #donorsFor(need: Need): readonly PeerId[] {
    const { candidates, random, self } = this.#options;
    if (need.exact !== null) {
      const owner = this.#view.ownerOf({ family: need.family, value: need.exact.base });
      return owner === null || owner === self ? [] : [owner];
    }
    const space = new Map<PeerId, number>();
    for (const { owner, cidr } of this.#view.regions(need.family)) {
      space.set(owner, (space.get(owner) ?? 0) + 2 ** (addressBits(cidr.family) - cidr.prefix));
    }
    return candidates()
      .filter((peer) => peer !== self)
      .map((peer) => ({ peer, space: space.get(peer) ?? 0, draw: random.fraction() }))
      .sort((a, b) => b.space - a.space || a.draw - b.draw)
      .map(({ peer }) => peer);
  }

  #chooseGift(family: Family, wish: Wish, exact: Cidr | null, newcomer: boolean): Cidr | Refusal {
    if (this.#stopped !== null) return 'paused';
    return this.#side(family)?.chooseGift(wish, exact, newcomer) ?? 'not-owner';
  }

  #ownRecordsChanged(): void {
    this.#options.events.recordsChanged(this.#estate.records());
    this.#reportConflicts();
    this.#options.events.changed();
  }

  #reportConflicts(): void {
    for (const { ip, owner, conflict } of this.reservations()) {
      const text = formatIp(ip);
      if (!conflict || this.#conflictsReported.has(text)) continue;
      this.#conflictsReported.add(text);
      this.#options.log.error('address conflict', { ip: text, owner, holder: this.#view.ownerOf(ip) });
      this.#options.events.conflict({ ip, owner, holder: this.#view.ownerOf(ip) });
    }
  }

  #exhausted(side: Holdings): FabricError {
    const { family } = side.plan;
    const state = this.#requests.state(needKey(side));
    const failures = state.state === 'failed' ? state.failures : [];
    return exhausted({ family, self: this.#options.self, regions: this.#view.regions(family), failures });
  }

  #send(peer: PeerId, message: LeaseMessage): boolean {
    return this.#options.send(peer, encodeLeaseMessage(this.#options.plan.network, message));
  }

  #giftId(): GiftId {
    return toHex(this.#options.random.bytes(16)) as GiftId;
  }

  #side(family: Family): Holdings | null {
    return this.#holdings.find((side) => side.plan.family === family) ?? null;
  }

  #drop(reason: string): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}

function needKey(side: Holdings): string {
  return `IPv${side.plan.family}`;
}
