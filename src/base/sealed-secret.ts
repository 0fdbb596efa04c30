// A token's secret for one member's eyes: sealed to its static key, so that it may travel in a record that everybody reads. One
// ephemeral key pair serves all seals of a record (RFC 9180 in its simplest shape: X25519, HKDF-SHA256, ChaCha20-Poly1305).
// Invariant: a seal opens for exactly one member, one cluster and one token id, and what opens has that id.

import { concatBytes, fromHex } from './bytes.ts';
import type { Crypto, X25519Key } from './capabilities.ts';
import type { ClusterId, PeerId, TokenId } from './ids.ts';
import { type Token, tokenIdOf } from './token.ts';

export const SEALED_SECRET_BYTES = 48;
const KEY_BYTES = 32;
/** Each key seals once. */
const NONCE = new Uint8Array(12);

/** What a seal is bound to. */
export interface SealScope {
  readonly clusterId: ClusterId;
  readonly generation: number;
  readonly id: TokenId;
  readonly member: PeerId;
}

/** Null when the member's static key is of low order. `ephemeral` must be fresh for each record. */
export function sealSecret(
  token: Token,
  to: { readonly id: TokenId; readonly member: PeerId; readonly staticKey: Uint8Array },
  ephemeral: X25519Key,
  crypto: Crypto,
): Uint8Array | null {
  const { clusterId, generation, secret } = token;
  const { id, member, staticKey } = to;
  const scope = { clusterId, generation, id, member };
  const shared = ephemeral.agree(staticKey);
  if (shared === null) return null;
  const key = keyOf(shared, { ephemeralKey: ephemeral.publicKey, staticKey }, crypto);
  return crypto.aeadSeal('chacha20-poly1305', key, NONCE, bytesOf(scope), secret);
}

/** Null when it is not for this member, was changed, or holds another secret than its id says. */
export function openSecret(
  sealed: Uint8Array,
  scope: SealScope,
  keys: { readonly ephemeralKey: Uint8Array; readonly staticSecret: Uint8Array; readonly staticKey: Uint8Array },
  crypto: Crypto,
): Token | null {
  const shared = crypto.x25519Key(keys.staticSecret).agree(keys.ephemeralKey);
  if (shared === null) return null;
  const secret = crypto.aeadOpen('chacha20-poly1305', keyOf(shared, keys, crypto), NONCE, bytesOf(scope), sealed);
  if (secret?.length !== KEY_BYTES) return null;
  const token = { clusterId: scope.clusterId, generation: scope.generation, secret };
  return tokenIdOf(token, crypto) === scope.id ? token : null;
}

function keyOf(
  shared: Uint8Array,
  { ephemeralKey, staticKey }: { readonly ephemeralKey: Uint8Array; readonly staticKey: Uint8Array },
  crypto: Crypto,
): Uint8Array {
  const key = crypto.hkdfSha256(concatBytes(shared, ephemeralKey, staticKey), 'fabric1 sealed secret', KEY_BYTES);
  shared.fill(0);
  return key;
}

function bytesOf({ clusterId, generation, id, member }: SealScope): Uint8Array {
  const numbers = new Uint8Array(4);
  new DataView(numbers.buffer).setUint32(0, generation);
  return concatBytes(fromHex(clusterId)!, numbers, fromHex(id)!, fromHex(member)!);
}
