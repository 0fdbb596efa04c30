// What all hosts together say about who owns which block. Ownership is a pure function of the set of signed claims: for an
// address, start with the creator and go through the claims that cover it by epoch; a claim counts if its donor is the
// owner so far, or the host at which an operator removed that owner. So order of arrival can't matter, a forged or unproven
// claim changes nothing, and hosts with equal claims agree. Nobody allocates by this view: it guides requests, filters and status (docs/leases.md argues why that is safe).

import { type Cidr, cidrHasIp, type Family, formatCidr, type IpAddress } from '../base/address.ts';
import type { Crypto } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { leaseSigningBytes } from '../base/record-signing.ts';
import type { LeaseRecord } from '../base/records.ts';
import { mergeSiblings } from './blocks.ts';
import { ClaimTrie } from './claim-trie.ts';
import { byEpoch, type Claim, parseClaim } from './claims.ts';
import type { AddressPlan } from './plan.ts';

/** One author needs two records per block that it ever held; a hundred times what a busy host has. */
export const CLAIMS_PER_AUTHOR_MAX = 8192;
/** Claims whose donor's key has not arrived yet. */
export const PENDING_MAX = 4096;

/** A host, or the collection of records that came with grants only. */
export type ClaimAuthor = PeerId | 'grant';
export type ClaimDrop = 'lease-malformed' | 'lease-signature' | 'lease-author-limit' | 'lease-pending-limit';
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
  readonly #pending = new Map<string, { readonly author: ClaimAuthor; readonly record: LeaseRecord }>();
  readonly #regions = new Map<Family, readonly OwnedRegion[]>();
  /** Hosts that an operator removed, and at which hosts. */
  readonly #removers = new Map<PeerId, Set<PeerId>>();

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
    if (count >= CLAIMS_PER_AUTHOR_MAX) return { drop: 'lease-author-limit' };
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
    this.#perAuthor.set(author, count + 1);
    return { claim: known?.claim ?? claim };
  }

  /** The author no longer publishes this record; unknown ones are ignored. */
  withdraw(author: ClaimAuthor, record: LeaseRecord): void {
    const claim = parseClaim(record, this.#plan);
    if (claim === null) return;
    this.#pending.delete(`${author} ${claim.key}`);
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

  get hasRemovals(): boolean {
    return this.#removers.size > 0;
  }

  /** What a removed host owns, as far as its history is known, where `by` may take over; ascending. */
  inheritableBy(by: PeerId, family: Family): readonly OwnedRegion[] {
    if (this.#removers.size === 0) return [];
    return this.regions(family).filter(({ owner, claim }) => claim !== null && this.#removers.get(owner)?.has(by));
  }

  /** Claims whose donor's key may have arrived by now, to be observed again by the caller. */
  takePending(): readonly { readonly author: ClaimAuthor; readonly record: LeaseRecord }[] {
    const ready = [...this.#pending].filter(([, { record }]) => this.#identityKeyOf(record.donor) !== null);
    for (const [key] of ready) this.#pending.delete(key);
    return ready.map(([, value]) => value);
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

  /** The claims that make up the true history of a block; by epoch. */
  proofOf(cidr: Cidr): readonly Claim[] {
    const proof = new Set<Claim>();
    this.#trie(cidr.family).regions(cidr, (_region, claims) => {
      for (const claim of this.#resolve(claims).claims) proof.add(claim);
    });
    return [...proof].sort(byEpoch);
  }

  get claimCount(): number {
    return this.#entries.size;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** What the owner so far gave itself comes first, whatever the epoch: who took over from it may not have known. */
  #resolve(covering: readonly Claim[]): History {
    const sorted = [...covering].sort(byEpoch);
    const claims: Claim[] = [];
    let owner = this.#plan.creator;
    let inherited = false;
    for (let from = 0; ; ) {
      let next = sorted.findIndex(({ record }, index) => index >= from && record.donor === owner);
      if (next < 0) {
        const removers = this.#removers.get(owner);
        next = sorted.findIndex(({ record }, index) => index >= from && removers?.has(record.donor) === true);
        if (next < 0) return { owner, claims, inherited };
        inherited = true;
      }
      owner = sorted[next]!.record.owner;
      claims.push(sorted[next]!);
      from = next + 1;
    }
  }

  #keepPending(author: ClaimAuthor, claim: Claim): ObserveResult {
    if (this.#pending.size >= PENDING_MAX) return { drop: 'lease-pending-limit' };
    this.#pending.set(`${author} ${claim.key}`, { author, record: claim.record });
    return { waiting: true };
  }

  #trie(family: Family): ClaimTrie<Claim> {
    const trie = this.#tries.get(family);
    if (trie === undefined) throw new Error(`invariant broken: no range of family ${family}`);
    return trie;
  }
}

/** For messages: the blocks of one owner in a few words. */
export function summarise(regions: readonly OwnedRegion[], blocksMax = 4): string {
  const shown = regions.slice(0, blocksMax).map(({ cidr }) => formatCidr(cidr));
  return regions.length > blocksMax ? `${shown.join(', ')} and ${regions.length - blocksMax} more` : shown.join(', ');
}
