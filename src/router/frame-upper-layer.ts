// Finds the upper-layer header (TCP, UDP, ICMP, …) of the packet in a frame: behind IPv4 options, or behind IPv6 extension
// headers (RFC 8200 §4), of which a bounded number is walked. Lengths come from the packet and are checked against the
// frame, which may be longer (Ethernet padding) but never shorter.

import { EtherType, type FrameView, readU16 } from './frame.ts';

export interface UpperLayer {
  readonly family: 4 | 6;
  readonly protocol: number;
  /** First byte of the upper layer in the frame. */
  readonly offset: number;
  /** One past the last byte of the packet in the frame. */
  readonly end: number;
  /** True for any fragment; of a later one `offset` points into the middle of the upper layer. */
  readonly fragment: boolean;
  readonly laterFragment: boolean;
}

const IPV6_HEADER_BYTES = 40;
const EXTENSION_HEADERS_MAX = 8;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** Null when the frame holds no IP packet, or a malformed one. */
export function findUpperLayer(frame: FrameView): UpperLayer | null {
  if (frame.etherType === EtherType.ipv4) return findInIpv4(frame.bytes, frame.l3Offset);
  if (frame.etherType === EtherType.ipv6) return findInIpv6(frame.bytes, frame.l3Offset);
  return null;
}

function findInIpv4(bytes: Uint8Array, start: number): UpperLayer | null {
  if (bytes.length < start + 20 || bytes[start]! >>> 4 !== 4) return null;
  const headerBytes = (bytes[start]! & 0x0f) * 4;
  const end = start + readU16(bytes, start + 2);
  if (headerBytes < 20 || end < start + headerBytes || end > bytes.length) return null;
  const flagsAndOffset = readU16(bytes, start + 6);
  return {
    family: 4,
    protocol: bytes[start + 9]!,
    offset: start + headerBytes,
    end,
    fragment: (flagsAndOffset & 0x3fff) !== 0,
    laterFragment: (flagsAndOffset & 0x1fff) !== 0,
  };
}

function findInIpv6(bytes: Uint8Array, start: number): UpperLayer | null {
  if (bytes.length < start + IPV6_HEADER_BYTES || bytes[start]! >>> 4 !== 6) return null;
  const end = start + IPV6_HEADER_BYTES + readU16(bytes, start + 4);
  if (end > bytes.length) return null;
  let protocol = bytes[start + 6]!;
  let offset = start + IPV6_HEADER_BYTES;
  let fragment = false;
  let laterFragment = false;
  for (let walked = 0; walked < EXTENSION_HEADERS_MAX && !laterFragment; walked++) {
    if (!isExtension(protocol)) break;
    if (offset + 8 > end) return null;
    const length = extensionBytes(protocol, bytes[offset + 1]!);
    if (protocol === FRAGMENT) {
      fragment = true;
      laterFragment = (readU16(bytes, offset + 2) & 0xfff8) !== 0;
    }
    protocol = bytes[offset]!;
    offset += length;
    if (offset > end) return null;
  }
  if (isExtension(protocol) && !laterFragment) return null;
  return { family: 6, protocol, offset, end, fragment, laterFragment };
}

function isExtension(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS
  );
}

/** AH counts in units of four bytes less two, the fragment header has eight bytes, the others count units of eight less one. */
function extensionBytes(protocol: number, lengthField: number): number {
  if (protocol === FRAGMENT) return 8;
  return protocol === AUTHENTICATION ? (lengthField + 2) * 4 : (lengthField + 1) * 8;
}
