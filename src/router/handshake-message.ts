// The bytes of handshake datagrams around their Noise messages (docs/wire-format.md), and mac1: a code keyed by the cluster's
// token over all that comes before it. Whoever lacks the token can't make one, so strangers get silence and cost one HMAC.
// Invariant: a datagram with a valid mac1 is byte for byte what a member once wrote for exactly this receiver.
//
//   initiation   0 version|type   1..3 zero   4 sender index     8 e 32   40 sealed s 48   88 sealed payload    mac1 16  mac2 16
//   response     0 version|type   1..3 zero   4 receiver index   8 sender index   12 e 32   44 sealed payload   mac1 16  mac2 16
//   cookie       0 version|type   1..3 zero   4 receiver index   8 salt 16   24 nonce 12   36 sealed cookie 32

import { ByteWriter, utf8 } from '../base/bytes.ts';
import type { Crypto } from '../base/capabilities.ts';
import { DH_BYTES, NOISE_TAG_BYTES } from './noise.ts';
import { DatagramType, datagramType, readReceiverIndex, reservedBytesClear, WIRE_VERSION } from './wire-format.ts';

export const MAC_BYTES = 16;
const MACS_BYTES = 2 * MAC_BYTES;
/** Type, reserved bytes and the first index: also the part of a Noise prologue that differs between handshakes. */
export const HANDSHAKE_HEADER_BYTES = 8;
const RESPONSE_HEADER_BYTES = 12;
/** Both are larger than any cookie reply, which thus never amplifies. */
export const INITIATION_BYTES_MIN = HANDSHAKE_HEADER_BYTES + DH_BYTES * 2 + NOISE_TAG_BYTES * 2 + MACS_BYTES;
export const RESPONSE_BYTES_MIN = RESPONSE_HEADER_BYTES + DH_BYTES + NOISE_TAG_BYTES + MACS_BYTES;
/** Fits an IPv6 path of the minimum MTU, 1,280, with room for a relay's header. */
export const HANDSHAKE_BYTES_MAX = 1200;

/** The two codes' keys for one receiver and one token generation. */
export interface MacKeys {
  readonly mac1Key: Uint8Array;
  /** Seals the cookies that this receiver hands out. */
  readonly cookieKey: Uint8Array;
}

export function deriveMacKeys(crypto: Crypto, tokenMac1Key: Uint8Array, receiverStatic: Uint8Array): MacKeys {
  return {
    mac1Key: crypto.hmacBlake2s(tokenMac1Key, utf8('fabric mac1'), receiverStatic),
    cookieKey: crypto.hmacBlake2s(tokenMac1Key, utf8('fabric cookie'), receiverStatic),
  };
}

/** The first eight bytes of an initiation. */
export function initiationHeader(senderIndex: number): Uint8Array {
  return header(DatagramType.initiation).u32(senderIndex).finish();
}

/** With mac1, mac2 left zero. */
export function writeInitiation(
  crypto: Crypto,
  mac1Key: Uint8Array,
  senderIndex: number,
  noise: Uint8Array,
): Uint8Array {
  return seal(crypto, mac1Key, header(DatagramType.initiation).u32(senderIndex), noise);
}

export function writeResponse(
  crypto: Crypto,
  mac1Key: Uint8Array,
  { receiverIndex, senderIndex, noise }: { receiverIndex: number; senderIndex: number; noise: Uint8Array },
): Uint8Array {
  return seal(crypto, mac1Key, header(DatagramType.response).u32(receiverIndex).u32(senderIndex), noise);
}

export interface ParsedInitiation {
  readonly senderIndex: number;
  readonly header: Uint8Array;
  readonly noise: Uint8Array;
}

/** Views into `datagram`. Null unless its form is right; says nothing about its mac1. */
export function parseInitiation(datagram: Uint8Array): ParsedInitiation | null {
  if (!wellFormed(datagram, DatagramType.initiation, INITIATION_BYTES_MIN)) return null;
  const senderIndex = readReceiverIndex(datagram);
  if (senderIndex === 0) return null;
  return {
    senderIndex,
    header: datagram.subarray(0, HANDSHAKE_HEADER_BYTES),
    noise: datagram.subarray(HANDSHAKE_HEADER_BYTES, datagram.length - MACS_BYTES),
  };
}

export interface ParsedResponse {
  readonly receiverIndex: number;
  readonly senderIndex: number;
  readonly noise: Uint8Array;
}

/** As {@link parseInitiation}. */
export function parseResponse(datagram: Uint8Array): ParsedResponse | null {
  if (!wellFormed(datagram, DatagramType.response, RESPONSE_BYTES_MIN)) return null;
  const receiverIndex = readReceiverIndex(datagram);
  const senderIndex = readReceiverIndex(datagram.subarray(4));
  if (receiverIndex === 0 || senderIndex === 0) return null;
  return { receiverIndex, senderIndex, noise: datagram.subarray(RESPONSE_HEADER_BYTES, datagram.length - MACS_BYTES) };
}

/** The mac1 of an initiation or response: a view. */
export function mac1Of(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(datagram.length - MACS_BYTES, datagram.length - MAC_BYTES);
}

export function mac1Valid(crypto: Crypto, mac1Key: Uint8Array, datagram: Uint8Array): boolean {
  return crypto.equal(mac(crypto, mac1Key, datagram.subarray(0, datagram.length - MACS_BYTES)), mac1Of(datagram));
}

/** Proves, to who handed out the cookie, that this sender receives at its address. Written in place. */
export function writeMac2(crypto: Crypto, cookie: Uint8Array, datagram: Uint8Array): void {
  datagram.set(mac(crypto, cookie, datagram.subarray(0, datagram.length - MAC_BYTES)), datagram.length - MAC_BYTES);
}

export function mac2Valid(crypto: Crypto, cookie: Uint8Array, datagram: Uint8Array): boolean {
  const covered = datagram.subarray(0, datagram.length - MAC_BYTES);
  return crypto.equal(mac(crypto, cookie, covered), datagram.subarray(datagram.length - MAC_BYTES));
}

function header(type: DatagramType): ByteWriter {
  return new ByteWriter(HANDSHAKE_BYTES_MAX)
    .u8((WIRE_VERSION << 4) | type)
    .u8(0)
    .u16(0);
}

function seal(crypto: Crypto, mac1Key: Uint8Array, writer: ByteWriter, noise: Uint8Array): Uint8Array {
  const datagram = writer.bytes(noise).bytes(new Uint8Array(MACS_BYTES)).finish();
  if (datagram.length > HANDSHAKE_BYTES_MAX) throw new RangeError(`handshake datagram of ${datagram.length} bytes`);
  mac1Of(datagram).set(mac(crypto, mac1Key, datagram.subarray(0, datagram.length - MACS_BYTES)));
  return datagram;
}

function mac(crypto: Crypto, key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return crypto.hmacBlake2s(key, bytes).subarray(0, MAC_BYTES);
}

function wellFormed(datagram: Uint8Array, type: DatagramType, bytesMin: number): boolean {
  return (
    datagram.length >= bytesMin &&
    datagram.length <= HANDSHAKE_BYTES_MAX &&
    datagramType(datagram) === type &&
    reservedBytesClear(datagram)
  );
}
