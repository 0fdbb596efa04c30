import { describe, expect, test } from 'vitest';
import { type ClusterAuthority, issueMembership, verifyMembership } from '../../src/base/membership.ts';
import { deriveClusterKeys, generateToken } from '../../src/base/token.ts';
import { VerifiedMemberships } from '../../src/base/verified-memberships.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { quickSignatures } from '../fakes/quick-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(11);
const token = generateToken(random);
const { clusterId } = token;
const { caSeed } = deriveClusterKeys(token, nodeCrypto);

function verifier({ crypto = nodeCrypto } = {}) {
  let verifications = 0;
  const counting: typeof nodeCrypto = {
    ...crypto,
    ed25519Verify: (...facts) => {
      verifications++;
      return crypto.ed25519Verify(...facts);
    },
  };
  const memberships = new VerifiedMemberships({ clusterId, crypto: counting });
  return { memberships, verifications: () => verifications };
}

function member({ crypto = nodeCrypto, by = caSeed } = {}): Uint8Array {
  const secrets = { clusterId, generation: 1, caSeed: by, identitySeed: random.bytes(32), staticKey: random.bytes(32) };
  return issueMembership(secrets, crypto);
}

function authority(crypto = nodeCrypto, by = caSeed): ClusterAuthority {
  return { generation: 1, caKey: crypto.ed25519Public(by) };
}

describe('verified memberships', () => {
  test('the second look at a credential verifies nothing and says the same', () => {
    const { memberships, verifications } = verifier();
    const by = authority();
    const credential = member();
    const expected = verifyMembership(credential, { clusterId, crypto: nodeCrypto, authorities: [by] });
    expect(memberships.verify(credential, by)).toEqual(expected);
    expect(memberships.verify(credential.slice(), by)).toEqual(expected);
    expect(verifications()).toBe(2);
  });

  test('every flipped bit of a remembered credential is refused', () => {
    const { memberships } = verifier();
    const by = authority();
    const credential = member();
    memberships.verify(credential, by);
    for (let bit = 0; bit < credential.length * 8; bit += 7) {
      const forged = credential.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(memberships.verify(forged, by)).toBeNull();
    }
  });

  test('what one authority vouched for, another has not', () => {
    const { memberships } = verifier();
    const credential = member();
    expect(memberships.verify(credential, authority())).not.toBeNull();
    expect(memberships.verify(credential, authority(nodeCrypto, random.bytes(32)))).toBeNull();
  });

  test('a refused credential is not remembered, and 1,024 are at most', () => {
    const { memberships, verifications } = verifier({ crypto: quickSignatures });
    const by = authority(quickSignatures);
    const stranger = member({ crypto: quickSignatures, by: random.bytes(32) });
    expect(memberships.verify(stranger, by)).toBeNull();
    expect(memberships.verify(stranger, by)).toBeNull();
    expect(verifications()).toBe(2);
    const members = Array.from({ length: 1_025 }, () => member({ crypto: quickSignatures }));
    for (const credential of members) memberships.verify(credential, by);
    const before = verifications();
    memberships.verify(members[1]!, by);
    expect(verifications()).toBe(before);
    memberships.verify(members[0]!, by);
    expect(verifications()).toBe(before + 2);
  });
});
