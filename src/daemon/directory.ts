// What gossip says, as plain values: every author's peer record, leases and attachments, decoded once and kept up to date.
// It tells the parts that need it what changed (routes, leases, tunnels, dialler) and knows nothing of how they use it.
// Records that do not decode are from newer versions or broken: they are counted and ignored.

import { equalBytes } from '../base/bytes.ts';
import type { PeerId, Vni } from '../base/ids.ts';
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
import { decodeNetwork, decodeNetworkRemoval, isNetworkKey, isNetworkRemovalKey } from '../gossip/network-records.ts';
import {
  ATTACHMENT_PREFIX,
  CERTIFICATE_KEY,
  decodeAttachment,
  decodeLease,
  decodeName,
  decodePeer,
  decodeRemoval,
  isRemovalKey,
  LEASE_PREFIX,
  NAME_PREFIX,
  PEER_KEY,
  parseVoteKey,
  VOTE_PREFIX,
} from '../gossip/record-codec.ts';
import { decodeRotation, decodeSeals, isTokenKey, ROTATION_PREFIX } from '../gossip/token-records.ts';

export interface DirectoryEvents {
  /** `before` is null for a host that is new or was gone. */
  peerChanged(author: PeerId, before: PeerRecord | null): void;
  peerGone(author: PeerId, before: PeerRecord): void;
  leaseAdded(author: PeerId, record: LeaseRecord): void;
  leaseGone(author: PeerId, record: LeaseRecord): void;
  attachmentAdded(author: PeerId, record: AttachmentRecord): void;
  attachmentGone(author: PeerId, record: AttachmentRecord): void;
  nameAdded(author: PeerId, record: NameRecord): void;
  nameGone(author: PeerId, record: NameRecord): void;
  /** Something for the voting about leases; repeats happen, and what is withdrawn stays said. */
  voted(author: PeerId, vote: { readonly network: Vni; readonly entry: string; readonly value: Uint8Array }): void;
  /** A network was made at host `author`, or removed there; repeats happen. */
  networkMade(author: PeerId, record: NetworkRecord): void;
  networkRemoved(author: PeerId, network: Vni): void;
  /** An operator at host `author` removed a host. Repeats happen; {@link Directory.ban} is for the receiver to call. */
  removed(author: PeerId, record: RemovalRecord): void;
  /** A token took another's place at host `author`, or it gives one to members; repeats happen. */
  rotated(author: PeerId, record: RotationRecord): void;
  sealed(author: PeerId, record: SealsRecord): void;
  /** What it shows of an operator's certificate (src/base/attestation.ts), whatever became of it; null: nothing any more. */
  certified(author: PeerId, attestation: Uint8Array | null): void;
}

interface Author {
  peer: PeerRecord | null;
  readonly leases: Map<string, LeaseRecord>;
  readonly attachments: Map<string, AttachmentRecord>;
  readonly names: Map<string, NameRecord>;
}

/** How records of one kind are read, and who is told of them. */
interface RecordKind<T> {
  decode(key: string, value: Uint8Array): T | null;
  added(author: PeerId, record: T): void;
  gone(author: PeerId, record: T): void;
}

export class Directory {
  readonly #identityKeyMatches: (author: PeerId, identityKey: Uint8Array) => boolean;
  readonly #events: DirectoryEvents;
  readonly #authors = new Map<PeerId, Author>();
  /** Keys of every host ever seen: lease chains need those of hosts that are gone. */
  readonly #identityKeys = new Map<PeerId, Uint8Array>();
  readonly #leaseKind: RecordKind<LeaseRecord>;
  readonly #attachmentKind: RecordKind<AttachmentRecord>;
  readonly #nameKind: RecordKind<NameRecord>;
  /** Hosts of which nothing is believed any more but the leases that they gave. */
  readonly #banned = new Set<PeerId>();
  undecodable = 0;

