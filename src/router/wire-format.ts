// The datagrams of UDP 6783 (docs/wire-format.md): the outer header, which is authenticated but readable, and the inner
// header, which is encrypted with the frame. Reading and writing are plain byte accesses in network order: no allocation and
// no BigInt, because this runs once per frame. Invariant: test/router/wire-golden.json pins these bytes for every datapath.
//
//   outer   0      version 4 bits | type 4 bits
//           1      flags, zero
//           2..3   zero
//           4..7   receiver index
//           8..15  counter                                  AAD = outer, nonce = 4 zero bytes + counter
//   inner   0      kind 4 bits | hop limit 4 bits           from here on encrypted
//           1      flags
//           2..4   network id
//           5      index
//           6      count
//           7      header length
//   body    an Ethernet frame, a piece of one, a datagram (relay), a size and padding (probe), or nothing (keepalive)
//   tag     16 bytes

/** From the format. */
export const WIRE_VERSION = 1;
export const OUTER_BYTES = 16;
export const INNER_BYTES = 8;
export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
export const UDP_BYTES = 8;
export const IPV4_BYTES = 20;
export const IPV6_BYTES = 40;
/** What a datagram adds to its body behind the UDP header. */
export const SEAL_BYTES = OUTER_BYTES + INNER_BYTES + TAG_BYTES;
export const DATA_DATAGRAM_MIN = SEAL_BYTES;
/** A frame crosses at most this many hosts; a relay takes one off. Fits four bits. */
export const HOP_LIMIT = 8;
/** The body of a probe that says its size and nothing more. */
export const PROBE_BYTES_MIN = 2;
/** index and count are one byte each. */
export const PIECES_MAX = 255;

export const DatagramType = { initiation: 1, response: 2, cookie: 3, data: 4 } as const;
export type DatagramType = (typeof DatagramType)[keyof typeof DatagramType];

export const InnerKind = {
  /** Nothing follows: proves that the sender lives and holds the key. */
  keepalive: 0,
  /** One whole Ethernet frame. */
  frame: 1,
  /** One whole Ethernet frame that was cut from a superframe; index and count allow to put it together again. */
  segment: 2,
  /** A piece of one frame that was too large for the path. */
  fragment: 3,
  /** A whole datagram between two other hosts, or one of them and the receiver (relay-message.ts). */
  relay: 4,
  /** The bytes of the outer IP packet that it makes (2), then zeros up to there: asks whether that size arrives. */
  probe: 5,
  /** The bytes of the probe that arrived (2). */
  probeAnswer: 6,
} as const;
export type InnerKind = (typeof InnerKind)[keyof typeof InnerKind];

/** Inner flag: the L4 checksum of the frame's outer IP packet holds only the pseudo-header's sum (as CHECKSUM_PARTIAL). */
export const FLAG_PARTIAL_CHECKSUM = 0x01;
const KNOWN_FLAGS = FLAG_PARTIAL_CHECKSUM;

/** Bytes that IP, UDP and fabric put around a frame: 68 on IPv4, 88 on IPv6; with the frame's own Ethernet header 82, 102. */
export function overheadBytes(underlay: 4 | 6): number {
  return (underlay === 4 ? IPV4_BYTES : IPV6_BYTES) + UDP_BYTES + SEAL_BYTES;
}

/** The type in the first byte; 0 when the version is not ours or the datagram is empty. */
export function datagramType(datagram: Uint8Array): number {
  const first = datagram.length > 0 ? datagram[0]! : 0;
  return first >>> 4 === WIRE_VERSION ? first & 0x0f : 0;
}

/** Writes 16 bytes at the start of `out`. `counter` is an integer from 0 to 2^53 - 1. */
export function writeDataHeader(out: Uint8Array, receiverIndex: number, counter: number): void {
  out[0] = (WIRE_VERSION << 4) | DatagramType.data;
  out[1] = 0;
  out[2] = 0;
  out[3] = 0;
  writeU32(out, 4, receiverIndex);
  writeU32(out, 8, Math.floor(counter / 0x1_0000_0000));
  writeU32(out, 12, counter >>> 0);
}

