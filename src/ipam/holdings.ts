// One family's side of address management: which of the owned addresses are open (in active lease blocks), spare, or
// settling, how full they are, and what could be given away. Combines the estate (what is ours) with the pool (what is in
// use); both stay the only places that write.

import { type Cidr, cidrContains, cidrHasIp, cidrSize, cidrsOverlap, compareCidrs } from '../base/address.ts';
import type { Clock } from '../base/capabilities.ts';
import type { AddressPool } from './address-pool.ts';
import { intersectBlocks, subtractBlocks, totalSize } from './blocks.ts';
import type { Estate, OwnedBlock } from './estate.ts';
import { chooseBlock, chooseFragment, chooseShare } from './giving.ts';
import type { Refusal, Wish } from './lease-message.ts';
import { blockPrefixFor, type FamilyPlan, usableSize } from './plan.ts';

/**
 * A block that we find ourselves to own though we did not ask for it may be one that we passed on and forgot (an old copy
 * of our state): it is not used until gossip had this long to say so.
 */
export const SETTLE_MS = 5_000;
/** What is taken over from a removed host waits as long for gifts that it made in its last moments. */
export const INHERIT_SETTLE_MS = 2_000;
/** The next lease block is opened or asked for when this share of the open ones is in use. */
const LOW_NUMERATOR = 4n;
const LOW_DENOMINATOR = 5n;
/** An active lease block in which nothing was in use for this long is closed: it is spare again. */
export const EMPTY_MS = 600_000;
/** How often that is looked at. */
const EMPTY_CHECK_MS = 60_000;

/** What a {@link Division} follows from: values that are replaced and never changed. */
interface Sources {
  readonly blocks: readonly OwnedBlock[];
  readonly active: readonly Cidr[];
  readonly settling: readonly unknown[];
  readonly unconfirmed: readonly Cidr[];
  readonly disputed: readonly Cidr[];
}

/** What is owned, in parts. */
interface Division {
  readonly sources: Sources;
  readonly owned: readonly Cidr[];
  readonly open: readonly Cidr[];
  readonly spare: readonly Cidr[];
  readonly settling: readonly Cidr[];
  readonly disputed: readonly Cidr[];
  /** Of what is owned, what settles or is disputed. */
  readonly unusable: readonly Cidr[];
  /** Addresses that may be handed out, used or not. */
  readonly usableOpen: bigint;
  readonly usableSpare: bigint;
}

