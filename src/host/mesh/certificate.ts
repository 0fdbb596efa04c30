// The certificates of the mesh: one CA per token generation and one certificate per host, Ed25519, X.509 v3 (RFC 5280, RFC
// 8410). They are written as DER by hand: the form is fixed, and the library for it costs 21 MB and 120 ms at import.
// Each is a pure function of the keys, so that every member makes the very same CA and nothing needs storing. They are
// valid from 1970 to 9999 and verification never looks at a clock: hosts whose clocks are years off still meet.
//
//   CA    issuer = subject: O = cluster id, CN = `fabric CA <generation>`
//   host  subject: O = cluster id, CN = peer id (hash of the certificate's own public key)

import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { concatBytes, utf8 } from '../../base/bytes.ts';
import type { Crypto } from '../../base/capabilities.ts';
import { type ClusterId, type PeerId, parseClusterId, type TokenId } from '../../base/ids.ts';
import { type ClusterAuthority, peerIdOf } from '../../base/membership.ts';

export interface CertificateScope {
  readonly clusterId: ClusterId;
  readonly generation: number;
}

/** The CA of one token. */
export interface CertificateAuthority extends ClusterAuthority {
  readonly id: TokenId;
}

/** What the verifier found in a certificate that holds. */
export interface CertifiedPeer {
  readonly peer: PeerId;
  readonly identityKey: Uint8Array;
  /** Of the token that the certificate was made of, and which of that generation it is. */
  readonly generation: number;
  readonly id: TokenId;
}

/** Why a certificate does not hold. */
export type CertificateFault =
  | { readonly fault: 'not-fabric' }
  | { readonly fault: 'other-cluster'; readonly clusterId: ClusterId }
  | { readonly fault: 'other-generation'; readonly generation: number; readonly newest: number }
  /** Our cluster and generation by name, yet not signed by our CA: made of another secret. */
  | { readonly fault: 'other-secret' }
  /** Signed by our CA, but its name is not the hash of its key. */
  | { readonly fault: 'name-forged' };

const TAG = { integer: 0x02, bitString: 0x03, octetString: 0x04, oid: 0x06, utf8: 0x0c, sequence: 0x30, set: 0x31 };
const TAG_BOOLEAN = 0x01;
const TAG_UTC_TIME = 0x17;
const TAG_GENERALIZED_TIME = 0x18;
/** 1.3.101.112 */
const ED25519 = der(TAG.sequence, der(TAG.oid, Uint8Array.of(0x2b, 0x65, 0x70)));
/** RFC 5280 §4.1.2.5: years before 2050 as UTCTime, later ones as GeneralizedTime. */
const VALIDITY = der(
  TAG.sequence,
  der(TAG_UTC_TIME, utf8('700101000000Z')),
  der(TAG_GENERALIZED_TIME, utf8('99991231235959Z')),
);
const TRUE = der(TAG_BOOLEAN, Uint8Array.of(0xff));
const CA_NAME = /^O=([0-9a-f]{32})\nCN=fabric CA (\d{1,10})$/;
const HOST_NAME = /^O=[0-9a-f]{32}\nCN=([0-9a-f]{32})$/;

/** DER of the CA's own certificate. */
export function makeCaCertificate(scope: CertificateScope, caSeed: Uint8Array, crypto: Crypto): Uint8Array {
  const name = caName(scope);
  const publicKey = crypto.ed25519Public(caSeed);
  const extensions = [
    extension([0x1d, 0x13], der(TAG.sequence, TRUE)), // basicConstraints: CA
    extension([0x1d, 0x0f], der(TAG.bitString, Uint8Array.of(1, 0x06))), // keyUsage: keyCertSign, cRLSign
  ];
  return certificate({ issuer: name, subject: name, publicKey, extensions, caSeed }, crypto);
}

/** DER of a host's certificate. */
export function makeHostCertificate(
  scope: CertificateScope,
  secrets: { readonly caSeed: Uint8Array; readonly identityKey: Uint8Array },
  crypto: Crypto,
): Uint8Array {
  const { caSeed, identityKey: publicKey } = secrets;
  const extensions = [
    extension([0x1d, 0x13], der(TAG.sequence)), // basicConstraints: no CA
    extension([0x1d, 0x0f], der(TAG.bitString, Uint8Array.of(7, 0x80))), // keyUsage: digitalSignature
  ];
  const subject = distinguishedName(scope.clusterId, peerIdOf(publicKey, crypto));
  return certificate({ issuer: caName(scope), subject, publicKey, extensions, caSeed }, crypto);
}

