import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openSecret, SEALED_SECRET_BYTES, sealSecret } from '../../src/base/sealed-secret.ts';
import { generateToken, tokenIdOf } from '../../src/base/token.ts';
import { generateHostKeys } from '../../src/host/identity-file.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(1);
const token = generateToken(random);
const id = tokenIdOf(token, nodeCrypto);
const [member, other] = [generateHostKeys(random, nodeCrypto), generateHostKeys(random, nodeCrypto)];
const ephemeral = nodeCrypto.x25519Key(random.bytes(32));
const ephemeralKey = ephemeral.publicKey;
const to = { id, member: member.peer, staticKey: member.staticKey };
const sealed = sealSecret(token, to, ephemeral, nodeCrypto)!;
const scope = { clusterId: token.clusterId, generation: 1, id, member: member.peer };

test('opens for the member it is for', () => {
  expect(sealed).toHaveLength(SEALED_SECRET_BYTES);
  expect(openSecret(sealed, scope, { ephemeralKey, ...member }, nodeCrypto)).toEqual(token);
});

test.each([
  ['another member', scope, other],
  ['another cluster', { ...scope, clusterId: generateToken(random).clusterId }, member],
  ['another generation', { ...scope, generation: 2 }, member],
  ['another id', { ...scope, id: tokenIdOf({ ...token, generation: 2 }, nodeCrypto) }, member],
])('stays shut for %s', (_who, changed, keys) => {
  expect(openSecret(sealed, changed, { ephemeralKey, ...keys }, nodeCrypto)).toBeNull();
});

test('a member that seals another secret under the id is found out', () => {
  const forged = sealSecret({ ...token, secret: random.bytes(32) }, to, ephemeral, nodeCrypto)!;
  expect(openSecret(forged, scope, { ephemeralKey, ...member }, nodeCrypto)).toBeNull();
});

test('a static key of low order gets nothing, and gives nothing away', () => {
  const lowOrder = new Uint8Array(32);
  expect(sealSecret(token, { ...to, staticKey: lowOrder }, ephemeral, nodeCrypto)).toBeNull();
  expect(openSecret(sealed, scope, { ...member, ephemeralKey: lowOrder }, nodeCrypto)).toBeNull();
});

test('fuzz: no other bytes open, and none throw', () => {
  const keys = { ephemeralKey, ...member };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => openSecret(bytes, scope, keys, nodeCrypto) === null),
  );
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = sealed.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(openSecret(changed, scope, keys, nodeCrypto)).toBeNull();
  }
});
