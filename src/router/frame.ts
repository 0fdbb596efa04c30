// A view of one Ethernet frame (IEEE 802.3, 802.1Q): addresses, type and where the packet starts. It is refilled for every
// frame instead of allocated, and holds MACs as two 24-bit numbers, because those are table keys that cost no allocation.
// It borrows the bytes: nothing may keep a view across frames.

import type { Mac } from '../base/ids.ts';
import { macFromBytes } from '../base/ids.ts';

export const ETHERNET_BYTES = 14;
export const VLAN_BYTES = 4;
/** Tags that are looked through (802.1ad: outer and inner); more than that stay opaque. */
export const VLAN_TAGS_MAX = 2;

export const EtherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd, vlan: 0x8100, serviceVlan: 0x88a8 } as const;

export class FrameView {
  bytes: Uint8Array = new Uint8Array(0);
  /** Type behind the VLAN tags. */
  etherType = 0;
  /** Where the packet (L3) starts. */
  l3Offset = 0;
  destinationHigh = 0;
  destinationLow = 0;
  sourceHigh = 0;
  sourceLow = 0;

  /** Points the view at a frame; false when the frame has no complete Ethernet header. */
  set(bytes: Uint8Array): boolean {
    if (bytes.length < ETHERNET_BYTES) return false;
    this.bytes = bytes;
    this.destinationHigh = readU24(bytes, 0);
    this.destinationLow = readU24(bytes, 3);
    this.sourceHigh = readU24(bytes, 6);
    this.sourceLow = readU24(bytes, 9);
    let offset = 12;
    let type = readU16(bytes, offset);
    for (let tags = 0; tags < VLAN_TAGS_MAX && (type === EtherType.vlan || type === EtherType.serviceVlan); tags++) {
      offset += VLAN_BYTES;
      if (bytes.length < offset + 2) return false;
      type = readU16(bytes, offset);
    }
    this.etherType = type;
    this.l3Offset = offset + 2;
    return true;
  }

  /** Bytes of the packet, Ethernet padding included. */
  get packetBytes(): number {
    return this.bytes.length - this.l3Offset;
  }

  /** Broadcast or multicast (IEEE 802 I/G bit). */
  get toGroup(): boolean {
    return (this.destinationHigh & 0x01_0000) !== 0;
  }

  /** A group or all-zero source: no station sends so. */
  get sourceInvalid(): boolean {
    return (this.sourceHigh & 0x01_0000) !== 0 || (this.sourceHigh | this.sourceLow) === 0;
  }

  /** 01:80:c2:00:00:00 to 0f: link-local protocols (STP, LACP, LLDP, pause) that a bridge never forwards (802.1D 7.12.6). */
  get toReservedGroup(): boolean {
    return this.destinationHigh === 0x0180c2 && this.destinationLow <= 0x0f;
  }

  get source(): Mac {
    return macFromBytes(this.bytes, 6);
  }

  get destination(): Mac {
    return macFromBytes(this.bytes, 0);
  }
}

/** The two 24-bit halves of a MAC, as {@link FrameView} holds them. */
export function macHalves(mac: Mac): { high: number; low: number } {
  const hex = mac.replaceAll(':', '');
  return { high: Number.parseInt(hex.slice(0, 6), 16), low: Number.parseInt(hex.slice(6), 16) };
}

export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

function readU24(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
}
