// Frames for tests, written field by field and independently of the code under test: Ethernet, ARP, IPv4, IPv6, UDP, ICMPv6.

import { ipToBytes, parseIp } from '../../src/base/address.ts';
import { concatBytes, utf8 } from '../../src/base/bytes.ts';
import { type Mac, macToBytes } from '../../src/base/ids.ts';

export const BROADCAST = 'ff:ff:ff:ff:ff:ff' as Mac;

export function u16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >>> 8, value & 0xff]));
}

export function ipBytes(text: string): Uint8Array {
  return ipToBytes(parseIp(text)!);
}

export interface Link {
  readonly from: Mac;
  readonly to: Mac;
  /** VLAN tags, outermost first. */
  readonly tags?: readonly number[];
}

export function ethernet(link: Link, type: number, payload: Uint8Array): Uint8Array {
  const tags = (link.tags ?? []).map((tag) => u16(0x8100, tag));
  return concatBytes(macToBytes(link.to), macToBytes(link.from), ...tags, u16(type), payload);
}

/** An IPv4 frame of UDP with this text, or `bytes` long zeros. */
export function udp4(link: Link, from: string, to: string, payload: string | Uint8Array): Uint8Array {
  const data = typeof payload === 'string' ? utf8(payload) : payload;
  const segment = udpSegment(ipBytes(from), ipBytes(to), data);
  return ethernet(link, 0x0800, ipv4({ from, to, protocol: 17 }, segment));
}

export function udp6(link: Link, from: string, to: string, payload: string): Uint8Array {
  const segment = udpSegment(ipBytes(from), ipBytes(to), utf8(payload));
  return ethernet(link, 0x86dd, ipv6({ from, to, next: 17 }, segment));
}

export function ipv4(
  header: { from: string; to: string; protocol: number; fragment?: number },
  payload: Uint8Array,
): Uint8Array {
  const packet = concatBytes(
    u16(0x4500, 20 + payload.length, 0x1234, header.fragment ?? 0x4000),
    Uint8Array.of(64, header.protocol, 0, 0),
    ipBytes(header.from),
    ipBytes(header.to),
  );
  packet.set(u16(referenceChecksum(packet)), 10);
  return concatBytes(packet, payload);
}

export function ipv6(
  header: { from: string; to: string; next: number; hopLimit?: number },
  payload: Uint8Array,
): Uint8Array {
  return concatBytes(
    u16(0x6000, 0, payload.length),
    Uint8Array.of(header.next, header.hopLimit ?? 255),
    ipBytes(header.from),
    ipBytes(header.to),
    payload,
  );
}

function udpSegment(from: Uint8Array, to: Uint8Array, data: Uint8Array): Uint8Array {
  const length = 8 + data.length;
  const segment = concatBytes(u16(5353, 5353, length, 0), data);
  const pseudo = concatBytes(from, to, u16(0, length, 0, 17));
  segment.set(u16(referenceChecksum(concatBytes(pseudo, segment)) || 0xffff), 6);
  return segment;
}

export interface Arp {
  readonly operation: 1 | 2;
  readonly senderMac: Mac;
  readonly senderIp: string;
  readonly targetMac?: Mac;
  readonly targetIp: string;
}

export function arp(link: Link, message: Arp): Uint8Array {
  const payload = concatBytes(
    u16(1, 0x0800, 0x0604, message.operation),
    macToBytes(message.senderMac),
    ipBytes(message.senderIp),
    macToBytes(message.targetMac ?? ('00:00:00:00:00:00' as Mac)),
    ipBytes(message.targetIp),
  );
  return ethernet(link, 0x0806, payload);
}

export interface Discovery {
  /** 134 router advertisement, 135 solicitation, 136 advertisement, 137 redirect. */
  readonly type: number;
  readonly from: string;
  readonly to: string;
  readonly target: string;
  /** Link-layer address option: 1 source, 2 target. */
  readonly option?: { readonly type: 1 | 2; readonly mac: Mac };
  /** Puts a hop-by-hop header before ICMPv6. */
  readonly extension?: boolean;
}

export function discovery(link: Link, message: Discovery): Uint8Array {
  const option =
    message.option === undefined
      ? new Uint8Array(0)
      : concatBytes(Uint8Array.of(message.option.type, 1), macToBytes(message.option.mac));
  const icmp = concatBytes(u16(message.type << 8, 0, 0, 0), ipBytes(message.target), option);
  const pseudo = concatBytes(ipBytes(message.from), ipBytes(message.to), u16(0, icmp.length, 0, 58));
  icmp.set(u16(referenceChecksum(concatBytes(pseudo, icmp))), 2);
  const { from, to } = message;
  if (message.extension !== true) return ethernet(link, 0x86dd, ipv6({ from, to, next: 58 }, icmp));
  const hopByHop = Uint8Array.of(58, 0, 1, 4, 0, 0, 0, 0);
  return ethernet(link, 0x86dd, ipv6({ from, to, next: 0 }, concatBytes(hopByHop, icmp)));
}

/** RFC 1071, byte pair by byte pair with the carry folded at each step: slow and obvious. */
export function referenceChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}
