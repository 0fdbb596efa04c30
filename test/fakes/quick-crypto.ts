// Crypto for long simulations: signatures and Diffie-Hellman with the right algebra, no security and a fraction of the cost;
// hashes, AEAD and the rest are real. As hard to forge as tests need.

import { concatBytes, equalBytes } from '../../src/base/bytes.ts';
import type { Crypto } from '../../src/base/capabilities.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';

/** Signatures of a hash in the place of Ed25519. */
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

/** Both. */
export const quickCrypto: Crypto = {
  ...quickSignatures,
  x25519Key: toyCrypto.x25519Key,
};

const TOY_PRIME = 2n ** 31n - 1n;

function quickSignature(key: Uint8Array, message: Uint8Array): Uint8Array {
  return concatBytes(nodeCrypto.sha256(key, message), nodeCrypto.sha256(message, key));
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
