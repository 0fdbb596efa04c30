// What this host publishes: one place that turns leases, attachments and the peer record into entries of our gossip map and
// writes only differences. Every write is durable (gossip's own promise) before anybody else can see it.

import { equalBytes } from '../base/bytes.ts';
import type { BootId, PeerId, Vni } from '../base/ids.ts';
import type { NatFacts } from '../base/nat-facts.ts';
import type {
  AttachmentRecord,
  LeaseRecord,
  NameRecord,
  NetworkRecord,
  PeerRecord,
  RemovalRecord,
  RotationRecord,
  SealsRecord,
} from '../base/records.ts';
import type { Gossip } from '../gossip/gossip.ts';
import {
  BESIDE_PREFIX,
  besideKey,
  decodeReplacedBoot,
  encodeReplacedBoot,
  LIFE_KEY,
  nextLife,
  parseBesideKey,
  REPLACED_BOOT_KEY,
} from '../gossip/life-records.ts';
import {
  encodeNetwork,
  encodeNetworkRemoval,
  isNetworkKey,
  networkKey,
  networkRemovalKey,
} from '../gossip/network-records.ts';
import {
  ATTACHMENT_PREFIX,
  attachmentKey,
  CERTIFICATE_KEY,
  decodeName,
  decodePeer,
  encodeAttachment,
  encodeLease,
  encodeName,
  encodePeer,
  encodeRemoval,
  isRemovalKey,
  LEASE_PREFIX,
  leaseKey,
  NAME_PREFIX,
  nameKey,
  PEER_KEY,
  removalKey,
  VOTE_PREFIX,
  voteKey,
} from '../gossip/record-codec.ts';
import {
  encodeRotation,
  encodeSeals,
  isTokenKey,
  ROTATION_PREFIX,
  rotationKey,
  SEALS_PREFIX,
  sealsKey,
} from '../gossip/token-records.ts';
import type { ClaimChange } from './claim-writer.ts';

const NOTHING = new Uint8Array(0);

/**
 * Entries that are said once by an operator or about a run, and that nothing here would say again: where our map turns out to have two
 * histories (an old copy of our state, a clone), they go on in the one that goes on.
 */
export function staysSaid(key: string): boolean {
  const isPlain = key === CERTIFICATE_KEY || key.startsWith(NAME_PREFIX) || key.startsWith(BESIDE_PREFIX);
  return isPlain || isRemovalKey(key) || isNetworkKey(key) || isTokenKey(key);
}

export interface OwnRecordsEvents {
  /** After each change: gossip has something to send. */
  wrote(): void;
  /** A change was not written, which the caller is told: what this host knows and what it publishes may differ. */
  failed(): void;
}

export class OwnRecords {
  readonly #gossip: Gossip;
  readonly #self: PeerId;
  readonly #events: OwnRecordsEvents;

  constructor(gossip: Gossip, self: PeerId, events: OwnRecordsEvents) {
    this.#gossip = gossip;
    this.#self = self;
    this.#events = events;
  }

  /** With the run whose record this one replaces, if it is another one. */
  publishPeer(record: PeerRecord): void {
    const changes = new Map([[PEER_KEY, encodePeer(record)]]);
    const before = this.#bootId;
    if (before !== null && before !== record.bootId) changes.set(REPLACED_BOOT_KEY, encodeReplacedBoot(before));
    this.#write(changes);
  }

  /** What our record says of a NAT. */
  get publishedNat(): NatFacts | undefined {
    return this.#peer?.nat;
  }

  /**
   * The run that has published itself in the place of the run `self`, which is ours and so lives: two processes use our
   * identity. Null when our records say nothing like it.
   */
  cloneOf(self: BootId): BootId | null {
    const beside = this.#gossip.entries(this.#self, BESIDE_PREFIX).map(([key]) => parseBesideKey(key));
    const sibling = beside.find((pair) => pair?.other === self);
    if (sibling) return sibling.self;
    const other = this.#bootId;
    const replaced = this.#gossip.get(this.#self, REPLACED_BOOT_KEY);
    const isClone = other !== null && other !== self && replaced !== null && decodeReplacedBoot(replaced) === self;
    return isClone ? other : null;
  }

  /** The run `self`, which is ours, lives beside that one: it is told so, whichever of the two writes last. */
  publishBeside(self: BootId, other: BootId): void {
    this.#write(new Map([[besideKey({ self, other }), NOTHING]]));
  }

  /** What earlier runs said of others: nobody of them asks any more. */
  forgetBeside(): void {
    const said = this.#gossip.entries(this.#self, BESIDE_PREFIX);
    this.#write(new Map(said.map(([key]) => [key, null])));
  }

  /** The last change of a claim counts. */
  changeAttachments(changes: readonly ClaimChange[]): void {
    const entries = changes.map((change) => {
      if (change.kind === 'withdraw') return [attachmentKey(change.network, change.mac), null] as const;
      return [attachmentKey(change.record.network, change.record.mac), encodeAttachment(change.record)] as const;
    });
    this.#write(new Map(entries));
  }