/** Judges a certificate from a TLS handshake, which has proved that the other side holds its private key. Never throws. */
export function verifyCertificate(
  raw: Uint8Array,
  verifier: {
    readonly clusterId: ClusterId;
    /** Newest first, not empty. */
    readonly authorities: readonly CertificateAuthority[];
    readonly crypto: Crypto;
  },
): CertifiedPeer | CertificateFault {
  const parsed = parse(raw);
  if (parsed === null) return { fault: 'not-fabric' };
  const { certificate, clusterId, generation, commonName, identityKey } = parsed;
  if (clusterId !== verifier.clusterId) return { fault: 'other-cluster', clusterId };
  const { authorities } = verifier;
  const ofGeneration = authorities.filter((one) => one.generation === generation);
  if (ofGeneration.length === 0) return { fault: 'other-generation', generation, newest: authorities[0]!.generation };
  const authority = ofGeneration.find(({ caKey }) => certificate.verify(ed25519PublicKey(caKey)));
  if (authority === undefined) return { fault: 'other-secret' };
  const peer = peerIdOf(identityKey, verifier.crypto);
  return peer === commonName ? { peer, identityKey, generation, id: authority.id } : { fault: 'name-forged' };
}

/** PEM for TLS contexts. */
export function certificatePem(raw: Uint8Array): string {
  const lines = Buffer.from(raw)
    .toString('base64')
    .match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** PKCS #8 PEM of an Ed25519 seed for TLS contexts. */
export function privateKeyPem(seed: Uint8Array, publicKey: Uint8Array): string {
  const jwk = { kty: 'OKP', crv: 'Ed25519', d: base64Url(seed), x: base64Url(publicKey) };
  return createPrivateKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'pkcs8' }) as string;
}

function parse(raw: Uint8Array): {
  certificate: X509Certificate;
  clusterId: ClusterId;
  generation: number;
  commonName: string;
  identityKey: Uint8Array;
} | null {
  try {
    const certificate = new X509Certificate(raw);
    const [, issuerCluster = '', generation = ''] = CA_NAME.exec(certificate.issuer) ?? [];
    const [, commonName] = HOST_NAME.exec(certificate.subject) ?? [];
    const clusterId = parseClusterId(issuerCluster);
    const { x } = certificate.publicKey.export({ format: 'jwk' });
    const ed25519 = certificate.publicKey.asymmetricKeyType === 'ed25519';
    if (clusterId === null || commonName === undefined || !ed25519 || x === undefined) return null;
    const identityKey = new Uint8Array(Buffer.from(x, 'base64url'));
    return { certificate, clusterId, generation: Number(generation), commonName, identityKey };
  } catch {
    return null; // not X.509, or a key that OpenSSL can't use
  }
}

function ed25519PublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64Url(raw) }, format: 'jwk' });
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function certificate(
  parts: {
    readonly issuer: Uint8Array;
    readonly subject: Uint8Array;
    readonly publicKey: Uint8Array;
    readonly extensions: readonly Uint8Array[];
    readonly caSeed: Uint8Array;
  },
  crypto: Crypto,
): Uint8Array {
  const keyInfo = der(TAG.sequence, ED25519, der(TAG.bitString, Uint8Array.of(0), parts.publicKey));
  // Positive and unique per key; leading 0x01 keeps it minimal DER.
  const serial = concatBytes(Uint8Array.of(1), crypto.sha256(parts.publicKey, parts.issuer).subarray(0, 15));
  const body = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, Uint8Array.of(2))), // version 3
    der(TAG.integer, serial),
    ED25519,
    parts.issuer,
    VALIDITY,
    parts.subject,
    keyInfo,
    der(0xa3, der(TAG.sequence, ...parts.extensions)),
  );
  const signature = crypto.ed25519Sign(parts.caSeed, body);
  return der(TAG.sequence, body, ED25519, der(TAG.bitString, Uint8Array.of(0), signature));
}

function caName({ clusterId, generation }: CertificateScope): Uint8Array {
  return distinguishedName(clusterId, `fabric CA ${generation}`);
}

function distinguishedName(organization: string, commonName: string): Uint8Array {
  const attribute = (arc: number, value: string): Uint8Array =>
    der(TAG.set, der(TAG.sequence, der(TAG.oid, Uint8Array.of(0x55, 0x04, arc)), der(TAG.utf8, utf8(value))));
  return der(TAG.sequence, attribute(0x0a, organization), attribute(0x03, commonName));
}

/** A critical extension of arc 2.5. */
function extension(arcs: readonly [number, number], value: Uint8Array): Uint8Array {
  return der(TAG.sequence, der(TAG.oid, Uint8Array.of(0x55, ...arcs)), TRUE, der(TAG.octetString, value));
}

function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...contents);
  const { length } = content;
  const header =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255];
  return concatBytes(Uint8Array.from(header), content);
}
