// Crypto for long simulations: signatures, Diffie-Hellman, and what a handshake seals with, of the right algebra and lengths, without
// security and at a fraction of the cost; hashes and the rest are real. As hard to forge as tests need.

import { concatBytes, equalBytes } from '../../src/base/bytes.ts';
import type { Crypto } from '../../src/base/capabilities.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';

/** A keyed checksum in the place of Ed25519. */
export const quickSignatures: Crypto = {
  ...nodeCrypto,
  ed25519Public: (seed) => nodeCrypto.sha256(seed),
  ed25519Sign: (seed, message) => quickSignature(nodeCrypto.sha256(seed), message),
  ed25519Signer: (seed) => {
    const key = nodeCrypto.sha256(seed);
    return (message) => quickSignature(key, message);
  },
  ed25519Verify: (key, message, signature) => equalBytes(signature, quickSignature(key, message)),
};

/** A commutative toy group (powers of 5 modulo 2^31 - 1) in the place of X25519. */
export const toyCrypto: Crypto = {
  ...nodeCrypto,
  x25519Key: (key) => {
    const scalar = toyScalar(key);
    return {
      publicKey: toyPoint(modPow(5n, scalar)),
      agree: (point) => {
        const base = new DataView(point.buffer, point.byteOffset).getUint32(0);
        return base === 0 ? null : toyPoint(modPow(BigInt(base), scalar));
      },
    };
  },
};

/** Both; a hash in the place of HMAC-BLAKE2s; AEAD that only authenticates: the text stands in the open. */
export const quickCrypto: Crypto = {
  ...quickSignatures,
  x25519Key: toyCrypto.x25519Key,
  hmacBlake2s: (key, ...parts) => nodeCrypto.blake2s(key, ...parts),
  aeadSeal: (_cipher, key, nonce, aad, plain) => concatBytes(plain, openTag(key, nonce, aad, plain)),
  aeadOpen(_cipher, key, nonce, aad, sealed) {
    if (sealed.length < TAG_BYTES) return null;
    const plain = sealed.slice(0, -TAG_BYTES);
    return equalBytes(openTag(key, nonce, aad, plain), sealed.subarray(-TAG_BYTES)) ? plain : null;
  },
};

const TAG_BYTES = 16;

function openTag(...parts: readonly Uint8Array[]): Uint8Array {
  return nodeCrypto.sha256(...parts).subarray(0, TAG_BYTES);
}

const TOY_PRIME = 2n ** 31n - 1n;

const SIGNATURE_BYTES = 64;

/** 64 bits of FNV-1a over the key and the message, eight times. */
function quickSignature(key: Uint8Array, message: Uint8Array): Uint8Array {
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (const part of [key, message]) {
    for (const byte of part) {
      low = Math.imul(low ^ byte, 0x01000193);
      high = Math.imul(high ^ low ^ byte, 0x85ebca6b);
    }
  }
  const signature = new Uint8Array(SIGNATURE_BYTES);
  const view = new DataView(signature.buffer);
  for (let at = 0; at < SIGNATURE_BYTES; at += 8) {
    view.setInt32(at, low);
    view.setInt32(at + 4, high);
  }
  return signature;
}

function toyScalar(key: Uint8Array): bigint {
  return BigInt(new DataView(key.buffer, key.byteOffset).getUint32(0) >>> 1) + 1n;
}

function toyPoint(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, Number(value));
  return bytes;
}

function modPow(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % TOY_PRIME;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % TOY_PRIME;
    square = (square * square) % TOY_PRIME;
  }
  return result;
}