  publishName(record: NameRecord): void {
    this.#write(new Map([[nameKey(record), encodeName(record)]]));
  }

  withdrawName(record: Pick<NameRecord, 'network' | 'name'>): void {
    this.#write(new Map([[nameKey(record), null]]));
  }

  /** What {@link publishName} has published. */
  names(): readonly NameRecord[] {
    const entries = this.#gossip.entries(this.#self, NAME_PREFIX);
    return entries.flatMap(([key, value]) => decodeName(key, value) ?? []);
  }

  /** A newer version that says nothing but that this host lives (src/gossip/rumours.ts). */
  refute(): void {
    const before = this.#gossip.get(this.#self, LIFE_KEY);
    this.#write(new Map([[LIFE_KEY, nextLife(before)]]));
  }

  /** Makes the lease part of our map equal to `records`. */
  replaceLeases(records: readonly LeaseRecord[]): void {
    this.#replace(LEASE_PREFIX, new Map(records.map((record) => [leaseKey(record), encodeLease(record)])));
  }

  /** Makes the voting part of our map, of one network, equal to `entries`. */
  replaceVotes(network: Vni, entries: ReadonlyMap<string, Uint8Array>): void {
    this.#replace(
      voteKey(network, ''),
      new Map([...entries].map(([entry, value]) => [voteKey(network, entry), value])),
    );
  }

  /** Makes the attachment part of our map equal to `records`. */
  replaceAttachments(records: readonly AttachmentRecord[]): void {
    const wanted = records.map(
      (record) => [attachmentKey(record.network, record.mac), encodeAttachment(record)] as const,
    );
    this.#replace(ATTACHMENT_PREFIX, new Map(wanted));
  }

  publishRemoval(record: RemovalRecord): void {
    this.#write(new Map([[removalKey(record.peer), encodeRemoval(record)]]));
  }

  /** A rotation, or further seals of one (null), as one version; what was said of generations before `since` goes. */
  publishToken(
    { rotation, seals }: { readonly rotation: RotationRecord | null; readonly seals: readonly SealsRecord[] },
    since: number,
  ): void {
    const changes = new Map<string, Uint8Array | null>();
    for (const prefix of [ROTATION_PREFIX, SEALS_PREFIX]) {
      for (const [key] of this.#gossip.entries(this.#self, prefix)) {
        if (Number(key.split('/')[1]) < since) changes.set(key, null);
      }
    }
    if (rotation !== null) changes.set(rotationKey(rotation), encodeRotation(rotation));
    for (const record of seals) changes.set(sealsKey(record), encodeSeals(record));
    this.#write(changes);
  }

  /** Null: this host shows no certificate. */
  publishAttestation(attestation: Uint8Array | null): void {
    this.#write(new Map([[CERTIFICATE_KEY, attestation]]));
  }

  publishNetwork(record: NetworkRecord): void {
    this.#write(new Map([[networkKey(record.network), encodeNetwork(record)]]));
  }

  publishNetworkRemoval(network: Vni): void {
    this.#write(new Map([[networkRemovalKey(network), encodeNetworkRemoval()]]));
  }

  /**
   * This host leaves for good: nothing of it remains but what proves to whom addresses went (leases, removals, and what voters decided:
   * the others name it as a voter for a while), the networks that were made here, and tokens that others may learn late.
   */
  withdrawAllButLeases(): void {
    const changes = new Map<string, null>();
    for (const [key] of this.#gossip.entries(this.#self)) {
      const proves = key.startsWith(LEASE_PREFIX) || key.startsWith(VOTE_PREFIX) || isRemovalKey(key);
      if (!proves && !isNetworkKey(key) && !isTokenKey(key)) changes.set(key, null);
    }
    this.#write(changes);
  }

  /** Of the run that wrote our peer record last. */
  get #bootId(): BootId | null {
    return this.#peer?.bootId ?? null;
  }

  get #peer(): PeerRecord | null {
    const record = this.#gossip.get(this.#self, PEER_KEY);
    return record === null ? null : decodePeer(record);
  }

  #replace(prefix: string, wanted: ReadonlyMap<string, Uint8Array>): void {
    const changes = new Map<string, Uint8Array | null>(wanted);
    for (const [key] of this.#gossip.entries(this.#self, prefix)) if (!wanted.has(key)) changes.set(key, null);
    this.#write(changes);
  }

  #write(changes: ReadonlyMap<string, Uint8Array | null>): void {
    const real = new Map([...changes].filter(([key, value]) => !this.#stands(key, value)));
    if (real.size === 0) return;
    try {
      this.#gossip.batch(real);
    } catch (error) {
      this.#events.failed();
      throw error;
    }
    this.#events.wrote();
  }

  #stands(key: string, value: Uint8Array | null): boolean {
    const now = this.#gossip.get(this.#self, key);
    return now === null || value === null ? now === value : equalBytes(now, value);
  }
}
