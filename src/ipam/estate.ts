// The blocks that this host owns, as its own durable records say: those by which it got space and those by which it gave
// space away. For each address the newest of them decides. A gift is durable here before anyone hears of it, so that after
// any crash the host either still owns the block and nobody else does, or never allocates in it again.

import { type Cidr, cidrContains, cidrHasIp, type Family, formatCidr, type IpAddress } from '../base/address.ts';
import type { Store } from '../base/capabilities.ts';
import { assert, FabricError } from '../base/errors.ts';
import type { GiftId, PeerId } from '../base/ids.ts';
import { leaseSigningBytes } from '../base/record-signing.ts';
import type { LeaseRecord } from '../base/records.ts';
import { intersectBlocks, mergeSiblings } from './blocks.ts';
import { ClaimTrie } from './claim-trie.ts';
import { type Claim, EPOCH_MAX, EPOCH_TAKEN_MAX, isNewer, parseClaim } from './claims.ts';
import { decodeLeaseRecord, encodeLeaseRecord } from './lease-message.ts';
import type { AddressPlan } from './plan.ts';

/** Beyond this the host refuses to cut its space into more pieces. */
export const ESTATE_RECORDS_MAX = 4096;
/** Single addresses are given away up to this, so that there is always room for whole blocks. */
const EXACT_GIFTS_BELOW = ESTATE_RECORDS_MAX / 2;
/** Above this many records, owned neighbours are joined under one record that the host gives to itself. */
export const COALESCE_ABOVE = 64;

/** Opens the gift ids of what is taken over from removed hosts: at one epoch a gift that the owner made itself counts first. */
const INHERITED_ID_PREFIX = 'ff'.repeat(8);

export interface OwnedBlock {
  readonly cidr: Cidr;
  readonly epoch: number;
}

export interface EstateOptions {
  readonly self: PeerId;
  readonly plan: AddressPlan;
  readonly store: Store;
  /** Ed25519 with this host's identity key. */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly giftId: () => GiftId;
}

export class Estate {
  readonly #options: EstateOptions;
  readonly #space: string;
  #claims: ReadonlyMap<string, Claim> = new Map();
  #tries: ReadonlyMap<Family, ClaimTrie<Claim>> = new Map();
  readonly #owned = new Map<Family, readonly OwnedBlock[]>();
  readonly #ownTitles = new Map<Family, readonly Cidr[]>();

