// The Internet checksum (RFC 1071) over parts of a frame, with the pseudo-headers of IPv4 and IPv6 (RFC 9293, 768, 8200).
// Used for the few packets that we build ourselves and for frames whose sender left the checksum to its network card.

import type { FrameView } from './frame.ts';
import { findUpperLayer, type UpperLayer } from './frame-upper-layer.ts';

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** The folded one's complement sum of 16-bit words, not complemented; an odd last byte counts as the high one. */
export function sum16(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let sum = initial;
  let i = start;
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) sum += bytes[i]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return sum;
}

/** The checksum to store over `start` to `end`, whose own field must be zero. */
export function checksum16(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~sum16(bytes, start, end, initial) & 0xffff;
}

export function storeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

/** Sum of source, destination, upper-layer length and protocol; both address families add up alike. */
export function pseudoHeaderSum(
  packet: Uint8Array,
  addresses: { offset: number; length: 8 | 32 },
  upper: { length: number; protocol: number },
): number {
  return sum16(packet, addresses.offset, addresses.offset + addresses.length, upper.length + upper.protocol);
}

/**
 * Computes the TCP or UDP checksum of the frame's outer IP packet anew and stores it, in place. False when there is none to
 * complete: no TCP or UDP, a fragment, or lengths that contradict each other; the frame is then unchanged.
 */
export function completeChecksum(frame: FrameView): boolean {
  const upper = findUpperLayer(frame);
  if (upper === null || upper.fragment) return false;
  const field = checksumField(upper);
  if (field < 0) return false;
  const bytes = frame.bytes;
  storeU16(bytes, field, 0);
  const value = checksum16(bytes, upper.offset, upper.end, upperLayerPseudoSum(frame, upper));
  // A computed zero means "no checksum" in UDP and is sent as its other representation (RFC 768).
  storeU16(bytes, field, value === 0 && upper.protocol === PROTOCOL_UDP ? 0xffff : value);
  return true;
}

/** The pseudo-header's sum for the upper layer of a parsed packet. */
export function upperLayerPseudoSum(frame: FrameView, upper: UpperLayer): number {
  const addresses =
    upper.family === 4
      ? ({ offset: frame.l3Offset + 12, length: 8 } as const)
      : ({ offset: frame.l3Offset + 8, length: 32 } as const);
  return pseudoHeaderSum(frame.bytes, addresses, { length: upper.end - upper.offset, protocol: upper.protocol });
}

function checksumField(upper: UpperLayer): number {
  const length = upper.end - upper.offset;
  if (upper.protocol === PROTOCOL_TCP && length >= 20) return upper.offset + 16;
  if (upper.protocol === PROTOCOL_UDP && length >= 8) return upper.offset + 6;
  return -1;
}
