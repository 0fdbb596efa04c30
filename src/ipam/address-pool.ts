// The addresses of one family that this host has handed out, durable with the next synced write, and the lease blocks
// that it hands them out of. Choice is next-fit behind a durable cursor, and a freed address rests for a minute, so that
// an address is reused as late as possible. Which addresses the host may use at all is the caller's knowledge.

import {
  type Cidr,
  cidrHasIp,
  cidrLast,
  cidrOf,
  compareCidrs,
  type Family,
  formatCidr,
  formatIp,
  parseCidr,
  parseIp,
} from '../base/address.ts';
import { utf8 } from '../base/bytes.ts';
import type { Clock, Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import { type FamilyPlan, isAllocatable } from './plan.ts';

/** A freed address is not chosen again before this, unless nothing else is free. */
export const REST_MS = 60_000;
/** Addresses in use on one host, per family. */
export const RESERVATIONS_MAX = 65_536;
/** Freed addresses remembered; the oldest are forgotten first. */
const RESTING_MAX = 65_536;
const OWNER_BYTES_MAX = 1024;

const NOTHING: ReadonlyMap<bigint, PeerId> = new Map();

export interface AddressPoolOptions {
  readonly network: Vni;
  readonly plan: FamilyPlan;
  readonly store: Store;
  readonly clock: Clock;
  /** Addresses that are not handed out though nobody holds them here, and which host may use them. */
  readonly avoided?: () => ReadonlyMap<bigint, PeerId>;
}

/**
 * False for what some software takes for a network or broadcast address although it is none in our one on-link prefix: IPv4
 * ending in .0 or .255, IPv6 with an interface id of zero. Such addresses are given out last.
 */
function isOrdinary(value: bigint, family: Family): boolean {
  if (family === 6) return (value & 0xffff_ffff_ffff_ffffn) !== 0n;
  const octet = value & 0xffn;
  return octet !== 0n && octet !== 0xffn;
}

export class AddressPool {
  readonly #plan: FamilyPlan;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #addressSpace: string;
  readonly #blockSpace: string;
  readonly #cursorSpace: string;
  readonly #holders = new Map<bigint, string>();
  readonly #byOwner = new Map<string, Set<bigint>>();
  /** Freed addresses and when, oldest first. */
  readonly #resting = new Map<bigint, number>();
  #blocks: readonly Cidr[] = [];
  #cursor: bigint | null = null;
  readonly #avoided: () => ReadonlyMap<bigint, PeerId>;

  /** Throws FabricError `state-damaged` when the store holds what is no address or block of the range. */
  constructor({ network, plan, store, clock, avoided = () => NOTHING }: AddressPoolOptions) {
    this.#avoided = avoided;
    this.#plan = plan;
    this.#store = store;
    this.#clock = clock;
    this.#addressSpace = `ipam/${network}/address${plan.family}`;
    this.#blockSpace = `ipam/${network}/block${plan.family}`;
    this.#cursorSpace = `ipam/${network}/cursor${plan.family}`;
    this.#load();
  }

  /** Lease blocks that addresses are chosen from; ascending. */
  get blocks(): readonly Cidr[] {
    return this.#blocks;
  }

  get size(): number {
    return this.#holders.size;
  }

  get full(): boolean {
    return this.#holders.size >= RESERVATIONS_MAX;
  }

  holderOf(value: bigint): string | null {
    return this.#holders.get(value) ?? null;
  }

  addressesOf(owner: string): readonly bigint[] {
    return [...(this.#byOwner.get(owner) ?? [])];
  }

  entries(): readonly (readonly [value: bigint, owner: string])[] {
    return [...this.#holders];
  }

  /** The lease block around an address. */
  blockAround(value: bigint): Cidr {
    return cidrOf({ family: this.#plan.family, value }, this.#plan.leasePrefix);
  }

  /** Starts to use a lease block; durable, idempotent. */
  activate(block: Cidr): void {
    if (this.#isActive(block)) return;
    this.#store.put(this.#blockSpace, formatCidr(block), new Uint8Array(0));
    this.#addBlock(block);
  }

  /** Blocks without an address, in one pass over the addresses. */
  emptyBlocks(): readonly Cidr[] {
    const used = new Set<bigint>();
    for (const value of this.#holders.keys()) used.add(this.blockAround(value).base);
    return this.#blocks.filter(({ base }) => !used.has(base));
  }

  /** Stops using blocks, which hold no address; durable. */
  deactivate(empty: readonly Cidr[]): void {
    this.#store.transaction(() => {
      for (const block of empty) this.#store.delete(this.#blockSpace, formatCidr(block));
    });
    this.#blocks = this.#blocks.filter((block) => !empty.includes(block));
  }

  /** Hands out a given address that nobody holds, and starts to use its block; durable with the next synced write. */
  take(owner: string, value: bigint): void {
    const block = this.blockAround(value);
    const text = this.#text(value);
    this.#inOneStep(() => {
      this.#store.put(this.#addressSpace, text, utf8(owner));
      if (!this.#isActive(block)) this.#store.put(this.#blockSpace, formatCidr(block), new Uint8Array(0));
    });
    this.#addBlock(block);
    this.#remember(value, owner);
  }

  /**
   * Chooses among `open` (disjoint, ascending, inside our blocks) and hands out; null when all are in use. `resting`
   * chooses the address that was freed longest ago instead.
   */
  takeNext(owner: string, open: readonly Cidr[], { resting }: { resting: boolean }): bigint | null {
    const value = resting ? this.#longestResting(open) : this.#next(open);
    if (value === null) return null;
    const text = this.#text(value);
    this.#inOneStep(() => {
      this.#store.put(this.#addressSpace, text, utf8(owner));
      this.#store.put(this.#cursorSpace, 'next-fit', utf8(text));
    });
    this.#cursor = value;
    this.#remember(value, owner);
    return value;
  }

  /** A free address of `blocks` (disjoint, ascending); one that rests only when there is no other. Null when all are in use. */
  findFree(blocks: readonly Cidr[]): bigint | null {
    return this.#next(blocks) ?? this.#longestResting(blocks);
  }

  /** Frees these addresses of an owner; durable with the next synced write; idempotent. */
  release(owner: string, values: readonly bigint[]): readonly bigint[] {
    if (values.length === 0) return values;
    this.#inOneStep(() => {
      for (const value of values) this.#store.delete(this.#addressSpace, this.#text(value));
    });
    const now = this.#clock.monotonicMs();
    for (const value of values) {
      this.#holders.delete(value);
      this.#resting.delete(value);
      this.#resting.set(value, now);
    }
    const left = this.addressesOf(owner).filter((value) => !values.includes(value));
    if (left.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, new Set(left));
    for (const value of this.#resting.keys()) {
      if (this.#resting.size <= RESTING_MAX) break;
      this.#resting.delete(value);
    }
    return values;
  }

  usedWithin(block: Cidr): number {
    let used = 0;
    for (const value of this.#holders.keys()) if (this.#within(block, value)) used++;
    return used;
  }

  /** Forgets rests that are over. */
  tick(): void {
    const over = this.#clock.monotonicMs() - REST_MS;
    for (const [value, since] of this.#resting) {
      if (since > over) break;
      this.#resting.delete(value);
    }
  }

  /** Whoever takes or frees an address writes on: what it was for, and what is told to others. That is synced, and this with it. */
  #inOneStep(write: () => void): void {
    this.#store.unsynced(() => this.#store.transaction(write));
  }

  /** Which host may use an address though it is ours to give; null: none. */
  userElsewhere(value: bigint): PeerId | null {
    return this.#avoided().get(value) ?? null;
  }

  /** All addresses that are not free: those that are held here, and those that other hosts may use. */
  taken(): readonly bigint[] {
    return [...this.#holders.keys(), ...this.#avoidedOnly()];
  }

  /** As many as {@link taken} has; its cost does not grow with the addresses that are held here. */
  get takenCount(): number {
    return this.#holders.size + this.#avoidedOnly().length;
  }

  #avoidedOnly(): readonly bigint[] {
    return [...this.#avoided().keys()].filter((value) => !this.#holders.has(value));
  }

  #next(open: readonly Cidr[]): bigint | null {
    const avoided = this.#avoided();
    const isFree = (value: bigint): boolean => !avoided.has(value);
    return (
      this.#search(open, (value, family) => isFree(value) && isOrdinary(value, family)) ?? this.#search(open, isFree)
    );
  }

  #search(open: readonly Cidr[], likes: (value: bigint, family: Family) => boolean): bigint | null {
    const cursor = this.#cursor ?? -1n;
    for (const block of open) {
      if (cidrLast(block) <= cursor) continue;
      const value = this.#scan(block.base > cursor ? block.base : cursor + 1n, cidrLast(block), likes);
      if (value !== null) return value;
    }
    for (const block of open) {
      if (block.base > cursor) break;
      const last = cidrLast(block);
      const value = this.#scan(block.base, last < cursor ? last : cursor, likes);
      if (value !== null) return value;
    }
    return null;
  }

  /** Ends after as many steps as there are addresses in use, resting, reserved or not liked. */
  #scan(first: bigint, last: bigint, likes: (value: bigint, family: Family) => boolean): bigint | null {
    for (let value = first; value <= last; value++) {
      if (this.#holders.has(value) || this.#rests(value) || !isAllocatable(this.#plan, value)) continue;
      if (likes(value, this.#plan.family)) return value;
    }
    return null;
  }

  #rests(value: bigint): boolean {
    const since = this.#resting.get(value);
    return since !== undefined && this.#clock.monotonicMs() - since < REST_MS;
  }

  #longestResting(open: readonly Cidr[]): bigint | null {
    const avoided = this.#avoided();
    for (const value of this.#resting.keys()) {
      if (!this.#holders.has(value) && !avoided.has(value) && open.some((block) => this.#within(block, value)))
        return value;
    }
    return null;
  }

  #remember(value: bigint, owner: string): void {
    this.#resting.delete(value);
    this.#holders.set(value, owner);
    const values = this.#byOwner.get(owner) ?? new Set<bigint>();
    values.add(value);
    this.#byOwner.set(owner, values);
  }

  #addBlock(block: Cidr): void {
    if (!this.#isActive(block)) this.#blocks = [...this.#blocks, block].sort(compareCidrs);
  }

  #isActive(block: Cidr): boolean {
    return this.#blocks.some((active) => active.base === block.base);
  }

  #within(block: Cidr, value: bigint): boolean {
    return cidrHasIp(block, { family: this.#plan.family, value });
  }

  #text(value: bigint): string {
    return formatIp({ family: this.#plan.family, value });
  }

  #load(): void {
    for (const [key] of this.#store.entries(this.#blockSpace)) {
      const block = parseCidr(key);
      if (block === null || block.family !== this.#plan.family || block.prefix !== this.#plan.leasePrefix) {
        throw damaged(`lease block '${key}'`);
      }
      this.#addBlock(block);
    }
    for (const [key, bytes] of this.#store.entries(this.#addressSpace)) {
      const ip = parseIp(key);
      if (ip === null || !cidrHasIp(this.#plan.range, ip) || bytes.length > OWNER_BYTES_MAX) {
        throw damaged(`address '${key}'`);
      }
      this.#remember(ip.value, new TextDecoder().decode(bytes));
    }
    const cursor = this.#store.get(this.#cursorSpace, 'next-fit');
    if (cursor !== undefined) this.#cursor = parseIp(new TextDecoder().decode(cursor))?.value ?? null;
  }
}

function damaged(what: string): FabricError {
  return new FabricError('state-damaged', {
    what: `the stored ${what} can't be read`,
    why: 'it is not of this network, or its bytes were altered',
    fix: 'restore the state directory from a copy, or run `fabric reset` and join again',
  });
}
