// Reads the files of --ca, --cert and --key, and tells apart whatever can be wrong with them: each error names the file, the cause
// and what mends it. Never repeats any part of a key.

import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { FabricError } from '../../base/errors.ts';
import { isAuthority, judgeCertificate, parseCertificate } from './judge.ts';

/** Absolute; null: not given. */
export interface CertificatePaths {
  /** PEM of one or more CAs: hosts must show a certificate that one of them has issued. */
  readonly ca: string | null;
  /** PEM of this host's certificate (the first, if there are several) and of its private key; both or none. */
  readonly cert: string | null;
  readonly key: string | null;
}

/** This host's own. */
export interface OwnCertificate {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

const FILE_BYTES_MAX = 1 << 20;
const AUTHORITIES_MAX = 16;
const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
/** Of the permissions: anything for group and others. */
const OTHERS = 0o077;

/** The CAs in the file of --ca. Throws `certificate-invalid`. */
export function readAuthorities(path: string): readonly X509Certificate[] {
  const authorities = readCertificates(path);
  if (authorities.length > AUTHORITIES_MAX) {
    throw invalid(
      `${path} holds ${authorities.length} CAs`,
      `${AUTHORITIES_MAX} are taken`,
      'Leave out those that issue nothing',
    );
  }
  const wrong = authorities.find((one) => !isAuthority(one));
  if (wrong === undefined) return authorities;
  const why = wrong.ca
    ? 'its key is too weak, or of a kind that is not taken'
    : 'it may issue no certificates (CA:FALSE)';
  const what = `${path} holds a certificate that is no CA for hosts: ${wrong.subject.replaceAll('\n', ', ')}`;
  throw invalid(
    what,
    why,
    'Give --ca the CA that issues the certificates of hosts: Ed25519, ECDSA, or RSA of 2048 bits and more',
  );
}

/** `authorities`: of --ca, null without it. `nowMs`: Clock.wallMs. Throws `certificate-invalid`. */
export function readOwn(
  { cert, key }: { readonly cert: string; readonly key: string },
  by: { readonly authorities: readonly X509Certificate[] | null; readonly nowMs: number },
): OwnCertificate {
  const certificate = readCertificates(cert)[0]!;
  const judgement = judgeCertificate(certificate, by);
  if (!judgement.holds) throw invalid(`the certificate ${cert} can't be used`, judgement.why, judgement.fix);
  return { certificate, key: readKey(key, cert, certificate) };
}

/** At least one. */
function readCertificates(path: string): readonly X509Certificate[] {
  const found = [...read(path).text.matchAll(PEM)].map(([pem]) => parseCertificate(pem));
  const readable = found.filter((one) => one !== null);
  if (readable.length > 0 && readable.length === found.length) return readable;
  const why = found.length === 0 ? 'it has no -----BEGIN CERTIFICATE-----' : 'a certificate in it is damaged';
  throw invalid(`${path} can't be read as certificates`, why, 'Give a PEM file');
}

function readKey(path: string, certPath: string, certificate: X509Certificate): KeyObject {
  const { text, mode } = read(path);
  if ((mode & OTHERS) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    throw invalid(
      `the key ${path} is open to others`,
      `its mode is ${octal}`,
      `chmod 600 ${path}; if others had it, issue another`,
    );
  }
  const key = parseKey(text, path);
  if (certificate.checkPrivateKey(key)) return key;
  throw invalid(
    `the key ${path} does not belong to the certificate ${certPath}`,
    'their public keys differ',
    'Give the key that the certificate was requested with',
  );
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const isLocked = error instanceof Error && 'code' in error && error.code === 'ERR_MISSING_PASSPHRASE';
    const why = isLocked ? 'it is protected by a passphrase' : 'it is no private key in PEM';
    throw invalid(`the key ${path} can't be read`, why, 'Give an unencrypted PEM file of mode 0600');
  }
}

/** The permissions are those of the file that was read, whatever lies under its name by then. */
function read(path: string): { readonly text: string; readonly mode: number } {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(path, 'r');
    const { size, mode } = fstatSync(descriptor);
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes`);
    return { text: readFileSync(descriptor, 'utf8'), mode };
  } catch (error) {
    throw invalid(`${path} can't be read`, (error as Error).message, 'Correct the path of --ca, --cert or --key');
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

function invalid(what: string, why: string, fix: string): FabricError {
  return new FabricError('certificate-invalid', { what, why, fix });
}