/** The caller has checked that there are {@link OUTER_BYTES}. */
export function readReceiverIndex(datagram: Uint8Array): number {
  return readU32(datagram, 4);
}

/** -1 above 2^53 - 1, which no sender of ours reaches. */
export function readCounter(datagram: Uint8Array): number {
  const high = readU32(datagram, 8);
  return high > 0x1f_ffff ? -1 : high * 0x1_0000_0000 + readU32(datagram, 12);
}

/** True when the bytes between type and index are zero, as this version sends them. */
export function reservedBytesClear(datagram: Uint8Array): boolean {
  return (datagram[1]! | datagram[2]! | datagram[3]!) === 0;
}

/** Writes 4 zero bytes and the counter. */
export function writeNonce(out: Uint8Array, counter: number): void {
  writeU32(out, 0, 0);
  writeU32(out, 4, Math.floor(counter / 0x1_0000_0000));
  writeU32(out, 8, counter >>> 0);
}

export interface InnerHeader {
  kind: number;
  hopLimit: number;
  flags: number;
  network: number;
  /** Of a segment or fragment: 0 to count - 1; counter - index names the whole. */
  index: number;
  count: number;
  /** Of a segment: bytes of the frame up to the end of its L4 header, else 0. */
  headerLength: number;
}

export function writeInnerHeader(out: Uint8Array, offset: number, header: Readonly<InnerHeader>): void {
  out[offset] = (header.kind << 4) | header.hopLimit;
  out[offset + 1] = header.flags;
  out[offset + 2] = header.network >>> 16;
  out[offset + 3] = header.network >>> 8;
  out[offset + 4] = header.network;
  out[offset + 5] = header.index;
  out[offset + 6] = header.count;
  out[offset + 7] = header.headerLength;
}

/** Fills `header`, which the caller reuses. False when `plain` is too short, has unknown flags, or index is not below count. */
export function readInnerHeader(plain: Uint8Array, header: InnerHeader): boolean {
  if (plain.length < INNER_BYTES) return false;
  header.kind = plain[0]! >>> 4;
  header.hopLimit = plain[0]! & 0x0f;
  header.flags = plain[1]!;
  header.network = (plain[2]! << 16) | (plain[3]! << 8) | plain[4]!;
  header.index = plain[5]!;
  header.count = plain[6]!;
  header.headerLength = plain[7]!;
  return (header.flags & ~KNOWN_FLAGS) === 0 && header.index < header.count;
}

/** A header for `writeInnerHeader`: one whole frame unless told otherwise. */
export function innerHeader(kind: InnerKind, network: number, piece?: { index: number; count: number }): InnerHeader {
  const { index, count } = piece ?? { index: 0, count: 1 };
  return { kind, hopLimit: HOP_LIMIT, flags: 0, network, index, count, headerLength: 0 };
}

/** Inner header and body of a probe or its answer; `bytes`, below 65,536, is the size that it names. Freshly allocated. */
export function probeOf(
  kind: typeof InnerKind.probe | typeof InnerKind.probeAnswer,
  network: number,
  { bytes, bodyBytes }: { readonly bytes: number; readonly bodyBytes: number },
): Uint8Array {
  const plain = new Uint8Array(INNER_BYTES + bodyBytes);
  writeInnerHeader(plain, 0, innerHeader(kind, network));
  plain[INNER_BYTES] = bytes >>> 8;
  plain[INNER_BYTES + 1] = bytes;
  return plain;
}

/** The size that a probe or its answer names; null when `body` is too short. */
export function readProbe(body: Uint8Array): number | null {
  return body.length < PROBE_BYTES_MIN ? null : (body[0]! << 8) | body[1]!;
}

function writeU32(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >>> 24;
  out[offset + 1] = value >>> 16;
  out[offset + 2] = value >>> 8;
  out[offset + 3] = value;
}

function readU32(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset]! * 0x100_0000 + (bytes[offset + 1]! << 16) + (bytes[offset + 2]! << 8) + bytes[offset + 3]!) >>> 0
  );
}
