import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  COMPACT_MEMBERSHIP_BYTES,
  issueMembership,
  type MembershipVerifier,
  peerIdOf,
  verifyMembership,
} from '../../src/base/membership.ts';
import { deriveClusterKeys, generateToken } from '../../src/base/token.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(7);
const token = generateToken(random);
const { caSeed } = deriveClusterKeys(token, nodeCrypto);
const identitySeed = random.bytes(32);
const staticKey = nodeCrypto.x25519Key(random.bytes(32)).publicKey;
const secrets = { clusterId: token.clusterId, generation: 1, caSeed, identitySeed, staticKey };
const credential = issueMembership(secrets, nodeCrypto);
const verifier: MembershipVerifier = {
  clusterId: token.clusterId,
  authorities: [{ generation: 1, caKey: nodeCrypto.ed25519Public(caSeed) }],
  crypto: nodeCrypto,
};

describe('membership', () => {
  test('a credential names its peer, keys and generation', () => {
    const identityKey = nodeCrypto.ed25519Public(identitySeed);
    expect(credential).toHaveLength(COMPACT_MEMBERSHIP_BYTES);
    expect(verifyMembership(credential, verifier)).toEqual({
      peer: peerIdOf(identityKey, nodeCrypto),
      generation: 1,
      identityKey,
      staticKey,
    });
  });

  test('every flipped bit is refused', () => {
    for (let bit = 0; bit < credential.length * 8; bit += 3) {
      const forged = credential.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyMembership(forged, verifier)).toBeNull();
    }
  });

  test.each([
    ['another cluster', { ...secrets, clusterId: generateToken(random).clusterId }],
    ['another secret', { ...secrets, caSeed: random.bytes(32) }],
    ['an unknown generation', { ...secrets, generation: 2 }],
  ])('a credential of %s is refused', (_, other) => {
    expect(verifyMembership(issueMembership(other, nodeCrypto), verifier)).toBeNull();
  });

  test('both generations are good during a rotation', () => {
    const newSeed = random.bytes(32);
    const grace = {
      ...verifier,
      authorities: [...verifier.authorities, { generation: 2, caKey: nodeCrypto.ed25519Public(newSeed) }],
    };
    const renewed = issueMembership({ ...secrets, generation: 2, caSeed: newSeed }, nodeCrypto);
    expect(verifyMembership(credential, grace)?.generation).toBe(1);
    expect(verifyMembership(renewed, grace)?.generation).toBe(2);
  });

  test("a static key can't be exchanged by someone who knows the token but not the identity", () => {
    const thief = issueMembership(
      { ...secrets, staticKey: random.bytes(32), identitySeed: random.bytes(32) },
      nodeCrypto,
    );
    const mixed = credential.slice();
    mixed.set(thief.subarray(38, 70), 38);
    expect(verifyMembership(mixed, verifier)).toBeNull();
  });

  test('fuzz: arbitrary bytes are refused without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 260 }), (bytes) => verifyMembership(bytes, verifier) === null),
      { numRuns: 300 },
    );
  });
});
