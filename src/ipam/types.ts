// The public types of address management: what the daemon gives to it and gets back. All values are plain.

import type { Cidr, Family, IpAddress } from '../base/address.ts';
import type { Clock, Crypto, Log, Random, Store } from '../base/capabilities.ts';
import type { FabricError } from '../base/errors.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import type { Ipam } from './ipam.ts';
import type { AddressPlan } from './plan.ts';

export interface IpamEvents {
  /**
   * The complete set of records that this host publishes, each time it changed; it is durable already. The daemon makes its
   * own gossip map equal to it before it returns (several records may name one block: key them by block and epoch).
   */
  recordsChanged(own: readonly LeaseRecord[]): void;
  /** An address that this host handed out belongs to `holder` now, as records prove that this host had forgotten. Once each. */
  conflict(conflict: { readonly ip: IpAddress; readonly owner: string; readonly holder: PeerId | null }): void;
  /** What this host publishes for the voting, durable already: the daemon makes its gossip map equal to it before it returns. */
  votesChanged?(entries: ReadonlyMap<string, Uint8Array>): void;
  /** An allocation that waits may have an answer now, and {@link Ipam.ownerOf} may say something new. */
  changed(): void;
}

export interface IpamOptions {
  readonly self: PeerId;
  readonly plan: AddressPlan;
  /** False: this host asks for its first share when it needs an address, not before. */
  asksEarly(): boolean;
  /** Ed25519 over the bytes with this host's identity key. */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  /** The Ed25519 public key of any host ever heard of, gone ones included; the creator's comes from the genesis. */
  readonly identityKeyOf: (peer: PeerId) => Uint8Array | null;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Store;
  readonly log: Log;
  /** Sends on the lease channel; false when there is no link. May drop what it took. */
  readonly send: (peer: PeerId, bytes: Uint8Array) => boolean;
  /** Peers with a live link. */
  readonly candidates: () => readonly PeerId[];
  /** True when a host lives, linked or not: in a large cluster a link to it is made when there is something to send. Absent: unknown. */
  readonly isAlive?: (peer: PeerId) => boolean;
  readonly events: IpamEvents;
  /** The voting about hosts that are gone is run with this network's leases. */
  readonly voting?: VotingFacts;
  /**
   * Leases with {@link voting}, in which these take part: the same voters, promises and decisions. With neither, nothing is taken
   * back from hosts that are gone without an operator's word.
   */
  readonly votersOf?: Ipam;
}

/** One entry of what a host publishes for the voting that is run with a network's leases. */
export interface PublishedVote {
  readonly network: Vni;
  readonly entry: string;
  readonly value: Uint8Array;
}

/** What automatic reclaim has to know of the cluster. */
export interface VotingFacts {
  /** For how long voters promise; 0: this host starts no voting. */
  readonly leaseMs: number;
  /** Hosts whose records are known, ourselves included. */
  readonly peers: () => readonly PeerId[];
  readonly isAlive: (peer: PeerId) => boolean;
  /** Milliseconds since a host was seen last, or since this one started. */
  readonly unseenMs: (peer: PeerId) => number;
  /** The version of a host's published records that we have; for ourselves the one that is published. */
  readonly versionOf: (peer: PeerId) => number;
  /** False while what is published lacks something that this host owns. */
  readonly isPublished: () => boolean;
  /** Addresses that the host's records say are in use in a network, as text; none of a host that an operator removed. */
  readonly claimsOf: (peer: PeerId, network: Vni) => readonly string[];
}

export interface AllocationRequest {
  /** Who will hold the address, e.g. `container/ifname`; at most 1,024 bytes. */
  readonly owner: string;
  readonly family: Family;
  /** This address and no other. */
  readonly wanted?: IpAddress;
  /** Out of these blocks, of this family and inside the range; without `wanted` only. */
  readonly within?: readonly Cidr[];
}

export type AllocationResult =
  /** Durable with the caller's next synced write. */
  | { readonly status: 'ok'; readonly ip: IpAddress }
  /** Space is being asked for: allocate again after {@link IpamEvents.changed}. */
  | { readonly status: 'wait'; readonly why: string }
  /** `address-exhausted`, `address-in-use`, `address-foreign`, `address-invalid`, `limit`, or why allocation is stopped. */
  | { readonly status: 'failed'; readonly error: FabricError };

export interface Reservation {
  readonly ip: IpAddress;
  readonly owner: string;
  /** True when the address lies in no block of ours any more. */
  readonly conflict: boolean;
}

/**
 * `expired`: ours, but too few voters say so, and nothing new is handed out. `active`: we allocate from it. `spare`: ours, in
 * reserve or to give. `settling`: ours, found in others' records, not used for a few seconds in case we gave it away and forgot, or
 * until voters have heard of it. `disputed`: ours by our own records, another's by all others since a host was removed. `incoming`:
 * given to us, its history not proven yet. `offered`: we gave it, its new owner has not confirmed. `foreign`: another host's.
 */
export type LeaseState = 'expired' | 'active' | 'spare' | 'settling' | 'disputed' | 'incoming' | 'offered' | 'foreign';

export interface LeaseRow {
  readonly network: Vni;
  readonly cidr: Cidr;
  readonly peer: PeerId;
  /** 0 where the creator owns by genesis alone. */
  readonly epoch: number;
  /** Addresses in use; null where only its owner knows. */
  readonly used: number | null;
  /** Addresses in the block; a power of two, exact. */
  readonly size: number;
  readonly state: LeaseState;
  /**
   * Milliseconds since the Unix epoch. Of our own blocks: when they are ours no more if no voter promises again; of a host that is not
   * alive: when the voters may give them to another one, by when it was seen last. Null: never, or known to its owner only.
   */
  readonly expiresAt: number | null;
}

export interface IpamStats {
  /** Messages and records that were not taken, by reason (docs/leases.md). */
  readonly drops: Readonly<Record<string, number>>;
  readonly claims: number;
  readonly claimsPending: number;
  readonly ownRecords: number;
  readonly gifts: number;
  /** Of the voters about hosts that are gone, as far as this host knows. */
  readonly decisions: number;
  /** How many hosts vote; 0 without voting. */
  readonly voters: number;
  /** For how long they promise, milliseconds; 0 as long as they promise nothing. */
  readonly leaseMs: number;
  readonly families: readonly {
    readonly family: Family;
    readonly used: number;
    /** Addresses that this host owns and may hand out, used or not. */
    readonly usable: number;
  }[];
}
