// Reads ARP (RFC 826, 5227) and IPv6 neighbour discovery (RFC 4861) out of a frame: who asks for whom, and which binding of
// an address to a MAC the message claims. The forwarding rules need no more of them. Anything malformed is null: it is carried
// as an ordinary frame and its receiver ignores it.

import { formatIp, ipFromBytes } from '../base/address.ts';
import { type Mac, macFromBytes } from '../base/ids.ts';
import { EtherType, type FrameView, readU16 } from './frame.ts';
import { findUpperLayer } from './frame-upper-layer.ts';

export interface NeighbourMessage {
  readonly kind: 'question' | 'statement' | 'router' | 'redirect';
  readonly family: 4 | 6;
  /** Address asked for or stated, canonical text. Empty for `router`. */
  readonly target: string;
  /** The sender's own address; null when it has none yet (ARP probe, NS from `::`). */
  readonly sender: string | null;
  /** The binding that receivers of this message would believe; null when it claims none. */
  readonly claim: { readonly ip: string; readonly mac: Mac } | null;
}

const ARP_BYTES = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const ICMPV6 = 58;
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
const REDIRECT = 137;
const SOURCE_LINK_ADDRESS = 1;
const TARGET_LINK_ADDRESS = 2;
const OPTIONS_MAX = 16;

export function readNeighbourMessage(frame: FrameView): NeighbourMessage | null {
  if (frame.etherType === EtherType.arp) return readArp(frame.bytes, frame.l3Offset);
  if (frame.etherType === EtherType.ipv6) return readDiscovery(frame);
  return null;
}

function readArp(bytes: Uint8Array, start: number): NeighbourMessage | null {
  if (bytes.length < start + ARP_BYTES) return null;
  const ethernetForIpv4 = readU16(bytes, start) === 1 && readU16(bytes, start + 2) === EtherType.ipv4;
  if (!ethernetForIpv4 || bytes[start + 4] !== 6 || bytes[start + 5] !== 4) return null;
  const operation = readU16(bytes, start + 6);
  if (operation !== ARP_REQUEST && operation !== ARP_REPLY) return null;
  const senderIp = ipText(bytes, start + 14, 4);
  const sender = senderIp === '0.0.0.0' ? null : senderIp;
  return {
    kind: operation === ARP_REQUEST ? 'question' : 'statement',
    family: 4,
    target: operation === ARP_REQUEST ? ipText(bytes, start + 24, 4) : senderIp,
    sender,
    claim: sender === null ? null : { ip: sender, mac: macFromBytes(bytes, start + 8) },
  };
}

function readDiscovery(frame: FrameView): NeighbourMessage | null {
  const upper = findUpperLayer(frame);
  if (upper === null || upper.protocol !== ICMPV6 || upper.laterFragment || upper.end < upper.offset + 8) return null;
  const { bytes, l3Offset } = frame;
  const sourceText = ipText(bytes, l3Offset + 8, 16);
  const sender = sourceText === '::' ? null : sourceText;
  const type = bytes[upper.offset]!;
  if (type === ROUTER_ADVERTISEMENT) return { kind: 'router', family: 6, target: '', sender, claim: null };
  if (upper.end < upper.offset + 24) return null;
  const target = ipText(bytes, upper.offset + 8, 16);
  if (type === REDIRECT) return { kind: 'redirect', family: 6, target, sender, claim: null };
  const range = { start: upper.offset + 24, end: upper.end };
  if (type === NEIGHBOUR_SOLICITATION) {
    const mac = readLinkAddress(bytes, range, SOURCE_LINK_ADDRESS);
    const claim = sender === null || mac === null ? null : { ip: sender, mac };
    return { kind: 'question', family: 6, target, sender, claim };
  }
  if (type === NEIGHBOUR_ADVERTISEMENT) {
    const mac = readLinkAddress(bytes, range, TARGET_LINK_ADDRESS);
    return { kind: 'statement', family: 6, target, sender, claim: mac === null ? null : { ip: target, mac } };
  }
  return null;
}

/** Options are units of eight bytes: type, length in units, value (RFC 4861 §4.6). The last one counts, as in Linux. */
function readLinkAddress(bytes: Uint8Array, range: { start: number; end: number }, wanted: number): Mac | null {
  let mac: Mac | null = null;
  let offset = range.start;
  for (let options = 0; options < OPTIONS_MAX && offset + 8 <= range.end; options++) {
    const length = bytes[offset + 1]! * 8;
    if (length === 0) return null;
    if (bytes[offset] === wanted) mac = macFromBytes(bytes, offset + 2);
    offset += length;
  }
  return mac;
}

function ipText(bytes: Uint8Array, offset: number, length: 4 | 16): string {
  return formatIp(ipFromBytes(bytes.subarray(offset, offset + length))!);
}
