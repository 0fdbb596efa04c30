// The cluster's token: what an operator carries from the first host to every other one. Its text is
// `fabric1-` and 90 characters of base32 (RFC 4648, lower case, no padding) over 52 bytes and a 4-byte checksum:
//
//   cluster id 16 | generation 4 | secret 32 | first 4 bytes of SHA-256("fabric1-" | the 52 bytes before)
//
// CA key, tunnel PSK, mac1 key and id come from the secret by HKDF under separate labels, so that none reveals another.
// No error message here ever repeats any part of the text: it may end up in a log.

import { ByteReader, ByteWriter, fromHex, toHex, utf8 } from './bytes.ts';
import type { Crypto, Random } from './capabilities.ts';
import { FabricError } from './errors.ts';
import type { ClusterId, TokenId } from './ids.ts';

export interface Token {
  readonly clusterId: ClusterId;
  /** 1 for a new cluster, one more at each rotation. */
  readonly generation: number;
  /** 32 random bytes. */
  readonly secret: Uint8Array;
}

export interface ClusterKeys {
  /** Ed25519 seed of the cluster's certificate authority of this generation. */
  readonly caSeed: Uint8Array;
  /** The pre-shared key of Noise IKpsk2, 32 bytes. */
  readonly tunnelPsk: Uint8Array;
  /** Keys mac1 of tunnel handshakes, so that strangers get silence; 32 bytes. */
  readonly mac1Key: Uint8Array;
}

const TOKEN_ID_BYTES = 8;
const PREFIX = 'fabric1-';
const CLUSTER_ID_BYTES = 16;
const SECRET_BYTES = 32;
const PAYLOAD_BYTES = CLUSTER_ID_BYTES + 4 + SECRET_BYTES;
const CHECKSUM_BYTES = 4;
const BODY_CHARACTERS = Math.ceil(((PAYLOAD_BYTES + CHECKSUM_BYTES) * 8) / 5);
/** Longer input is refused unread: a wrong file given as --token-file. */
const TEXT_LENGTH_MAX = 4096;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const FIX = "Run 'fabric token' on a member of the cluster and paste its whole output";

/** The token of a new cluster. */
export function generateToken(random: Random): Token {
  const clusterId = toHex(random.bytes(CLUSTER_ID_BYTES)) as ClusterId;
  return { clusterId, generation: 1, secret: random.bytes(SECRET_BYTES) };
}

/** The token that follows in a rotation: one generation later, with a secret of its own. */
export function nextToken({ clusterId, generation }: Token, random: Random): Token {
  return { clusterId, generation: generation + 1, secret: random.bytes(SECRET_BYTES) };
}

export function formatToken(token: Token, crypto: Crypto): string {
  const payload = new ByteWriter(PAYLOAD_BYTES + CHECKSUM_BYTES)
    .bytes(fromHex(token.clusterId)!)
    .u32(token.generation)
    .bytes(token.secret)
    .finish();
  return PREFIX + toBase32(new ByteWriter().bytes(payload).bytes(checksum(payload, crypto)).finish());
}

/** Tolerates what copying does to text: white space anywhere, line breaks, upper case. Throws `token-malformed`. */
export function parseToken(text: string, crypto: Crypto): Token {
  if (text.length > TEXT_LENGTH_MAX) throw malformed(`it has ${text.length} characters`);
  const compact = text.replaceAll(/\s/g, '').toLowerCase();
  if (compact === '') throw malformed('it is empty');
  if (!compact.startsWith(PREFIX)) {
    const newer = /^fabric\d+-/.test(compact);
    throw malformed(newer ? 'it is of a version that this fabric does not know' : `it does not begin with ${PREFIX}`);
  }
  const body = compact.slice(PREFIX.length);
  if (body.length !== BODY_CHARACTERS) {
    const size = body.length < BODY_CHARACTERS ? 'short: a part is missing' : 'long';
    throw malformed(`it is too ${size} (${compact.length} characters instead of ${PREFIX.length + BODY_CHARACTERS})`);
  }
  const bytes = fromBase32(body);
  if (bytes === null) throw malformed('it holds a character that no token has');
  const payload = bytes.subarray(0, PAYLOAD_BYTES);
  if (!crypto.equal(checksum(payload, crypto), bytes.subarray(PAYLOAD_BYTES))) {
    throw malformed('its checksum is wrong: at least one character was changed');
  }
  const reader = new ByteReader(payload);
  const clusterId = toHex(reader.bytes(CLUSTER_ID_BYTES)) as ClusterId;
  return { clusterId, generation: reader.u32(), secret: reader.bytes(SECRET_BYTES).slice() };
}

export function deriveClusterKeys(token: Token, crypto: Crypto): ClusterKeys {
  const scope = `${token.clusterId} ${token.generation}`;
  return {
    caSeed: crypto.hkdfSha256(token.secret, `fabric1 certificate authority ${scope}`, 32),
    tunnelPsk: crypto.hkdfSha256(token.secret, `fabric1 tunnel psk ${scope}`, 32),
    mac1Key: crypto.hkdfSha256(token.secret, `fabric1 tunnel mac1 ${scope}`, 32),
  };
}

export function tokenIdOf({ clusterId, generation, secret }: Token, crypto: Crypto): TokenId {
  return toHex(crypto.hkdfSha256(secret, `fabric1 token id ${clusterId} ${generation}`, TOKEN_ID_BYTES)) as TokenId;
}

function malformed(why: string): FabricError {
  return new FabricError('token-malformed', { what: 'the token is malformed', why, fix: FIX });
}

function checksum(payload: Uint8Array, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8(PREFIX), payload).subarray(0, CHECKSUM_BYTES);
}

function toBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
}

/** Null on a foreign character or on padding bits that are not zero (each token has exactly one text). */
function fromBase32(text: string): Uint8Array | null {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let length = 0;
  let bits = 0;
  let value = 0;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return null;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[length++] = (value >> bits) & 0xff;
  }
  return (value & ((1 << bits) - 1)) === 0 ? bytes : null;
}
