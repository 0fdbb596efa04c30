// What all hosts together say about who owns which block. Ownership is a pure function of the set of signed claims: for an
// address, start with the creator, or whom the voters last gave it to, and go through the claims that cover it by epoch; a claim counts
// if its donor is the owner so far, or the host at which an operator removed that owner. So order of arrival can't matter, a forged
// or unproven claim changes nothing, and hosts with equal claims agree. Nobody allocates by this view: it guides requests, filters
// and status (docs/leases.md argues why that is safe).

import { type Cidr, cidrContains, cidrHasIp, type Family, formatCidr, type IpAddress } from '../base/address.ts';
import type { Crypto } from '../base/capabilities.ts';
import type { GiftId, PeerId } from '../base/ids.ts';
import { leaseSigningBytes } from '../base/record-signing.ts';
import type { LeaseRecord } from '../base/records.ts';
import { mergeSiblings } from './blocks.ts';
import { ClaimTrie } from './claim-trie.ts';
import { byEpoch, type Claim, parseClaim } from './claims.ts';
import type { AddressPlan } from './plan.ts';
import type { Title } from './reclaim/decision.ts';
import type { Reclaimed } from './reclaim/voted-spaces.ts';

/** One author needs two records per block that it ever held; a hundred times what a busy host has. Those that wait for a key count. */
export const CLAIMS_PER_AUTHOR_MAX = 8192;

/** A host, or the collection of records that came with grants only. */
export type ClaimAuthor = PeerId | 'grant';
export type ClaimDrop = 'lease-malformed' | 'lease-signature' | 'lease-author-limit';
export type ObserveResult = { readonly claim: Claim } | { readonly waiting: true } | { readonly drop: ClaimDrop };

export interface OwnedRegion {
  readonly cidr: Cidr;
  readonly owner: PeerId;
  /** Null where the creator still owns by genesis alone. */
  readonly claim: Claim | null;
  /** True where somebody took over from a removed host on the way to this owner. */
  readonly inherited: boolean;
}

interface History {
  readonly owner: PeerId;
  readonly claims: readonly Claim[];
  readonly inherited: boolean;
}

interface Entry {
  readonly claim: Claim;
  readonly authors: Set<ClaimAuthor>;
}

export class LeaseView {
  readonly #plan: AddressPlan;
  readonly #crypto: Crypto;
  readonly #identityKeyOf: (peer: PeerId) => Uint8Array | null;
  readonly #tries: ReadonlyMap<Family, ClaimTrie<Claim>>;
  readonly #entries = new Map<string, Entry>();
  readonly #perAuthor = new Map<ClaimAuthor, number>();
  /** Claims whose donor's key has not arrived yet: by author, so that nobody's keep another's out. */
  readonly #pending = new Map<ClaimAuthor, Map<string, LeaseRecord>>();
  /** Authors of which records were dropped: what they own is not all known here. */
  readonly #overfull = new Set<ClaimAuthor>();
  readonly #regions = new Map<Family, readonly OwnedRegion[]>();
  /** Hosts that an operator removed, and at which hosts. */
  readonly #removers = new Map<PeerId, Set<PeerId>>();
  /** What the voters decided, by key. */
  readonly #decided = new Map<string, Cidr>();

  constructor(plan: AddressPlan, crypto: Crypto, identityKeyOf: (peer: PeerId) => Uint8Array | null) {
    this.#plan = plan;
    this.#crypto = crypto;
    this.#identityKeyOf = identityKeyOf;
    this.#tries = new Map(plan.families.map(({ family, range }) => [family, new ClaimTrie<Claim>(range)]));
  }

