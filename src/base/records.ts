// What hosts tell each other by gossip: the plain values that gossip carries and that ipam, router and status read.
// Each record is authored by one host and signed as part of that host's map; receivers still check every claim.
// The encoding is src/gossip/record-codec.ts (protobuf, so that unknown fields of newer versions survive).

import type { Endpoint } from './endpoint.ts';
import type { BootId, ClusterId, GiftId, Mac, PeerId, TokenId, Vni } from './ids.ts';
import type { NatFacts } from './nat-facts.ts';

/** The facts that its creator fixes for a cluster's whole life, signed by the creator; every member keeps a copy. */
export interface Genesis {
  /** 16 random bytes as hex: two creations from one token differ here and refuse each other. */
  readonly genesisId: string;
  readonly clusterId: ClusterId;
  readonly creator: PeerId;
  /** The creator's Ed25519 public key, 32 bytes; hashes to `creator`. */
  readonly creatorKey: Uint8Array;
  /** CIDR text of the default network's IPv4 range, e.g. `10.32.0.0/12`. */
  readonly range: string;
  /** CIDR text of the default network's IPv6 range, or null with `--range6 off`. */
  readonly range6: string | null;
  /** Prefix length of one IPv4 lease block. */
  readonly leasePrefix: number;
  /** Prefix length of one IPv6 lease block (64, or longer in ranges smaller than a /48). */
  readonly leasePrefix6: number;
  /** Overlay MTU in bytes, the same on every container interface of the cluster. */
  readonly mtu: number;
  /** Ed25519 by `creatorKey` over the encoding of all the above. */
  readonly signature: Uint8Array;
}

/** Who a host is. One per author. */
export interface PeerRecord {
  readonly nickname: string;
  /** fabric's version, for people. */
  readonly version: string;
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly bootId: BootId;
  /** Ed25519 public key, 32 bytes; hashes to the author's PeerId. */
  readonly identityKey: Uint8Array;
  /** X25519 static key of the tunnels' Noise handshake, 32 bytes. */
  readonly staticKey: Uint8Array;
  /** Where mesh (TCP) and tunnels (UDP) are reached, best first. */
  readonly endpoints: readonly Endpoint[];
  /** Absent: it knows of no NAT. */
  readonly nat?: NatFacts;
  /** Networks in which this host has members: flood lists are made of it. */
  readonly networks: readonly Vni[];
}

/** A block of addresses and who owns it. The owner publishes what it owns, the donor what it gave. */
export interface LeaseRecord {
  readonly network: Vni;
  /** Canonical CIDR text. */
  readonly cidr: string;
  readonly owner: PeerId;
  /** One more at each gift; of two records covering one address the higher epoch is true. */
  readonly epoch: number;
  readonly giftId: GiftId;
  /** Who gave it; equal to `owner` only for the creator's first record (epoch 1). */
  readonly donor: PeerId;
  /** Ed25519 by the donor over the encoding of all the above. */
  readonly signature: Uint8Array;
}

/**
 * An operator's word, given at the author's host, that a host is gone for good: nobody lets it in again, and the author may take
 * over the addresses that it owned. It is never withdrawn. Keyed by the removed host.
 */
export interface RemovalRecord {
  readonly peer: PeerId;
  /** What people called it; may be empty. */
  readonly nickname: string;
  /** True: it may be in wrong hands, so that every token it may know has to go, too. */
  readonly revoked: boolean;
}

/** A token took the place of an older one at the author's host. Keyed by (generation, id). */
export interface RotationRecord {
  readonly generation: number;
  readonly id: TokenId;
  /** For how long the token before still lets in hosts that nobody knew, counted by each host from when it hears of it. */
  readonly graceMs: number;
  /** Revoked hosts that this token was kept from. */
  readonly excluded: readonly PeerId[];
}

/** A token's secret for members, sealed to each one's static key (sealed-secret.ts). Keyed by (generation, id, part). */
export interface SealsRecord {
  readonly generation: number;
  readonly id: TokenId;
  readonly part: number;
  /** X25519 public key of the sealing, 32 bytes. */
  readonly ephemeralKey: Uint8Array;
  readonly seals: readonly Seal[];
}

export interface Seal {
  readonly member: PeerId;
  readonly sealed: Uint8Array;
}

/**
 * A network beside the default one, as it was made at the author's host: it never changes and is never withdrawn. Keyed by its
 * id, which the author has from its lease of ids.
 */
export interface NetworkRecord {
  readonly network: Vni;
  /** What people call it; another network may have the same name (docs/networks.md). */
  readonly name: string;
  /** Canonical CIDR texts. */
  readonly range: string;
  readonly range6: string | null;
  readonly leasePrefix: number;
  readonly leasePrefix6: number;
  /** It has no gateway and no way to the outside or to hosts, so that its range may be another's, too. */
  readonly internal: boolean;
}

export type AttachmentKind = 'container' | 'host' | 'foreign';

/** A MAC on a host's bridge with its addresses. Keyed by (network, mac) within its author's map. */
export interface AttachmentRecord {
  readonly network: Vni;
  readonly mac: Mac;
  /** Addresses without prefix length, canonical text; IPv6 link-local included. */
  readonly ips: readonly string[];
  /** MAC mobility sequence number (RFC 7432 §15). */
  readonly sequence: number;
  /** The container's name, or empty. */
  readonly name: string;
  /** Further names; absent: none. */
  readonly aliases?: readonly string[];
  readonly kind: AttachmentKind;
}

/** A name that an operator gave to addresses, beside those of containers. Keyed by (network, name) within its author's map. */
export interface NameRecord {
  readonly network: Vni;
  /** Relative to the domain, lower case, without a trailing dot. */
  readonly name: string;
  readonly targets: readonly NameTarget[];
}

export interface NameTarget {
  /** Canonical text. */
  readonly ip: string;
  /** The claim that held the address when it was added: without it the name does not count. Null: nobody claimed it. */
  readonly mac: Mac | null;
}