  constructor(identityKeyMatches: (author: PeerId, identityKey: Uint8Array) => boolean, events: DirectoryEvents) {
    this.#identityKeyMatches = identityKeyMatches;
    this.#events = events;
    this.#leaseKind = {
      decode: decodeLease,
      added: (author, record) => events.leaseAdded(author, record),
      gone: (author, record) => events.leaseGone(author, record),
    };
    this.#attachmentKind = {
      decode: decodeAttachment,
      added: (author, record) => events.attachmentAdded(author, record),
      gone: (author, record) => events.attachmentGone(author, record),
    };
    this.#nameKind = {
      decode: decodeName,
      added: (author, record) => events.nameAdded(author, record),
      gone: (author, record) => events.nameGone(author, record),
    };
  }

  /** All that gossip holds, as after a restart, but removals and tokens: for {@link loadRemovals} and {@link loadTokens}. */
  load(gossip: Pick<Gossip, 'authors' | 'entries'>): void {
    this.#load(gossip, (key) => !isRemovalKey(key) && !isTokenKey(key));
  }

  /** Apart from all else, because what a removed host owned goes on by what its leases say. */
  loadRemovals(gossip: Pick<Gossip, 'authors' | 'entries'>): void {
    this.#load(gossip, isRemovalKey);
  }

  /** Last of all, because a revoked host's tokens do not count. */
  loadTokens(gossip: Pick<Gossip, 'authors' | 'entries'>): void {
    this.#load(gossip, isTokenKey);
  }

  #load(gossip: Pick<Gossip, 'authors' | 'entries'>, isWanted: (key: string) => boolean): void {
    for (const author of gossip.authors()) {
      const entries = gossip.entries(author).map(([key, value]) => ({ key, value }));
      this.apply(
        author,
        entries.filter(({ key }) => isWanted(key)),
      );
    }
  }

  /** Changes of one author's map, in the order in which gossip reports them. */
  apply(author: PeerId, changes: Iterable<{ readonly key: string; readonly value: Uint8Array | null }>): void {
    const entry = this.#authors.get(author) ?? newAuthor();
    this.#authors.set(author, entry);
    for (const { key, value } of changes) {
      if (key === PEER_KEY) this.#applyPeer(author, entry, value);
      else if (key.startsWith(LEASE_PREFIX)) this.#applyRecord(author, entry.leases, this.#leaseKind, key, value);
      else if (isRemovalKey(key)) this.#applyRemoval(author, key, value);
      else if (key.startsWith(VOTE_PREFIX)) this.#applyVote(author, key, value);
      else if (isTokenKey(key)) this.#applyToken(author, key, value);
      else if (isNetworkKey(key)) this.#applyNetwork(author, key, value);
      else if (key === CERTIFICATE_KEY) this.#events.certified(author, value);
      else if (this.#banned.has(author)) continue;
      else if (key.startsWith(ATTACHMENT_PREFIX)) {
        this.#applyRecord(author, entry.attachments, this.#attachmentKind, key, value);
      } else if (key.startsWith(NAME_PREFIX)) this.#applyRecord(author, entry.names, this.#nameKind, key, value);
    }
    const { peer, leases, attachments, names } = entry;
    if (peer === null && leases.size + attachments.size + names.size === 0) this.#authors.delete(author);
  }

  /** From now on this author has no peer record, no attachments and no names, whatever it says; for ever. */
  ban(author: PeerId): void {
    if (this.#banned.has(author)) return;
    this.#banned.add(author);
    const entry = this.#authors.get(author);
    if (entry === undefined) return;
    const { peer } = entry;
    const attachments = [...entry.attachments.values()];
    const names = [...entry.names.values()];
    entry.peer = null;
    entry.attachments.clear();
    entry.names.clear();
    if (entry.leases.size === 0) this.#authors.delete(author);
    for (const record of attachments) this.#events.attachmentGone(author, record);
    for (const record of names) this.#events.nameGone(author, record);
    if (peer !== null) this.#events.peerGone(author, peer);
  }

  peer(author: PeerId): PeerRecord | null {
    return this.#authors.get(author)?.peer ?? null;
  }

  /** As people know that host: its nickname, or its id when it has not said one. */
  nameOf(peer: PeerId): string {
    return this.peer(peer)?.nickname ?? peer;
  }

  /** Every host that says who it is. */
  peers(): readonly (readonly [PeerId, PeerRecord])[] {
    const known: [PeerId, PeerRecord][] = [];
    for (const [author, { peer }] of this.#authors) if (peer !== null) known.push([author, peer]);
    return known;
  }

  /** Of one network, all that hosts ever said, also those that are gone. */
  leasesOf(network: Vni): readonly (readonly [PeerId, LeaseRecord])[] {
    return this.#ofNetwork(network, ({ leases }) => leases);
  }

  attachmentsOf(network: Vni): readonly (readonly [PeerId, AttachmentRecord])[] {
    return this.#ofNetwork(network, ({ attachments }) => attachments);
  }

  attachments(author: PeerId): readonly AttachmentRecord[] {
    return [...(this.#authors.get(author)?.attachments.values() ?? [])];
  }

  /** What that host's operator added, oldest first. */
  names(author: PeerId): readonly NameRecord[] {
    return [...(this.#authors.get(author)?.names.values() ?? [])];
  }

  identityKeyOf(author: PeerId): Uint8Array | null {
    return this.#identityKeys.get(author) ?? null;
  }

  learnIdentityKey(author: PeerId, identityKey: Uint8Array): void {
    this.#identityKeys.set(author, identityKey);
  }

  #ofNetwork<T extends { readonly network: Vni }>(
    network: Vni,
    tableOf: (author: Author) => ReadonlyMap<string, T>,
  ): readonly (readonly [PeerId, T])[] {
    const found: [PeerId, T][] = [];
    for (const [peer, author] of this.#authors) {
      for (const record of tableOf(author).values()) if (record.network === network) found.push([peer, record]);
    }
    return found;
  }

  #applyPeer(author: PeerId, entry: Author, value: Uint8Array | null): void {
    const record = value === null ? null : decodePeer(value);
    if (record === null) {
      if (value !== null) this.undecodable++;
      const before = entry.peer;
      if (before !== null) this.#events.peerGone(author, before);
      entry.peer = null;
      return;
    }
    if (!this.#identityKeyMatches(author, record.identityKey)) {
      this.undecodable++;
      return;
    }
    const known = this.#identityKeys.get(author);
    if (known === undefined || !equalBytes(known, record.identityKey))
      this.learnIdentityKey(author, record.identityKey);
    if (this.#banned.has(author)) return;
    const before = entry.peer;
    entry.peer = record;
    this.#events.peerChanged(author, before);
  }

  #applyRecord<T>(author: PeerId, table: Map<string, T>, kind: RecordKind<T>, key: string, value: Uint8Array | null) {
    const before = table.get(key);
    const record = value === null ? null : kind.decode(key, value);
    if (value !== null && record === null) this.undecodable++;
    if (record === null) {
      table.delete(key);
      if (before !== undefined) kind.gone(author, before);
      return;
    }
    table.set(key, record);
    kind.added(author, record);
  }

  #applyVote(author: PeerId, key: string, value: Uint8Array | null): void {
    const name = parseVoteKey(key);
    if (name === null) this.undecodable++;
    else if (value !== null) this.#events.voted(author, { ...name, value });
  }

  /** Nothing of it is withdrawn: others' containers live in a network, whatever becomes of the host where it was made. */
  #applyNetwork(author: PeerId, key: string, value: Uint8Array | null): void {
    if (value === null) return;
    const removal = isNetworkRemovalKey(key) ? decodeNetworkRemoval(key, value) : null;
    const record = isNetworkRemovalKey(key) ? null : decodeNetwork(key, value);
    if (removal !== null) this.#events.networkRemoved(author, removal);
    else if (record !== null) this.#events.networkMade(author, record);
    else this.undecodable++;
  }

  /** Who withdraws it cleans up: a token that was learned stays learned. */
  #applyToken(author: PeerId, key: string, value: Uint8Array | null): void {
    if (value === null) return;
    const rotation = key.startsWith(ROTATION_PREFIX) ? decodeRotation(key, value) : null;
    const seals = key.startsWith(ROTATION_PREFIX) ? null : decodeSeals(key, value);
    if (rotation !== null) this.#events.rotated(author, rotation);
    else if (seals !== null) this.#events.sealed(author, seals);
    else this.undecodable++;
  }

  /** What is said once stays said: a removal is not withdrawn. */
  #applyRemoval(author: PeerId, key: string, value: Uint8Array | null): void {
    const record = value === null ? null : decodeRemoval(key, value);
    if (record !== null) this.#events.removed(author, record);
    else if (value !== null) this.undecodable++;
  }
}

function newAuthor(): Author {
  return { peer: null, leases: new Map(), attachments: new Map(), names: new Map() };
}
