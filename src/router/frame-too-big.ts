// The answer to a packet that exceeds the overlay MTU: ICMP "fragmentation needed" (RFC 1191, 792) or ICMPv6 "packet too big"
// (RFC 4443 §3.2), spoken on behalf of the packet's destination, so that it needs no address of ours and its MAC is one that
// may arrive from the overlay. Never an answer to an answer: RFC 1122 §3.2.2 and RFC 4443 §2.4(e) decide who gets none.

import { checksum16, pseudoHeaderSum, storeU16 } from './checksum.ts';
import { type FrameView, readU16 } from './frame.ts';
import { findUpperLayer, type UpperLayer } from './frame-upper-layer.ts';

const ICMP = 1;
const ICMPV6 = 58;
/** RFC 1812 §4.3.2.3: as much as fits 576 bytes. */
const ANSWER4_MAX = 576;
/** RFC 4443 §2.4(c): as much as fits the minimum IPv6 MTU. */
const ANSWER6_MAX = 1280;

/** The frame for the sender's port, or null when this packet gets no answer. `mtu` is the largest packet that would pass. */
export function answerTooBig(frame: FrameView, mtu: number): Uint8Array | null {
  if (frame.toGroup) return null;
  const upper = findUpperLayer(frame);
  if (upper === null || upper.laterFragment || isError(frame, upper)) return null;
  return upper.family === 4 ? answerIpv4(frame, upper, mtu) : answerIpv6(frame, upper, mtu);
}

function isError(frame: FrameView, upper: UpperLayer): boolean {
  if (upper.end <= upper.offset) return false;
  const type = frame.bytes[upper.offset]!;
  if (upper.protocol === ICMPV6) return type < 128 || type === 137;
  return upper.protocol === ICMP && (type === 3 || type === 4 || type === 5 || type === 11 || type === 12);
}

function answerIpv4(frame: FrameView, upper: UpperLayer, mtu: number): Uint8Array | null {
  const { bytes, l3Offset: ip } = frame;
  if (!isHost4(bytes, ip + 12) || !isHost4(bytes, ip + 16)) return null;
  const quoted = Math.min(upper.end - ip, ANSWER4_MAX - 28);
  const answer = new Uint8Array(ip + 28 + quoted);
  copyLinkHeaderSwapped(answer, frame);
  answer[ip] = 0x45;
  storeU16(answer, ip + 2, 28 + quoted);
  answer[ip + 8] = 64;
  answer[ip + 9] = ICMP;
  answer.set(bytes.subarray(ip + 16, ip + 20), ip + 12);
  answer.set(bytes.subarray(ip + 12, ip + 16), ip + 16);
  storeU16(answer, ip + 10, checksum16(answer, ip, ip + 20));
  const icmp = ip + 20;
  answer[icmp] = 3;
  answer[icmp + 1] = 4;
  storeU16(answer, icmp + 6, Math.min(mtu, 0xffff));
  answer.set(bytes.subarray(ip, ip + quoted), icmp + 8);
  storeU16(answer, icmp + 2, checksum16(answer, icmp, answer.length));
  return answer;
}

function answerIpv6(frame: FrameView, upper: UpperLayer, mtu: number): Uint8Array | null {
  const { bytes, l3Offset: ip } = frame;
  if (!isHost6(bytes, ip + 8) || !isHost6(bytes, ip + 24)) return null;
  const quoted = Math.min(upper.end - ip, ANSWER6_MAX - 48);
  const answer = new Uint8Array(ip + 48 + quoted);
  copyLinkHeaderSwapped(answer, frame);
  answer[ip] = 0x60;
  storeU16(answer, ip + 4, 8 + quoted);
  answer[ip + 6] = ICMPV6;
  answer[ip + 7] = 64;
  answer.set(bytes.subarray(ip + 24, ip + 40), ip + 8);
  answer.set(bytes.subarray(ip + 8, ip + 24), ip + 24);
  const icmp = ip + 40;
  answer[icmp] = 2;
  storeU16(answer, icmp + 4, mtu >>> 16);
  storeU16(answer, icmp + 6, mtu);
  answer.set(bytes.subarray(ip, ip + quoted), icmp + 8);
  const pseudo = pseudoHeaderSum(answer, { offset: ip + 8, length: 32 }, { length: 8 + quoted, protocol: ICMPV6 });
  storeU16(answer, icmp + 2, checksum16(answer, icmp, answer.length, pseudo));
  return answer;
}

/** Back to the sender, with its tags and type. */
function copyLinkHeaderSwapped(answer: Uint8Array, frame: FrameView): void {
  answer.set(frame.bytes.subarray(6, 12), 0);
  answer.set(frame.bytes.subarray(0, 6), 6);
  answer.set(frame.bytes.subarray(12, frame.l3Offset), 12);
}

/** One host: not this-network, loopback, multicast, reserved or broadcast. */
function isHost4(bytes: Uint8Array, offset: number): boolean {
  const first = bytes[offset]!;
  return first !== 0 && first !== 127 && first < 224;
}

/** Neither multicast nor unspecified. */
function isHost6(bytes: Uint8Array, offset: number): boolean {
  if (bytes[offset] === 0xff) return false;
  for (let i = 0; i < 16; i += 2) if (readU16(bytes, offset + i) !== 0) return true;
  return false;
}