export class Holdings {
  readonly plan: FamilyPlan;
  readonly pool: AddressPool;
  readonly #estate: Estate;
  readonly #clock: Clock;
  readonly #disputed: () => readonly Cidr[];
  readonly #unconfirmed: () => readonly Cidr[];
  #settling: readonly { readonly cidr: Cidr; readonly untilMs: number }[] = [];
  #division: Division | null = null;
  /** Active lease blocks that were empty at each check since then, by their first address. */
  #emptySince = new Map<bigint, number>();
  #emptyCheckMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly plan: FamilyPlan;
    readonly pool: AddressPool;
    readonly estate: Estate;
    readonly clock: Clock;
    /** Blocks that a host owns which took over from a removed one, whatever our records say. */
    readonly disputed: () => readonly Cidr[];
    /** Blocks that others gave us of which too few voters have heard; of any family. */
    readonly unconfirmed?: () => readonly Cidr[];
  }) {
    this.#disputed = options.disputed;
    this.#unconfirmed = options.unconfirmed ?? (() => []);
    this.plan = options.plan;
    this.pool = options.pool;
    this.#estate = options.estate;
    this.#clock = options.clock;
  }

  owned(): readonly Cidr[] {
    return this.#divide().owned;
  }

  /** True when nothing is ours but what is disputed: then we need a first share like a newcomer. */
  hasNothing(): boolean {
    const { owned, disputed } = this.#divide();
    return (disputed.length === 0 ? owned : subtractBlocks(owned, disputed)).length === 0;
  }

  /** Owned blocks inside active lease blocks, ready to allocate from; ascending, disjoint. */
  open(): readonly Cidr[] {
    return this.#divide().open;
  }

  /** Owned blocks outside of active lease blocks; nothing in them is in use. */
  spare(): readonly Cidr[] {
    return this.#divide().spare;
  }

  /** What is owned of the given blocks, active or not, and not settling; ascending, disjoint. */
  ownedWithin(blocks: readonly Cidr[]): Cidr[] {
    const pieces = blocks.flatMap((block) => intersectBlocks(this.owned(), block));
    return subtractBlocks(pieces, this.#divide().unusable).sort(compareCidrs);
  }

  /**
   * Owned blocks that turned up in gossip just now, or that the voters have not confirmed; what was given on meanwhile is no
   * longer among them.
   */
  settling(): readonly Cidr[] {
    return this.#divide().settling;
  }

  isSettling(value: bigint): boolean {
    return this.#notReady().some((cidr) => cidrHasIp(cidr, { family: this.plan.family, value }));
  }

  settle(cidr: Cidr, ms = SETTLE_MS): void {
    this.#settling = [...this.#settling, { cidr, untilMs: this.#clock.monotonicMs() + ms }];
  }

  /** Ours by our own records, and by all others those of a host that took over from a removed one: not used (docs/leases.md). */
  disputed(): readonly Cidr[] {
    return this.#divide().disputed;
  }

  /** True for an address that our records give us and that nobody disputes. */
  owns(value: bigint): boolean {
    const ip = { family: this.plan.family, value };
    return this.#estate.owns(ip) && !this.#disputed().some((block) => cidrHasIp(block, ip));
  }

  /** Ends rests and settling; returns whether more addresses became usable. */
  tick(): boolean {
    this.pool.tick();
    const now = this.#clock.monotonicMs();
    const still = this.#settling.filter(({ untilMs }) => untilMs > now);
    const ended = still.length < this.#settling.length;
    if (ended) this.#settling = still;
    return ended;
  }

  /** Addresses that may be handed out here, used or not. */
  usable(): bigint {
    let total = 0n;
    for (const block of this.owned()) total += usableSize(this.plan, block);
    return total;
  }

  hasFree(): boolean {
    const { open, spare, usableOpen, usableSpare } = this.#divide();
    const usable = usableOpen + usableSpare;
    return usable > BigInt(this.pool.takenCount) || usable > this.#takenIn([...open, ...spare]);
  }

  isLow(): boolean {
    if (this.pool.blocks.length === 0) return false;
    const { open, usableOpen } = this.#divide();
    const isMost = (used: bigint): boolean => used * LOW_DENOMINATOR >= usableOpen * LOW_NUMERATOR;
    return isMost(BigInt(this.pool.takenCount)) && isMost(this.#takenIn(open));
  }

  /** Opens the lowest spare lease block; false when there is none. */
  openNext(): boolean {
    const next = this.spare().find((block) => usableSize(this.plan, block) > 0n);
    if (next === undefined) return false;
    const before = this.pool.blocks;
    this.pool.activate(this.pool.blockAround(next.base));
    return this.pool.blocks !== before;
  }

  /**
   * Closes lease blocks that have been empty for {@link EMPTY_MS} and that are not needed: what stays open is at most half in
   * use, and is never nothing. Returns what it closed.
   */
  closeEmpty(): readonly Cidr[] {
    const now = this.#clock.monotonicMs();
    if (now - this.#emptyCheckMs < EMPTY_CHECK_MS) return [];
    this.#emptyCheckMs = now;
    const empty = this.pool.emptyBlocks();
    this.#emptySince = new Map(empty.map(({ base }) => [base, this.#emptySince.get(base) ?? now]));
    const closed: Cidr[] = [];
    let left = this.#divide().usableOpen;
    for (const block of empty.toReversed()) {
      if (now - this.#emptySince.get(block.base)! < EMPTY_MS) continue;
      const without = left - this.#usableIn(intersectBlocks(this.open(), block));
      if (without <= 0n || BigInt(this.pool.size) * 2n > without) continue;
      left = without;
      closed.push(block);
    }
    if (closed.length > 0) this.pool.deactivate(closed);
    return closed;
  }

  /** What to give to a host with this wish; `newcomer`: it owns nothing yet; `hosts`: how many there are. */
  chooseGift(
    wish: Wish,
    exact: Cidr | null,
    { newcomer, hosts }: { newcomer: boolean; hosts: number },
  ): Cidr | Refusal {
    if (wish === 'exact') return exact === null ? 'not-owner' : this.#exactGift(exact);
    const plan = { ...this.plan, leasePrefix: blockPrefixFor(this.plan, hosts) };
    const none = this.settling().length > 0 ? 'paused' : 'none-free'; // what settles may be given in a moment
    const spare = this.spare();
    if (wish === 'block' || (wish === 'share' && !newcomer)) {
      const enough = totalSize(spare) > cidrSize({ ...plan.range, prefix: plan.leasePrefix });
      return (enough ? chooseBlock(plan, spare) : null) ?? none;
    }
    const chosen = (wish === 'any' ? chooseBlock(plan, spare) : null) ?? chooseShare(plan, spare);
    if (chosen !== null && usableSize(plan, chosen) < this.usable()) return chosen;
    if (wish === 'share') return none; // the asker comes back for `any` when nobody has a block to spare
    return chooseFragment(plan, chosen === null ? this.open() : [chosen], this.pool.taken()) ?? none;
  }

  #exactGift(exact: Cidr): Cidr | Refusal {
    if (exact.prefix < this.plan.leasePrefix) return 'limit';
    if (!this.owned().some((block) => cidrContains(block, exact))) return 'not-owner';
    if (this.disputed().some((block) => cidrsOverlap(block, exact))) return 'not-owner';
    if (this.settling().some((block) => cidrsOverlap(block, exact))) return 'paused';
    return this.pool.usedWithin(exact) > 0 || usableSize(this.plan, exact) === 0n ? 'in-use' : exact;
  }

  #notReady(): readonly Cidr[] {
    const unconfirmed = this.#unconfirmed().filter(({ family }) => family === this.plan.family);
    return [...this.#settling.map(({ cidr }) => cidr), ...unconfirmed];
  }

  /** Worked out anew when something of what it follows from is another: it is asked for with every message and every tick. */
  #divide(): Division {
    const sources: Sources = {
      blocks: this.#estate.owned(this.plan.family),
      active: this.pool.blocks,
      settling: this.#settling,
      unconfirmed: this.#unconfirmed(),
      disputed: this.#disputed(),
    };
    if (this.#division === null || !isSame(this.#division.sources, sources)) this.#division = this.#dividedBy(sources);
    return this.#division;
  }

  #dividedBy(sources: Sources): Division {
    const owned = sources.blocks.map(({ cidr }) => cidr);
    const settling = this.#notReady().flatMap((cidr) => intersectBlocks(owned, cidr));
    const disputed = owned.flatMap((block) => intersectBlocks(sources.disputed, block));
    const unusable = [...settling, ...disputed];
    const active = sources.active.flatMap((block) => intersectBlocks(owned, block));
    const open = subtractBlocks(active, unusable);
    const spare = subtractBlocks(owned, [...sources.active, ...unusable]);
    const [usableOpen, usableSpare] = [this.#usableIn(open), this.#usableIn(spare)];
    return { sources, owned, open, spare, settling, disputed, unusable, usableOpen, usableSpare };
  }

  /** Without what is in use here in blocks that are another's by now. */
  #takenIn(blocks: readonly Cidr[]): bigint {
    const { family } = this.plan;
    const values = this.pool.taken();
    return BigInt(values.filter((value) => blocks.some((block) => cidrHasIp(block, { family, value }))).length);
  }

  #usableIn(blocks: readonly Cidr[]): bigint {
    let total = 0n;
    for (const block of blocks) total += usableSize(this.plan, block);
    return total;
  }
}

function isSame(one: Sources, other: Sources): boolean {
  return (
    one.blocks === other.blocks &&
    one.active === other.active &&
    isSameList(one.settling, other.settling) &&
    isSameList(one.unconfirmed, other.unconfirmed) &&
    isSameList(one.disputed, other.disputed)
  );
}

function isSameList(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one === other || (one.length === 0 && other.length === 0);
}