  /** Throws FabricError `state-damaged` when the store holds something that is no record of this network. */
  constructor(options: EstateOptions) {
    this.#options = options;
    this.#space = `ipam/${options.plan.network}/lease`;
    const claims: Claim[] = [];
    for (const [key, bytes] of options.store.entries(this.#space)) {
      const record = decodeLeaseRecord(bytes);
      const claim = record === null ? null : parseClaim(record, options.plan);
      if (claim === null || storeKey(claim) !== key) throw damaged(key);
      claims.push(claim);
    }
    this.#replace(claims);
  }

  /** All records worth publishing: what we own and what we gave away. */
  records(): readonly LeaseRecord[] {
    return [...this.#claims.values()].map(({ record }) => record);
  }

  claims(): readonly Claim[] {
    return [...this.#claims.values()];
  }

  /** Our copy of a record, if it is among ours. */
  find(record: LeaseRecord): Claim | null {
    const claim = parseClaim(record, this.#options.plan);
    return claim === null ? null : (this.#claims.get(claim.key) ?? null);
  }

  has(claim: Claim): boolean {
    return this.#claims.has(claim.key);
  }

  owns(ip: IpAddress): boolean {
    const block = this.owned(ip.family).findLast(({ cidr }) => cidr.base <= ip.value);
    return block !== undefined && cidrHasIp(block.cidr, ip);
  }

  /** What we own of one family: the fewest disjoint aligned blocks, ascending. */
  owned(family: Family): readonly OwnedBlock[] {
    return this.#owned.get(family) ?? [];
  }

  /** What we own by a record that we gave to ourselves: taken over from a removed host, joined, or the creator's first. */
  ownTitles(family: Family): readonly Cidr[] {
    return this.#ownTitles.get(family) ?? [];
  }

  ownsAll(block: Cidr): boolean {
    return this.owned(block.family).some(({ cidr }) => cidrContains(cidr, block));
  }

  ownedWithin(block: Cidr): Cidr[] {
    return intersectBlocks(
      this.owned(block.family).map(({ cidr }) => cidr),
      block,
    );
  }

  /** Blocks inside of `window` that came to us as they are by another host's gift, and whose that was; ascending. */
  receivedWithin(window: Cidr): readonly { readonly cidr: Cidr; readonly donor: PeerId }[] {
    const received: { cidr: Cidr; donor: PeerId }[] = [];
    this.#trie(window.family).regions(window, (cidr, covering) => {
      const record = newest(covering)?.record;
      if (record?.owner !== this.#options.self || record.donor === this.#options.self) return;
      if (record.cidr === formatCidr(cidr)) received.push({ cidr, donor: record.donor });
    });
    return received;
  }

  /** The gift that we made to this peer under this id, as long as it is our last word on the block. */
  giftTo(peer: PeerId, giftId: GiftId): LeaseRecord | null {
    for (const { record } of this.#claims.values()) {
      if (record.giftId === giftId && record.owner === peer && record.donor === this.#options.self) return record;
    }
    return null;
  }

  /** The creator's first records, one per family. Nothing happens when there are records already. */
  found(): void {
    const { self, plan } = this.#options;
    assert(plan.creator === self, 'only the creator founds the address space');
    if (this.#claims.size > 0) return;
    this.#commit(plan.families.map(({ range }) => this.#sign(range, { owner: self, epoch: 1 })));
  }

  /** False when one more record would be too many. */
  hasRoom({ exact }: { exact: boolean }): boolean {
    return this.#claims.size < (exact ? EXACT_GIFTS_BELOW : ESTATE_RECORDS_MAX);
  }

  /** Gives blocks that we own entirely; durable when it returns, all or none. The caller has checked that nothing in them is in use. */
  give(blocks: readonly Cidr[], to: PeerId, giftId: () => GiftId): readonly LeaseRecord[] {
    const claims = blocks.map((cidr) =>
      this.#sign(cidr, { owner: to, epoch: this.#nextEpoch(cidr), giftId: giftId() }),
    );
    this.#commit(claims);
    return claims.map(({ record }) => record);
  }

  /**
   * Takes in a record that concerns us and that we don't have: a gift to us, or one of our own gifts that we forgot because
   * our state is an old copy. The caller has verified it. False when it is older than what we know.
   */
  adopt(claim: Claim): boolean {
    this.#commit([claim]);
    return this.has(claim);
  }

  /** Takes over blocks of removed hosts, each above the epoch named; durable when it returns. What there is no room for stays. */
  inherit(blocks: readonly OwnedBlock[]): void {
    const { self, giftId } = this.#options;
    const room = Math.max(0, ESTATE_RECORDS_MAX - this.#claims.size);
    const claims = blocks
      .filter(({ epoch }) => epoch < EPOCH_TAKEN_MAX)
      .slice(0, room)
      .map(({ cidr, epoch }) => {
        const id = `${INHERITED_ID_PREFIX}${giftId().slice(INHERITED_ID_PREFIX.length)}` as GiftId;
        return this.#sign(cidr, { owner: self, epoch: epoch + 1, giftId: id });
      });
    if (claims.length > 0) this.#commit(claims);
  }

  /** Joins owned neighbours under records of our own where that makes the set much smaller; returns whether it did. */
  coalesce(): boolean {
    if (this.#claims.size <= COALESCE_ABOVE) return false;
    const added: Claim[] = [];
    for (const { family } of this.#options.plan.families) {
      for (const { cidr } of this.owned(family)) {
        if (this.#holdings(cidr) > 1)
          added.push(this.#sign(cidr, { owner: this.#options.self, epoch: this.#nextEpoch(cidr) }));
      }
    }
    if (added.length > 0) this.#commit(added);
    return added.length > 0;
  }

  /** How many records make up our title to an owned block. */
  #holdings(cidr: Cidr): number {
    const tops = new Set<Claim | null>();
    this.#trie(cidr.family).regions(cidr, (_region, claims) => tops.add(newest(claims)));
    return tops.size;
  }

  #nextEpoch(cidr: Cidr): number {
    let epoch = 0;
    this.#trie(cidr.family).regions(cidr, (_region, claims) => {
      const top = newest(claims);
      assert(top?.record.owner === this.#options.self, 'a host gives only what it owns');
      epoch = Math.max(epoch, top.record.epoch);
    });
    assert(epoch < EPOCH_MAX, 'epochs do not run out');
    return epoch + 1;
  }

  #sign(cidr: Cidr, terms: { owner: PeerId; epoch: number; giftId?: GiftId }): Claim {
    const { plan, self, sign, giftId } = this.#options;
    const unsigned = {
      network: plan.network,
      cidr: formatCidr(cidr),
      owner: terms.owner,
      epoch: terms.epoch,
      giftId: terms.giftId ?? giftId(),
      donor: self,
    };
    const claim = parseClaim({ ...unsigned, signature: sign(leaseSigningBytes(unsigned)) }, plan);
    assert(claim !== null, 'our own records are well-formed');
    return claim;
  }

  /** One transaction: the new records in, the superseded ones out. Memory follows only when it is durable. */
  #commit(added: readonly Claim[]): void {
    const { store, plan } = this.#options;
    const before = this.#claims;
    const all = new Map([...before, ...added.map((claim) => [claim.key, claim] as const)]);
    const kept = relevant([...all.values()], plan, this.#options.self);
    const fresh = [...kept].filter((claim) => !before.has(claim.key));
    if (fresh.length === 0) return;
    store.transaction(() => {
      for (const claim of fresh) store.put(this.#space, storeKey(claim), encodeLeaseRecord(claim.record));
      for (const claim of before.values()) if (!kept.has(claim)) store.delete(this.#space, storeKey(claim));
    });
    this.#replace([...kept]);
  }

  #replace(claims: readonly Claim[]): void {
    this.#claims = new Map(claims.map((claim) => [claim.key, claim]));
    this.#tries = buildTries(claims, this.#options.plan);
    for (const { family, range } of this.#options.plan.families) {
      const blocks: OwnedBlock[] = [];
      const ownTitles: Cidr[] = [];
      this.#trie(family).regions(range, (cidr, covering) => {
        const top = newest(covering);
        if (top?.record.owner !== this.#options.self) return;
        blocks.push({ cidr, epoch: top.record.epoch });
        if (top.record.donor === this.#options.self) ownTitles.push(cidr);
      });
      const merged = mergeSiblings(
        blocks,
        () => true,
        (lower, upper, cidr) => ({ cidr, epoch: Math.max(lower.epoch, upper.epoch) }),
      );
      this.#owned.set(family, merged);
      this.#ownTitles.set(family, ownTitles);
    }
  }

  #trie(family: Family): ClaimTrie<Claim> {
    const trie = this.#tries.get(family);
    assert(trie !== undefined, 'every family has a trie');
    return trie;
  }
}

/**
 * The records that still say something: for some address of their block they are the newest, or they are our title right
 * below the gift by which we passed that address on (the evidence that we could).
 */
function relevant(claims: readonly Claim[], plan: AddressPlan, self: PeerId): Set<Claim> {
  const kept = new Set<Claim>();
  const tries = buildTries(claims, plan);
  for (const { family, range } of plan.families) {
    tries.get(family)?.regions(range, (_region, covering) => {
      const top = newest(covering);
      if (top === null) return;
      kept.add(top);
      if (top.record.owner === self) return;
      const title = newest(covering.filter(({ record }) => record.owner === self));
      if (title !== null) kept.add(title);
    });
  }
  return kept;
}

function buildTries(claims: readonly Claim[], plan: AddressPlan): Map<Family, ClaimTrie<Claim>> {
  const tries = new Map(plan.families.map(({ family, range }) => [family, new ClaimTrie<Claim>(range)]));
  for (const claim of claims) tries.get(claim.cidr.family)?.add(claim.cidr, claim);
  return tries;
}

function newest(claims: readonly Claim[]): Claim | null {
  let top: Claim | null = null;
  for (const claim of claims) if (top === null || isNewer(claim, top)) top = claim;
  return top;
}

function storeKey({ record }: Claim): string {
  return `${record.cidr} ${record.epoch} ${record.giftId} ${record.owner}`;
}

function damaged(key: string): FabricError {
  return new FabricError('state-damaged', {
    what: `the stored lease record '${key}' can't be read`,
    why: 'it is no record of this network, or its bytes were altered',
    fix: 'restore the state directory from a copy, or run `fabric reset` and join again',
  });
}
