// Ethernet frames that no honest container sends, byte by byte, and a program that puts them on a wire:
// `node test-frames.js IFNAME HEX…` injects each, in the namespace that it is run in.

import { pathToFileURL } from 'node:url';
import pcap from 'pcap';
import { ipToBytes, parseIp } from '../../../src/base/address.ts';
import { concatBytes, toHex } from '../../../src/base/bytes.ts';
import { type Mac, macToBytes, parseMac } from '../../../src/base/ids.ts';

export const BROADCAST = 'ff:ff:ff:ff:ff:ff' as Mac;
export const ALL_NODES_MAC = '33:33:00:00:00:01' as Mac;
const ETHERTYPE_IP = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IP6 = 0x86dd;

export function mac(text: string): Mac {
  const parsed = parseMac(text);
  if (parsed === null) throw new Error(`MAC: ${text}`);
  return parsed;
}

export function ethernet(dst: Mac, src: Mac, etherType: number, payload: Uint8Array): Uint8Array {
  return concatBytes(macToBytes(dst), macToBytes(src), u16(etherType), payload);
}

export interface Arp {
  readonly operation: 1 | 2;
  readonly senderMac: Mac;
  readonly senderIp: string;
  readonly targetIp: string;
  /** Source of the frame; the sender's by default. */
  readonly source?: Mac;
}

/** RFC 826, to everybody. */
export function arpFrame({ operation, senderMac, senderIp, targetIp, source = senderMac }: Arp): Uint8Array {
  const fixed = concatBytes(u16(1), u16(ETHERTYPE_IP), Uint8Array.of(6, 4), u16(operation));
  const sender = concatBytes(macToBytes(senderMac), ip(senderIp));
  return ethernet(BROADCAST, source, ETHERTYPE_ARP, concatBytes(fixed, sender, new Uint8Array(6), ip(targetIp)));
}

export interface Packet {
  readonly source: Mac;
  readonly destination: Mac;
  readonly from: string;
  readonly to: string;
}

/** A UDP packet from and to port 7777 (checksum 0: none). */
export function udp4Frame({ source, destination, from, to }: Packet): Uint8Array {
  const udp = concatBytes(u16(7777), u16(7777), u16(12), u16(0), Uint8Array.of(1, 2, 3, 4));
  const header = concatBytes(
    Uint8Array.of(0x45, 0),
    u16(20 + udp.length),
    u16(1),
    u16(0),
    Uint8Array.of(64, 17, 0, 0),
    ip(from),
    ip(to),
  );
  header.set(u16(checksum(header)), 10);
  return ethernet(destination, source, ETHERTYPE_IP, concatBytes(header, udp));
}

/** An ICMPv6 message with its checksum; hop limit 255 as neighbour discovery wants it (RFC 4861). */
export function icmp6Frame({ source, destination, from, to }: Packet, message: Uint8Array): Uint8Array {
  const icmp = message.slice();
  const pseudo = concatBytes(ip(from), ip(to), u16(0), u16(icmp.length), Uint8Array.of(0, 0, 0, 58));
  icmp.set(u16(checksum(concatBytes(pseudo, icmp))), 2);
  const header = concatBytes(Uint8Array.of(0x60, 0, 0, 0), u16(icmp.length), Uint8Array.of(58, 255), ip(from), ip(to));
  return ethernet(destination, source, ETHERTYPE_IP6, concatBytes(header, icmp));
}

/** A router advertisement: default route for half an hour, and an autonomous /64 prefix. */
export function routerAdvertisement(prefix: string): Uint8Array {
  const header = concatBytes(Uint8Array.of(134, 0, 0, 0, 64, 0), u16(1800), new Uint8Array(8));
  const lifetimes = concatBytes(u16(0), u16(7200), u16(0), u16(3600), new Uint8Array(4));
  return concatBytes(header, Uint8Array.of(3, 4, 64, 0xc0), lifetimes, ip(prefix));
}

/** An unsolicited neighbour advertisement with the override flag and a target link-layer address. */
export function neighbourAdvertisement(target: string, targetMac: Mac): Uint8Array {
  return concatBytes(
    Uint8Array.of(136, 0, 0, 0, 0x20, 0, 0, 0),
    ip(target),
    Uint8Array.of(2, 1),
    macToBytes(targetMac),
  );
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 255);
}

function ip(text: string): Uint8Array {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(`IP address: ${text}`);
  return ipToBytes(parsed);
}

/** Command line of the injecting program. */
export function injectCommand(ifname: string, frames: readonly Uint8Array[]): readonly string[] {
  return [process.execPath, new URL(import.meta.url).pathname, ifname, ...frames.map(toHex)];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [ifname, ...frames] = process.argv.slice(2);
  Object.assign(pcap, { warningHandler: () => {} });
  const session = pcap.createSession(ifname ?? '', {});
  for (const frame of frames) session.inject(Buffer.from(frame, 'hex'));
  // Closing waits for a frame that may never come; everything is on the wire when inject returns.
  process.exit(0);
}
