// One author's replicated state: its packed map and the head that its identity key signed. One signature covers the whole
// map, because a million signatures cost two minutes and a hash costs nothing. States are immutable values: two hosts that
// hold the same (author, version) hold equal bytes, so a simulator may intern them. A PeerId is a hash of the identity
// key, so a full state proves by itself who wrote it.

import { ByteWriter, compareBytes, toHex, utf8 } from '../base/bytes.ts';
import type { Crypto } from '../base/capabilities.ts';
import { assert } from '../base/errors.ts';
import { type ClusterId, PEER_ID_BYTES, type PeerId } from '../base/ids.ts';
import type { MapShape } from './packed-map.ts';

export interface Head {
  readonly author: PeerId;
  /** One more at each batch of changes; 1 to 2^53 - 1. */
  readonly version: number;
  /** Deletions up to this version are forgotten: who is older than this needs the full map. */
  readonly floor: number;
  /** Ed25519 by the author over {@link headSigningBytes}. */
  readonly signature: Uint8Array;
}

export interface AuthorState extends Head {
  readonly identityKey: Uint8Array;
  /** Canonical (packed-map.ts); never modified. */
  readonly packed: Uint8Array;
  readonly shape: MapShape;
  /** First 8 bytes of the hash of all that is signed: tells apart even two states of one version (a cloned identity). */
  readonly fingerprint: Uint8Array;
}

export const FINGERPRINT_BYTES = 8;
export const SIGNATURE_BYTES = 64;
export const IDENTITY_KEY_BYTES = 32;
const HEAD_LABEL = utf8('fabric head v1\0');

/** The identity whose key this is (DESIGN.md, Identity). */
export function peerIdOf(crypto: Crypto, identityKey: Uint8Array): PeerId {
  return toHex(crypto.sha256(identityKey).subarray(0, PEER_ID_BYTES)) as PeerId;
}

/** `label | cluster 16 | author 16 | version 8 | floor 8 | SHA-256 of the packed map 32`: binds a map to one cluster. */
export function headSigningBytes(
  crypto: Crypto,
  clusterId: ClusterId,
  head: Omit<Head, 'signature'>,
  packed: Uint8Array,
): Uint8Array {
  return new ByteWriter(128)
    .bytes(HEAD_LABEL)
    .id(clusterId)
    .id(head.author)
    .u64(head.version)
    .u64(head.floor)
    .bytes(crypto.sha256(packed))
    .finishMessage();
}

/** A new state of our own, signed. */
export function signState(
  crypto: Crypto,
  clusterId: ClusterId,
  sign: (message: Uint8Array) => Uint8Array,
  unsigned: Omit<AuthorState, 'signature' | 'fingerprint'>,
): AuthorState {
  const message = headSigningBytes(crypto, clusterId, unsigned, unsigned.packed);
  const signature = sign(message);
  assert(signature.length === SIGNATURE_BYTES, 'an Ed25519 signature has 64 bytes');
  return { ...unsigned, signature, fingerprint: fingerprintOf(crypto, message) };
}

/** A received state, or null when the author did not sign exactly this. */
export function verifyState(
  crypto: Crypto,
  clusterId: ClusterId,
  unverified: Omit<AuthorState, 'fingerprint'>,
): AuthorState | null {
  const message = headSigningBytes(crypto, clusterId, unverified, unverified.packed);
  if (!crypto.ed25519Verify(unverified.identityKey, message, unverified.signature)) return null;
  return { ...unverified, fingerprint: fingerprintOf(crypto, message) };
}

/** The order in which states replace each other: by version, then by fingerprint, so that all hosts end with one. */
export function isNewer(
  a: Pick<AuthorState, 'version' | 'fingerprint'>,
  b: Pick<AuthorState, 'version' | 'fingerprint'> | undefined,
): boolean {
  if (b === undefined || a.version !== b.version) return b === undefined || a.version > b.version;
  return compareBytes(a.fingerprint, b.fingerprint) > 0;
}

function fingerprintOf(crypto: Crypto, signedBytes: Uint8Array): Uint8Array {
  return crypto.sha256(signedBytes).slice(0, FINGERPRINT_BYTES);
}
