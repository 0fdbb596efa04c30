// IPv4 and IPv6 addresses and CIDR blocks as values: parsing, canonical text (RFC 5952), containment, halves, arithmetic.
// Addresses are kept as bigint plus family, which is exact and off every hot path; frames use bytes.

import ip6addr from 'ip6addr';

export type Family = 4 | 6;

export interface IpAddress {
  readonly family: Family;
  /** 0 to 2^32 - 1 or 2^128 - 1. */
  readonly value: bigint;
}

/** An aligned block: the bits of `base` behind `prefix` are zero. */
export interface Cidr {
  readonly family: Family;
  readonly base: bigint;
  /** 0 to 32 or 128. */
  readonly prefix: number;
}

export function addressBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

const DOT = 0x2e;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;

/** Accepts dotted quads and RFC 4291 text without zone; null on anything else. IPv4-mapped IPv6 stays IPv6. */
export function parseIp(text: string): IpAddress | null {
  const quad = parseQuad(text);
  if (quad !== null) return { family: 4, value: BigInt(quad) };
  if (!text.includes(':') || !/^[0-9a-fA-F:.]{2,45}$/.test(text)) return null;
  try {
    // Its toBuffer would call the deprecated `Buffer()`, which alone costs as much as the parsing.
    const groups = ip6addr.parse(text).toString({ format: 'v6', zeroElide: false, zeroPad: true });
    return { family: 6, value: BigInt(`0x${groups.replaceAll(':', '')}`) };
  } catch {
    return null;
  }
}

/** Strict: four numbers up to 255 without leading zeros. */
function parseQuad(text: string): number | null {
  let value = 0;
  let part = -1; // no digit yet
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= DIGIT_0 && code <= DIGIT_9 && part !== 0) {
      part = Math.max(part, 0) * 10 + code - DIGIT_0;
      if (part > 255) return null;
    } else if (code === DOT && part >= 0) {
      value = value * 256 + part;
      part = -1;
      dots++;
    } else return null;
  }
  return dots === 3 && part >= 0 ? value * 256 + part : null;
}

export function formatIp(ip: IpAddress): string {
  if (ip.family === 4) {
    const value = Number(ip.value);
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
  }
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((ip.value >> shift) & 0xffffn));
  return compressGroups(groups);
}

/** 4 or 16 bytes in network order, freshly allocated. */
export function ipToBytes(ip: IpAddress): Uint8Array {
  const bytes = new Uint8Array(ip.family === 4 ? 4 : 16);
  let value = ip.value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

/** Null unless there are 4 or 16 bytes. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | null {
  if (bytes.length !== 4 && bytes.length !== 16) return null;
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** Strict: host bits must be zero. See {@link parseInterfaceAddress} for an address with its prefix length. */
export function parseCidr(text: string): Cidr | null {
  const address = parseInterfaceAddress(text);
  if (address === null) return null;
  const { ip, prefix } = address;
  const block = cidrOf(ip, prefix);
  return block.base === ip.value ? block : null;
}

/** `10.32.0.5/12`: an address and the length of its prefix. */
export function parseInterfaceAddress(text: string): { ip: IpAddress; prefix: number } | null {
  const [address, length, ...rest] = text.split('/');
  if (address === undefined || length === undefined || rest.length > 0 || !/^\d{1,3}$/.test(length)) return null;
  const ip = parseIp(address);
  const prefix = Number(length);
  return ip === null || prefix > addressBits(ip.family) ? null : { ip, prefix };
}

export function formatCidr(block: Cidr): string {
  return `${formatIp({ family: block.family, value: block.base })}/${block.prefix}`;
}

/** The aligned block of that prefix length around an address. */
export function cidrOf(ip: IpAddress, prefix: number): Cidr {
  const hostBits = BigInt(addressBits(ip.family) - prefix);
  return { family: ip.family, base: (ip.value >> hostBits) << hostBits, prefix };
}

/** Number of addresses in the block. */
export function cidrSize(block: Cidr): bigint {
  return 1n << BigInt(addressBits(block.family) - block.prefix);
}

export function cidrLast(block: Cidr): bigint {
  return block.base + cidrSize(block) - 1n;
}

export function cidrHasIp(block: Cidr, ip: IpAddress): boolean {
  return ip.family === block.family && ip.value >= block.base && ip.value <= cidrLast(block);
}

/** True when `inner` lies inside `outer` or equals it. */
export function cidrContains(outer: Cidr, inner: Cidr): boolean {
  return (
    outer.family === inner.family &&
    inner.prefix >= outer.prefix &&
    cidrOf(cidrIp(inner), outer.prefix).base === outer.base
  );
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return cidrContains(a, b) || cidrContains(b, a);
}

/** The lower and the upper half; null for a single address. */
export function cidrHalves(block: Cidr): readonly [Cidr, Cidr] | null {
  if (block.prefix === addressBits(block.family)) return null;
  const prefix = block.prefix + 1;
  const lower: Cidr = { family: block.family, base: block.base, prefix };
  return [lower, { family: block.family, base: block.base + cidrSize(lower), prefix }];
}

/** By family, base, then shorter prefix first. */
export function compareCidrs(a: Cidr, b: Cidr): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.prefix - b.prefix;
}

/** What remains of `outer` without `inner` (which lies inside it): the fewest aligned blocks, ascending. */
export function cidrSubtract(outer: Cidr, inner: Cidr): readonly Cidr[] {
  const rest: Cidr[] = [];
  let block = outer;
  while (block.prefix < inner.prefix) {
    const [lower, upper] = cidrHalves(block)!;
    const innerInLower = cidrContains(lower, inner);
    rest.push(innerInLower ? upper : lower);
    block = innerInLower ? lower : upper;
  }
  return rest.sort(compareCidrs);
}

function cidrIp(block: Cidr): IpAddress {
  return { family: block.family, value: block.base };
}

/** RFC 5952: the longest run of at least two zero groups, the first of equals, becomes `::`. */
function compressGroups(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (start + length < groups.length && groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(':');
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`;
}
