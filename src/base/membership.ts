// The compact proof that a host belongs to the cluster. It travels in the first message of a tunnel's handshake, so that the
// responder needs no gossip: the cluster's CA vouches for the identity key, the identity vouches for the static key.
// Invariant: verify() returns a peer only if both signatures hold for this cluster and an accepted generation.
//
//   version 1 | kind 1 | generation 4 | identity key 32 | static key 32 | CA signature 64 | identity signature 64   (198 bytes)
//
// Both signatures cover the cluster id, which itself stays off the wire. A verifier that does not know a kind refuses it.
// Operators' certificates are too large for a datagram: hosts know them by record (ADR 29).

import { ByteReader, ByteWriter, fromHex, toHex, utf8 } from './bytes.ts';
import type { Crypto } from './capabilities.ts';
import { type ClusterId, PEER_ID_BYTES, type PeerId } from './ids.ts';

export interface Membership {
  readonly peer: PeerId;
  readonly generation: number;
  /** Ed25519 public key, 32 bytes. */
  readonly identityKey: Uint8Array;
  /** X25519 public key of the tunnels' Noise handshake, 32 bytes. */
  readonly staticKey: Uint8Array;
}

/** The public key of the cluster's CA in one generation of the token. Two are valid during a rotation's grace. */
export interface ClusterAuthority {
  readonly generation: number;
  /** Ed25519 public key, 32 bytes. */
  readonly caKey: Uint8Array;
}

export interface MembershipVerifier {
  readonly clusterId: ClusterId;
  readonly authorities: readonly ClusterAuthority[];
  readonly crypto: Crypto;
}

export interface MembershipSecrets {
  readonly clusterId: ClusterId;
  readonly generation: number;
  /** Ed25519 seed of the cluster's CA in that generation. */
  readonly caSeed: Uint8Array;
  /** Ed25519 seed of the host. */
  readonly identitySeed: Uint8Array;
  /** X25519 public key of the host. */
  readonly staticKey: Uint8Array;
}

const VERSION = 1;
const KIND_COMPACT = 1;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
export const COMPACT_MEMBERSHIP_BYTES = 6 + 2 * KEY_BYTES + 2 * SIGNATURE_BYTES;

/** A host's id: the first 16 bytes of SHA-256 over its Ed25519 public key. */
export function peerIdOf(identityKey: Uint8Array, crypto: Crypto): PeerId {
  return toHex(crypto.sha256(identityKey).subarray(0, PEER_ID_BYTES)) as PeerId;
}

export function issueMembership(secrets: MembershipSecrets, crypto: Crypto): Uint8Array {
  const { clusterId, generation, staticKey } = secrets;
  const identityKey = crypto.ed25519Public(secrets.identitySeed);
  const body = { clusterId, generation, identityKey };
  return new ByteWriter(COMPACT_MEMBERSHIP_BYTES)
    .u8(VERSION)
    .u8(KIND_COMPACT)
    .u32(generation)
    .bytes(identityKey)
    .bytes(staticKey)
    .bytes(crypto.ed25519Sign(secrets.caSeed, admissionBytes(body)))
    .bytes(crypto.ed25519Sign(secrets.identitySeed, bindingBytes({ ...body, staticKey })))
    .finish();
}

/** Null on anything that is not a credential of this cluster; never throws. The keys returned are copies. */
export function verifyMembership(credential: Uint8Array, verifier: MembershipVerifier): Membership | null {
  const { clusterId, crypto } = verifier;
  if (credential.length !== COMPACT_MEMBERSHIP_BYTES) return null;
  const reader = new ByteReader(credential);
  if (reader.u8() !== VERSION || reader.u8() !== KIND_COMPACT) return null;
  const generation = reader.u32();
  const identityKey = reader.bytes(KEY_BYTES).slice();
  const staticKey = reader.bytes(KEY_BYTES).slice();
  const caSignature = reader.bytes(SIGNATURE_BYTES);
  const identitySignature = reader.bytes(SIGNATURE_BYTES);
  const authority = verifier.authorities.find((candidate) => candidate.generation === generation);
  if (authority === undefined) return null;
  const body = { clusterId, generation, identityKey };
  if (!crypto.ed25519Verify(authority.caKey, admissionBytes(body), caSignature)) return null;
  if (!crypto.ed25519Verify(identityKey, bindingBytes({ ...body, staticKey }), identitySignature)) return null;
  return { peer: peerIdOf(identityKey, crypto), generation, identityKey, staticKey };
}

interface Admission {
  readonly clusterId: ClusterId;
  readonly generation: number;
  readonly identityKey: Uint8Array;
}

/** What the CA signs. */
function admissionBytes({ clusterId, generation, identityKey }: Admission): Uint8Array {
  return labelled('fabric1 membership: identity')
    .bytes(fromHex(clusterId)!)
    .u32(generation)
    .bytes(identityKey)
    .finish();
}

/** What the host signs. */
function bindingBytes(binding: Admission & { readonly staticKey: Uint8Array }): Uint8Array {
  return labelled('fabric1 membership: static key')
    .bytes(fromHex(binding.clusterId)!)
    .u32(binding.generation)
    .bytes(binding.identityKey)
    .bytes(binding.staticKey)
    .finish();
}

function labelled(label: string): ByteWriter {
  return new ByteWriter().bytes16(utf8(label));
}
