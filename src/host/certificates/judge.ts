// Judges operators' certificates: issued by one of the CAs that the operator named, in force by this host's clock, meant for hosts,
// and vouching for exactly the identity that shows it. Parsing and signatures are OpenSSL's; the rules are those of
// docs/keys.md and the same for a host's own certificate and for others'. Nothing here throws on what comes from outside.

import { createHash, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { attestedBytes, decodeAttestation } from '../../base/attestation.ts';
import type { ClusterId } from '../../base/ids.ts';

/** A certificate that holds. */
export interface CertifiedHost {
  readonly holds: true;
  /** Subject and alternative names: one host's alone. */
  readonly name: string;
  /** SHA-256 of its public key, hex. */
  readonly keyId: string;
  /** Clock.wallMs until which it holds, skew included. */
  readonly untilMs: number;
}

/** Sentences for people: why it does not, and what helps. */
export interface CertificateFault {
  readonly holds: false;
  readonly why: string;
  readonly fix: string;
}

export type CertificateJudgement = CertifiedHost | CertificateFault;

/** A link needs both hosts' consent, so of two clocks the later one decides; so much is forgiven. */
const CLOCK_SKEW_MS = 600_000;
const RSA_BITS_MIN = 2_048;
const EC_CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const SERVER_AND_CLIENT = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
const ANY_PURPOSE = '2.5.29.37.0';
const REISSUE = 'Have the CA issue another certificate for that host';

/** `attestation`: null when the host shows none. */
export function judgeAttestation(
  attestation: Uint8Array | null,
  {
    authorities,
    clusterId,
    identityKey,
    nowMs,
  }: {
    readonly authorities: readonly X509Certificate[];
    readonly clusterId: ClusterId;
    readonly identityKey: Uint8Array;
    readonly nowMs: number;
  },
): CertificateJudgement {
  if (attestation === null) {
    return fault(
      'it shows no operator-issued certificate, and this host demands one (--ca)',
      'Launch it with --cert and --key',
    );
  }
  const shown = decodeAttestation(attestation);
  const certificate = shown === null ? null : parseCertificate(shown.certificate);
  if (shown === null || certificate === null) return fault('the certificate that it shows is not readable', REISSUE);
  const judgement = judgeCertificate(certificate, { authorities, nowMs });
  if (!judgement.holds) return judgement;
  if (verifyAttested(certificate.publicKey, attestedBytes(clusterId, identityKey), shown.signature)) return judgement;
  return fault(
    `the certificate of ${judgement.name} does not vouch for this identity: it is another host's`,
    'Find out what runs there; give each host a certificate and key of its own',
  );
}

/** A host's certificate by itself, whoever shows it. `authorities`: null where any CA will do. */
export function judgeCertificate(
  certificate: X509Certificate,
  { authorities, nowMs }: { readonly authorities: readonly X509Certificate[] | null; readonly nowMs: number },
): CertificateJudgement {
  const { publicKey, keyUsage: purposes } = certificate;
  if (certificate.ca) return fault('it is the certificate of a CA, not of a host', REISSUE);
  if (!isHostKey(publicKey)) return fault('its key is neither Ed25519 nor ECDSA P-256', REISSUE);
  const name = nameOf(certificate);
  if (name === '') return fault('it names nobody: subject and alternative names are empty', REISSUE);
  const fits = (purpose: string): boolean => purposes.includes(purpose) || purposes.includes(ANY_PURPOSE);
  if (purposes !== undefined && !SERVER_AND_CLIENT.every(fits)) {
    return fault('its extended key usage does not allow both server and client', REISSUE);
  }
  const issuers = authorities?.filter((authority) => isIssuedBy(certificate, authority)) ?? [];
  if (issuers.length === 0 && authorities !== null) {
    return fault(
      `none of the CAs of --ca has issued it; it names ${oneLine(certificate.issuer)}`,
      'Use a certificate of that CA, or add the CA that issued this one to the file of --ca on every host',
    );
  }
  const issuerUntilMs = issuers.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...issuers.map(expiryOf));
  if (issuerUntilMs + CLOCK_SKEW_MS < nowMs) return expired('the CA that issued it', issuerUntilMs, nowMs);
  if (expiryOf(certificate) + CLOCK_SKEW_MS < nowMs) return expired('it', expiryOf(certificate), nowMs);
  const untilMs = Math.min(expiryOf(certificate), issuerUntilMs) + CLOCK_SKEW_MS;
  return { holds: true, name, keyId: keyIdOf(publicKey), untilMs };
}

/** True for what may stand in the file of --ca: a CA whose key is strong enough. */
export function isAuthority({ ca, publicKey }: X509Certificate): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (!ca) return false;
  if (type === 'rsa' || type === 'rsa-pss') return (details?.modulusLength ?? 0) >= RSA_BITS_MIN;
  return type === 'ed25519' || (type === 'ec' && EC_CURVES.includes(details?.namedCurve));
}

/** By a key that {@link judgeCertificate} accepts. */
export function signAttested(key: KeyObject, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(sign(digestOf(key), bytes, key));
}

/** Clock.wallMs of the end of its validity. */
export function expiryOf({ validTo }: X509Certificate): number {
  return Date.parse(validTo);
}

/** For people, and what makes a certificate one host's: subject and alternative names on one line. */
export function nameOf({ subject, subjectAltName }: X509Certificate): string {
  return [subject, subjectAltName].flatMap((part) => (part ? [oneLine(part)] : [])).join(', ');
}

/** `raw`: DER, or PEM. Null on anything else. */
export function parseCertificate(raw: Uint8Array | string): X509Certificate | null {
  try {
    const certificate = new X509Certificate(raw);
    return certificate.publicKey.type === 'public' ? certificate : null;
  } catch {
    return null; // not X.509, or a key that OpenSSL can't use
  }
}

function isIssuedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function verifyAttested(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  return verify(digestOf(key), bytes, key, signature);
}

function isHostKey({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  return type === 'ed25519' || (type === 'ec' && details?.namedCurve === 'prime256v1');
}

/** Ed25519 hashes by itself. */
function digestOf({ asymmetricKeyType }: KeyObject): 'sha256' | null {
  return asymmetricKeyType === 'ed25519' ? null : 'sha256';
}

function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

function expired(what: string, atMs: number, nowMs: number): CertificateFault {
  const [at, now] = [atMs, nowMs].map((ms) => new Date(ms).toISOString());
  return fault(`${what} expired at ${at}; the clock here says ${now}`, `${REISSUE}; or set the clock of this host`);
}

function fault(why: string, fix: string): CertificateFault {
  return { holds: false, why, fix };
}

/** Foreign text goes into logs. */
function oneLine(text: string): string {
  return text
    .slice(0, 256)
    .replaceAll('\n', ', ')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}
