// Builds the ARP and neighbour-discovery frames that a host says on behalf of a remote container: answers to questions on the
// local bridge, and announcements when an address moved to another MAC. They only ever enter the local port, never the wire.
// RFC 826, 5227 §3 (announcement), 4861 §4.4 and §7.2.6 (solicited and unsolicited advertisement).

import { ipToBytes, parseIp } from '../base/address.ts';
import { assert } from '../base/errors.ts';
import { type Mac, macToBytes } from '../base/ids.ts';
import { checksum16, pseudoHeaderSum, storeU16 } from './checksum.ts';
import { ETHERNET_BYTES, EtherType, type FrameView } from './frame.ts';

const BROADCAST = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
const ALL_NODES_MAC = new Uint8Array([0x33, 0x33, 0, 0, 0, 1]);
const ALL_NODES = ipToBytes(parseIp('ff02::1')!);
const ARP_BYTES = 28;
const ADVERTISEMENT_BYTES = 32;
const ICMPV6 = 58;
const FLAG_SOLICITED = 0x40;
const FLAG_OVERRIDE = 0x20;

/** The reply to the ARP request in `question`: `mac` has the address it asks for. Carries the question's VLAN tags. */
export function answerArp(question: FrameView, mac: Mac): Uint8Array {
  const { bytes, l3Offset } = question;
  const asker = bytes.subarray(l3Offset + 8, l3Offset + 18);
  const target = bytes.subarray(l3Offset + 24, l3Offset + 28);
  const frame = new Uint8Array(l3Offset + ARP_BYTES);
  copyLinkHeader(frame, question, mac);
  writeArp(frame, l3Offset, { operation: 2, senderMac: macToBytes(mac), senderIp: target });
  frame.set(asker, l3Offset + 18);
  return frame;
}

/** The solicited advertisement for the neighbour solicitation in `question`, whose source is not `::`. */
export function answerSolicitation(question: FrameView, target: string, mac: Mac): Uint8Array {
  const { bytes, l3Offset } = question;
  const frame = new Uint8Array(l3Offset + 40 + ADVERTISEMENT_BYTES);
  copyLinkHeader(frame, question, mac);
  writeAdvertisement(frame, l3Offset, {
    targetIp: ipBytes(target),
    destinationIp: bytes.subarray(l3Offset + 8, l3Offset + 24),
    mac: macToBytes(mac),
    flags: FLAG_SOLICITED | FLAG_OVERRIDE,
  });
  return frame;
}

/** An ARP announcement or unsolicited advertisement: neighbours that know `ip` by another MAC change it at once. */
export function announceNeighbour(ip: string, mac: Mac): Uint8Array {
  const address = ipBytes(ip);
  const source = macToBytes(mac);
  if (address.length === 4) {
    const frame = new Uint8Array(ETHERNET_BYTES + ARP_BYTES);
    writeLinkHeader(frame, { destination: BROADCAST, source, type: EtherType.arp });
    writeArp(frame, ETHERNET_BYTES, { operation: 1, senderMac: source, senderIp: address });
    frame.set(address, ETHERNET_BYTES + 24);
    return frame;
  }
  const frame = new Uint8Array(ETHERNET_BYTES + 40 + ADVERTISEMENT_BYTES);
  writeLinkHeader(frame, { destination: ALL_NODES_MAC, source, type: EtherType.ipv6 });
  writeAdvertisement(frame, ETHERNET_BYTES, {
    targetIp: address,
    destinationIp: ALL_NODES,
    mac: source,
    flags: FLAG_OVERRIDE,
  });
  return frame;
}

function ipBytes(text: string): Uint8Array {
  const ip = parseIp(text);
  assert(ip !== null, 'neighbour tables hold canonical addresses');
  return ipToBytes(ip);
}

/** To the asker, from `mac`, with the question's tags and type. */
function copyLinkHeader(frame: Uint8Array, question: FrameView, mac: Mac): void {
  frame.set(question.bytes.subarray(6, 12), 0);
  frame.set(macToBytes(mac), 6);
  frame.set(question.bytes.subarray(12, question.l3Offset), 12);
}

function writeLinkHeader(
  frame: Uint8Array,
  header: { destination: Uint8Array; source: Uint8Array; type: number },
): void {
  frame.set(header.destination, 0);
  frame.set(header.source, 6);
  storeU16(frame, 12, header.type);
}

/** All but the target's MAC and address. */
function writeArp(
  frame: Uint8Array,
  start: number,
  arp: { operation: 1 | 2; senderMac: Uint8Array; senderIp: Uint8Array },
): void {
  storeU16(frame, start, 1);
  storeU16(frame, start + 2, EtherType.ipv4);
  frame[start + 4] = 6;
  frame[start + 5] = 4;
  storeU16(frame, start + 6, arp.operation);
  frame.set(arp.senderMac, start + 8);
  frame.set(arp.senderIp, start + 14);
}

function writeAdvertisement(
  frame: Uint8Array,
  start: number,
  na: { targetIp: Uint8Array; destinationIp: Uint8Array; mac: Uint8Array; flags: number },
): void {
  frame[start] = 0x60;
  storeU16(frame, start + 4, ADVERTISEMENT_BYTES);
  frame[start + 6] = ICMPV6;
  frame[start + 7] = 255;
  frame.set(na.targetIp, start + 8);
  frame.set(na.destinationIp, start + 24);
  const icmp = start + 40;
  frame[icmp] = 136;
  frame[icmp + 4] = na.flags;
  frame.set(na.targetIp, icmp + 8);
  frame[icmp + 24] = 2;
  frame[icmp + 25] = 1;
  frame.set(na.mac, icmp + 26);
  const pseudo = pseudoHeaderSum(
    frame,
    { offset: start + 8, length: 32 },
    { length: ADVERTISEMENT_BYTES, protocol: ICMPV6 },
  );
  storeU16(frame, icmp + 2, checksum16(frame, icmp, icmp + ADVERTISEMENT_BYTES, pseudo));
}
