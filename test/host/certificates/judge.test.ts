// Which certificates hold, by openssl's own certificates; each reason to refuse one is told apart.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attestedBytes, decodeAttestation, encodeAttestation } from '../../../src/base/attestation.ts';
import type { ClusterId } from '../../../src/base/ids.ts';
import { type CertificateJudgement, judgeAttestation, signAttested } from '../../../src/host/certificates/judge.ts';
import { sharedDirectory, temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { type IssuedCertificate, OperatorCa } from '../../lab/operator-ca.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
const directory = sharedDirectory();
const ca = new OperatorCa(directory, 'ca');
const rsa = new OperatorCa(directory, 'rsa', { key: 'rsa2048' });
const clusterId = '0123456789abcdef0123456789abcdef' as ClusterId;
const identityKey = new Uint8Array(32).fill(7);
const [ed25519, p256] = [ca.issue('ed', { key: 'ed25519' }), ca.issue('ec')];
const ofRsa = rsa.issue('by-rsa');

function certificateOf(path: string): X509Certificate {
  return new X509Certificate(readFileSync(path));
}

/** As a host with that certificate and identity makes it. */
function attest({ cert, key }: IssuedCertificate, of = { clusterId, identityKey }): Uint8Array {
  const signature = signAttested(createPrivateKey(readFileSync(key)), attestedBytes(of.clusterId, of.identityKey));
  return encodeAttestation({ certificate: new Uint8Array(certificateOf(cert).raw), signature });
}

function judge(
  attestation: Uint8Array | null,
  { by = [ca], nowMs = NOW_MS }: { by?: readonly OperatorCa[]; nowMs?: number } = {},
): CertificateJudgement {
  const authorities = by.map(({ file }) => certificateOf(file));
  return judgeAttestation(attestation, { authorities, clusterId, identityKey, nowMs });
}

describe('a certificate holds', () => {
  test.each([
    ['of an Ed25519 key', ed25519, [ca], NOW_MS],
    ['of an ECDSA P-256 key', p256, [ca], NOW_MS],
    ['of an RSA CA', ofRsa, [rsa], NOW_MS],
    ['when another CA stands beside its own', ofRsa, [ca, rsa], NOW_MS],
    ['ten minutes after its end, because clocks differ', p256, [ca], NOW_MS + 30 * DAY_MS + 500_000],
    ['for a host whose clock stands before its beginning', p256, [ca], 0],
  ])('%s', (_, issued, by, nowMs) => {
    const judgement = judge(attest(issued), { by, nowMs });
    expect(judgement).toMatchObject({ holds: true, name: expect.stringMatching(/^O=example, CN=/) });
  });

  test('subject and alternative names are its name, and its key has an id', () => {
    const extensions = ['subjectAltName=DNS:web.example', 'extendedKeyUsage=serverAuth,clientAuth'];
    const [one, other] = [ca.issue('san', { extensions }), p256].map((issued) => judge(attest(issued)));
    expect(one).toMatchObject({ name: 'O=example, CN=san, DNS:web.example' });
    expect(one).not.toMatchObject({ keyId: other!.holds && other!.keyId });
  });
});

describe('TM35 a certificate does not hold', () => {
  const clientOnly = ca.issue('client', { extensions: ['extendedKeyUsage=clientAuth'] });
  test.each<[string, Uint8Array | null, RegExp, Parameters<typeof judge>[1]?]>([
    ['when there is none', null, /shows no operator-issued certificate/],
    ['when it is noise', Uint8Array.of(1, 0, 1, 9, 0, 1, 9), /not readable/],
    ['for another identity', attest(p256, { clusterId, identityKey: new Uint8Array(32) }), /another host's/],
    [
      'in another cluster',
      attest(p256, { clusterId: 'f'.repeat(32) as ClusterId, identityKey }),
      /does not vouch for this identity/,
    ],
    ['of another CA', attest(ofRsa), /none of the CAs of --ca has issued it; it names CN=rsa/],
    ['after its end', attest(p256), /it expired at .* the clock here says/, { nowMs: NOW_MS + 31 * DAY_MS }],
    ['of a CA itself', attest(ca.issue('sub', { extensions: ['basicConstraints=CA:TRUE'] })), /of a CA, not of a host/],
    ['of a P-384 key', attest(ca.issue('p384', { key: 'p384' })), /neither Ed25519 nor ECDSA P-256/],
    ['of an RSA key', attest(ca.issue('rsa-host', { key: 'rsa2048' })), /neither Ed25519 nor ECDSA P-256/],
    ['without a name', attest(ca.issue('nobody', { subject: '/' })), /names nobody/],
    ['for clients alone', attest(clientOnly), /does not allow both server and client/],
  ])('%s', (_, attestation, why, how) => {
    const judgement = judge(attestation, how);
    expect(judgement).toMatchObject({ holds: false, why: expect.stringMatching(why) });
    expect(judgement.holds || judgement.fix.length).toBeGreaterThan(10);
  });

  test('after the end of its CA', () => {
    const short = new OperatorCa(directory, 'short', { days: 2 });
    const attestation = attest(short.issue('long', { days: 30 }));
    expect(judge(attestation, { by: [short] }).holds).toBe(true);
    expect(judge(attestation, { by: [short], nowMs: NOW_MS + 3 * DAY_MS })).toMatchObject({
      why: expect.stringMatching(/^the CA that issued it expired/),
    });
  });

  test('when a CA has the name of the right one and another key', () => {
    const twin = new OperatorCa(temporaryDirectory(), 'ca');
    expect(judge(attest(p256), { by: [twin] })).toMatchObject({ holds: false });
  });

  test('with any bit changed', () => {
    const attestation = attest(ed25519);
    for (let bit = 0; bit < attestation.length * 8; bit += 11) {
      const forged = attestation.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect([bit, judge(forged).holds]).toEqual([bit, false]);
    }
  });

  test('fuzz: arbitrary bytes never throw, and are no attestation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 72 }), (certificate, signature) => {
        expect(judge(certificate).holds).toBe(false);
        expect(judge(encodeAttestation({ certificate, signature })).holds).toBe(false);
      }),
    );
  });
});

test('an attestation survives its encoding, and no part of it is one', () => {
  const bytes = attest(p256);
  const { certificate, signature } = decodeAttestation(bytes)!;
  expect(encodeAttestation({ certificate, signature })).toEqual(bytes);
  for (const wrong of [
    bytes.subarray(1),
    bytes.subarray(0, -1),
    new Uint8Array([...bytes, 0]),
    new Uint8Array(5_000),
  ]) {
    expect(decodeAttestation(wrong)).toBeNull();
  }
});