  /**
   * Takes a claim in. `author` is who published it; anyone may, because the donor's signature is what counts. `donorKey`
   * helps where gossip has not brought the key yet; the caller has checked that it hashes to the donor's id.
   */
  observe(author: ClaimAuthor, record: LeaseRecord, donorKey?: Uint8Array): ObserveResult {
    const claim = parseClaim(record, this.#plan);
    if (claim === null) return { drop: 'lease-malformed' };
    const known = this.#entries.get(claim.key);
    if (known?.authors.has(author)) return { claim: known.claim };
    const count = this.#perAuthor.get(author) ?? 0;
    const waiting = this.#pending.get(author);
    if (waiting?.has(claim.key) !== true && count + (waiting?.size ?? 0) >= CLAIMS_PER_AUTHOR_MAX) {
      this.#overfull.add(author);
      return { drop: 'lease-author-limit' };
    }
    if (known === undefined) {
      const key = donorKey ?? this.#identityKeyOf(record.donor);
      if (key === null) return this.#keepPending(author, claim);
      if (!this.#crypto.ed25519Verify(key, leaseSigningBytes(record), record.signature)) {
        return { drop: 'lease-signature' };
      }
      this.#entries.set(claim.key, { claim, authors: new Set([author]) });
      this.#trie(claim.cidr.family).add(claim.cidr, claim);
      this.#regions.delete(claim.cidr.family);
    } else {
      known.authors.add(author);
    }
    this.#forgetPending(author, claim);
    this.#perAuthor.set(author, count + 1);
    return { claim: known?.claim ?? claim };
  }

  /** The author no longer publishes this record; unknown ones are ignored. */
  withdraw(author: ClaimAuthor, record: LeaseRecord): void {
    const claim = parseClaim(record, this.#plan);
    if (claim === null) return;
    this.#forgetPending(author, claim);
    const entry = this.#entries.get(claim.key);
    if (entry === undefined || !entry.authors.delete(author)) return;
    this.#perAuthor.set(author, this.#perAuthor.get(author)! - 1);
    if (entry.authors.size > 0) return;
    this.#entries.delete(claim.key);
    this.#trie(claim.cidr.family).remove(claim.cidr, entry.claim);
    this.#regions.delete(claim.cidr.family);
  }

  /** An operator said at host `by` that `peer` is gone for good: `by` may take over what it owned. False when that was known. */
  peerRemoved(peer: PeerId, by: PeerId): boolean {
    const removers = this.#removers.get(peer) ?? new Set<PeerId>();
    if (removers.has(by)) return false;
    this.#removers.set(peer, removers.add(by));
    this.#regions.clear();
    return true;
  }

  isRemoved(peer: PeerId): boolean {
    return this.#removers.has(peer);
  }

  /** The voters gave blocks of a host that is gone to another one; repeats and other networks' blocks change nothing. */
  reclaimed({ owner, heir, titles }: Reclaimed): void {
    for (const { network, cidr, epoch } of titles) {
      const family = this.#plan.families.find((plan) => plan.family === cidr.family);
      if (network !== this.#plan.network || family === undefined || !cidrContains(family.range, cidr)) continue;
      const claim = decidedClaim({ owner, heir, network, cidr, epoch });
      if (this.#decided.has(claim.key)) continue;
      this.#decided.set(claim.key, cidr);
      this.#trie(cidr.family).add(cidr, claim);
      this.#regions.delete(cidr.family);
    }
  }

  /** Blocks about which the voters ever decided; they may overlap. */
  decidedBlocks(family: Family): readonly Cidr[] {
    return [...this.#decided.values()].filter((cidr) => cidr.family === family);
  }

  /** True when somebody took over from a host that is gone. */
  get hasRemovals(): boolean {
    return this.#removers.size > 0 || this.#decided.size > 0;
  }

  /**
   * What `by` may take over and has not yet: what a removed host owns, as far as its history is known, and what the voters
   * decided; ascending.
   */
  inheritableBy(by: PeerId, family: Family): readonly OwnedRegion[] {
    if (!this.hasRemovals) return [];
    return this.regions(family).filter(({ owner, claim }) => {
      if (claim === null) return false;
      return owner === by ? claim.decided === true : this.#removers.get(owner)?.has(by) === true;
    });
  }

  /** What a host owns for certain: no claim is known that may be newer than its title. */
  titlesOf(peer: PeerId): readonly Title[] {
    return this.#plan.families.flatMap(({ family, range }) => {
      const titles: Title[] = [];
      this.#trie(family).regions(range, (cidr, claims) => {
        const { owner, claims: history } = this.#resolve(claims);
        const epoch = history.at(-1)?.record.epoch;
        if (owner !== peer || epoch === undefined || claims.some(({ record }) => record.epoch > epoch)) return;
        titles.push({ network: this.#plan.network, cidr, epoch });
      });
      return mergeSiblings(
        titles,
        (a, b) => a.epoch === b.epoch,
        (lower, _upper, cidr) => ({ ...lower, cidr }),
      );
    });
  }

  /** What a host publishes as given to it by others. */
  giftsTo(peer: PeerId): readonly Title[] {
    const gifts: Title[] = [];
    for (const { claim, authors } of this.#entries.values()) {
      const { owner, donor, epoch } = claim.record;
      if (owner === peer && donor !== peer && authors.has(peer)) {
        gifts.push({ network: this.#plan.network, cidr: claim.cidr, epoch });
      }
    }
    return gifts;
  }

  /** False while records of that author wait for a key, or when there were too many of them. */
  isUnderstood(author: PeerId): boolean {
    return !this.#pending.has(author) && !this.#overfull.has(author);
  }

  /** Claims whose donor's key has arrived by now, to be observed again by the caller: they are pending until then. */
  arrived(): readonly { readonly author: ClaimAuthor; readonly record: LeaseRecord }[] {
    return [...this.#pending].flatMap(([author, claims]) =>
      [...claims.values()].flatMap((record) => (this.#identityKeyOf(record.donor) === null ? [] : { author, record })),
    );
  }

  isPublishedBy(author: PeerId, claim: Claim): boolean {
    return this.#entries.get(claim.key)?.authors.has(author) ?? false;
  }

  /** Null outside the network's ranges. */
  ownerOf(ip: IpAddress): PeerId | null {
    const plan = this.#plan.families.find(({ family }) => family === ip.family);
    const trie = this.#tries.get(ip.family);
    if (plan === undefined || trie === undefined || !cidrHasIp(plan.range, ip)) return null;
    return this.#resolve(trie.covering(ip.value)).owner;
  }

  /** The whole range as the fewest disjoint blocks of one owner and claim; ascending. */
  regions(family: Family): readonly OwnedRegion[] {
    const cached = this.#regions.get(family);
    if (cached !== undefined) return cached;
    const rows: OwnedRegion[] = [];
    const plan = this.#plan.families.find((candidate) => candidate.family === family);
    if (plan !== undefined) {
      this.#trie(family).regions(plan.range, (cidr, claims) => {
        const { owner, claims: history, inherited } = this.#resolve(claims);
        rows.push({ cidr, owner, claim: history.at(-1) ?? null, inherited });
      });
    }
    const merged = mergeSiblings(
      rows,
      (a, b) => a.claim === b.claim && a.owner === b.owner && a.inherited === b.inherited,
      (lower, _upper, cidr) => ({ ...lower, cidr }),
    );
    this.#regions.set(family, merged);
    return merged;
  }

  /** True when the claim is part of the true history of every address of its block. */
  proves(claim: Claim): boolean {
    let proven = true;
    this.#trie(claim.cidr.family).regions(claim.cidr, (_region, claims) => {
      proven &&= this.#resolve(claims).claims.includes(claim);
    });
    return proven;
  }

  /** True while the claim decides about some address of its block. */
  decides(claim: Claim): boolean {
    return this.regions(claim.cidr.family).some((region) => region.claim?.key === claim.key);
  }

  /** The records that make up the true history of a block; by epoch. */
  proofOf(cidr: Cidr): readonly Claim[] {
    const proof = new Set<Claim>();
    this.#trie(cidr.family).regions(cidr, (_region, claims) => {
      for (const claim of this.#resolve(claims).claims) if (claim.decided !== true) proof.add(claim);
    });
    return [...proof].sort(byEpoch);
  }

  get claimCount(): number {
    return this.#entries.size;
  }

  get pendingCount(): number {
    return [...this.#pending.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * From the last decision of the voters on, where there is one: what led to it may be gone by now. The owner's own gifts come first,
   * whatever the epoch: who took over from it by an operator's word may not have known.
   */
  #resolve(covering: readonly Claim[]): History {
    const decided = this.#decided.size === 0 ? [] : covering.filter((claim) => claim.decided === true).sort(byEpoch);
    const claims = decided.slice(-1);
    const [last] = claims;
    let owner = last?.record.owner ?? this.#plan.creator;
    let inherited = last !== undefined;
    // Only claims of who was an owner are put in order: of others there may be thousands.
    const walk = new DonorsInTurn(covering, last ?? null);
    for (;;) {
      let next = walk.firstOf(owner);
      if (next === null) {
        const heirs = [...(this.#removers.get(owner) ?? [])].flatMap((heir) => walk.firstOf(heir) ?? []);
        next = heirs.sort(byEpoch)[0] ?? null;
        if (next === null) return { owner, claims, inherited };
        inherited = true;
      }
      owner = next.record.owner;
      claims.push(next);
      walk.goTo(next);
    }
  }

  #keepPending(author: ClaimAuthor, claim: Claim): ObserveResult {
    const pending = this.#pending.get(author) ?? new Map<string, LeaseRecord>();
    this.#pending.set(author, pending.set(claim.key, claim.record));
    return { waiting: true };
  }

  #forgetPending(author: ClaimAuthor, { key }: Claim): void {
    const pending = this.#pending.get(author);
    if (pending?.delete(key) === true && pending.size === 0) this.#pending.delete(author);
  }

  #trie(family: Family): ClaimTrie<Claim> {
    const trie = this.#tries.get(family);
    if (trie === undefined) throw new Error(`invariant broken: no range of family ${family}`);
    return trie;
  }
}

/** The claims of each donor that come after a place in the order of epochs, which only goes on. */
class DonorsInTurn {
  readonly #claims: readonly Claim[];
  /** Of donors that were asked for, the earliest last. */
  readonly #left = new Map<PeerId, Claim[]>();
  #at: Claim | null;

  constructor(claims: readonly Claim[], at: Claim | null) {
    this.#claims = claims;
    this.#at = at;
  }

  goTo(claim: Claim): void {
    this.#at = claim;
  }

  firstOf(donor: PeerId): Claim | null {
    let left = this.#left.get(donor);
    if (left === undefined) {
      left = this.#claims.filter(({ record }) => record.donor === donor).sort((a, b) => byEpoch(b, a));
      this.#left.set(donor, left);
    }
    while (left.length > 0 && this.#at !== null && byEpoch(left.at(-1)!, this.#at) <= 0) left.pop();
    return left.at(-1) ?? null;
  }
}

/** A decision about one title, as if the owner had given the block to its heir. */
function decidedClaim({ owner, heir, network, cidr, epoch }: Title & { owner: PeerId; heir: PeerId }): Claim {
  const text = formatCidr(cidr);
  const giftId = '0'.repeat(32) as GiftId;
  const record = {
    network,
    cidr: text,
    owner: heir,
    epoch: epoch + 1,
    giftId,
    donor: owner,
    signature: new Uint8Array(0),
  };
  return { record, cidr, key: `decided ${text} ${epoch + 1} ${owner} ${heir}`, decided: true };
}

/** For messages: the blocks of one owner in a few words. */
export function summarise(regions: readonly OwnedRegion[], blocksMax = 4): string {
  const shown = regions.slice(0, blocksMax).map(({ cidr }) => formatCidr(cidr));
  return regions.length > blocksMax ? `${shown.join(', ')} and ${regions.length - blocksMax} more` : shown.join(', ');
}
