// What a host shows of an operator's certificate: the certificate, and the signature by which its key vouches for the host's
// identity key in this cluster. Public, and of no use to another identity. Whether the certificate itself holds is X.509
// (RFC 5280) and judged in src/host/certificates.
//
//   version 1 | certificate length 2 | certificate (DER) | signature length 2 | signature

import { ByteReader, ByteWriter, fromHex, utf8 } from './bytes.ts';
import type { ClusterId } from './ids.ts';

export interface Attestation {
  /** X.509, DER. */
  readonly certificate: Uint8Array;
  /** By the certificate's key over {@link attestedBytes}. */
  readonly signature: Uint8Array;
}

const VERSION = 1;
/** Certificates of hosts have some 400 bytes; they travel in Hellos and records. */
const CERTIFICATE_BYTES_MAX = 2_048;
/** Ed25519 has 64 bytes, ECDSA P-256 in DER up to 72. */
const SIGNATURE_BYTES_MAX = 72;
export const ATTESTATION_BYTES_MAX = 5 + CERTIFICATE_BYTES_MAX + SIGNATURE_BYTES_MAX;

export function encodeAttestation({ certificate, signature }: Attestation): Uint8Array {
  return new ByteWriter().u8(VERSION).bytes16(certificate).bytes16(signature).finish();
}

/** Null on anything else; never throws. The parts are views of `bytes`. */
export function decodeAttestation(bytes: Uint8Array): Attestation | null {
  if (bytes.length > ATTESTATION_BYTES_MAX) return null;
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  const certificate = reader.bytes16();
  const signature = reader.bytes16();
  const isWhole = !reader.failed && reader.remaining === 0 && version === VERSION;
  return isWhole && certificate.length > 0 && signature.length > 0 ? { certificate, signature } : null;
}

/** What the certificate's key signs. `identityKey`: the host's Ed25519 public key, 32 bytes. */
export function attestedBytes(clusterId: ClusterId, identityKey: Uint8Array): Uint8Array {
  return new ByteWriter()
    .bytes16(utf8("fabric1 operator's certificate: identity"))
    .bytes(fromHex(clusterId)!)
    .bytes(identityKey)
    .finish();
}
