import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deriveGeneration } from '../../../src/base/keyring.ts';
import { deriveClusterKeys, generateToken, tokenIdOf } from '../../../src/base/token.ts';
import { generateHostKeys } from '../../../src/host/identity-file.ts';
import {
  certificatePem,
  makeCaCertificate,
  makeHostCertificate,
  privateKeyPem,
  verifyCertificate,
} from '../../../src/host/mesh/certificate.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const random = new SeededRandom(1);
const token = generateToken(random);
const { caSeed } = deriveClusterKeys(token, nodeCrypto);
const id = tokenIdOf(token, nodeCrypto);
const { identityKey, identitySeed, peer } = generateHostKeys(random, nodeCrypto);
const ca = makeCaCertificate(token, caSeed, nodeCrypto);
const host = makeHostCertificate(token, { caSeed, identityKey }, nodeCrypto);
const verifier = {
  clusterId: token.clusterId,
  authorities: [{ id, generation: 1, caKey: nodeCrypto.ed25519Public(caSeed) }],
  crypto: nodeCrypto,
};

describe('certificates', () => {
  test('OpenSSL reads them as meant', () => {
    const parsed = new X509Certificate(host);
    expect(new Date(parsed.validFrom)).toEqual(new Date(0));
    expect(parsed.validTo).toBe('Dec 31 23:59:59 9999 GMT');
    expect(parsed.subject).toBe(`O=${token.clusterId}\nCN=${peer}`);
    expect(parsed.ca).toBe(false);
    expect(new X509Certificate(ca).ca).toBe(true);
    expect(parsed.checkIssued(new X509Certificate(ca))).toBe(true);
    expect(privateKeyPem(identitySeed, identityKey)).toContain('BEGIN PRIVATE KEY');
  });

  test('an independent verifier accepts the chain, also centuries from now', () => {
    const directory = temporaryDirectory();
    const [caPath, hostPath] = ['ca.pem', 'host.pem'].map((name) => join(directory, name)) as [string, string];
    writeFileSync(caPath, certificatePem(ca));
    writeFileSync(hostPath, certificatePem(host));
    for (const attime of ['1', '1800000000', '99999999999']) {
      const flags = ['verify', '-attime', attime, '-CAfile', caPath, hostPath];
      const output = execFileSync('openssl', flags, { encoding: 'utf8' });
      expect(output).toContain('OK');
    }
  });

  test('are the same bytes whoever makes them', () => {
    expect(makeCaCertificate(token, caSeed, nodeCrypto)).toEqual(ca);
    expect(makeHostCertificate(token, { caSeed, identityKey }, nodeCrypto)).toEqual(host);
  });

  test('a good one names peer, key and generation', () => {
    expect(verifyCertificate(host, verifier)).toEqual({ peer, identityKey, generation: 1, id });
  });

  const other = generateToken(random);
  const otherSeed = random.bytes(32);
  test.each([
    [
      'another cluster',
      makeHostCertificate(other, { caSeed: otherSeed, identityKey }, nodeCrypto),
      { fault: 'other-cluster', clusterId: other.clusterId },
    ],
    [
      'another secret',
      makeHostCertificate(token, { caSeed: otherSeed, identityKey }, nodeCrypto),
      { fault: 'other-secret' },
    ],
    [
      'a later generation',
      makeHostCertificate({ ...token, generation: 2 }, { caSeed, identityKey }, nodeCrypto),
      { fault: 'other-generation', generation: 2, newest: 1 },
    ],
    ['the CA itself', ca, { fault: 'not-fabric' }],
    ['nothing', new Uint8Array(0), { fault: 'not-fabric' }],
  ])('%s is told apart', (_, raw, fault) => {
    expect(verifyCertificate(raw, verifier)).toEqual(fault);
  });

  test('two tokens of one generation, made on both sides of a partition, are told apart', () => {
    const twin = deriveGeneration({ ...token, secret: random.bytes(32) }, nodeCrypto);
    const both = { ...verifier, authorities: [twin, ...verifier.authorities] };
    const theirs = makeHostCertificate(token, { caSeed: twin.caSeed, identityKey }, nodeCrypto);
    expect(verifyCertificate(theirs, both)).toMatchObject({ peer, id: twin.id });
    expect(verifyCertificate(host, both)).toMatchObject({ peer, id });
  });

  test('a name that is not the hash of the key is refused even when our CA signed it', () => {
    const needle = Buffer.from(peer);
    const at = Buffer.from(host).indexOf(needle);
    const forged = Buffer.from(host);
    forged[at] = forged[at] === 0x30 ? 0x31 : 0x30;
    const length = forged.length - 64;
    const body = forged.subarray(4, length - 10);
    forged.set(nodeCrypto.ed25519Sign(caSeed, new Uint8Array(body)), length);
    expect(verifyCertificate(new Uint8Array(forged), verifier)).toEqual({ fault: 'name-forged' });
  });

  test('no flipped bit passes as a peer', () => {
    for (let bit = 0; bit < host.length * 8; bit += 7) {
      const forged = host.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyCertificate(forged, verifier)).toHaveProperty('fault');
    }
  });

  test('fuzz: arbitrary bytes never throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (raw) => 'fault' in verifyCertificate(raw, verifier)));
  });
});
