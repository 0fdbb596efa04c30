// Names of containers as DNS has them: which texts are names, how they stand under our domain, and the reverse names of
// addresses. Names in records are relative, so that each host may call the domain as it likes; all text is lower case without
// a trailing dot (RFC 1034 §3.1, RFC 1123 §2.1; underscores, because container runtimes use them).

import { type Cidr, formatIp, type IpAddress, ipFromBytes, ipToBytes } from '../base/address.ts';

/** Octets of a whole name as text (RFC 1035 §2.3.4). */
export const NAME_CHARS_MAX = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** The name in lower case without a trailing dot; null when a label or the whole is none. */
export function parseDomainName(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  return name.length <= NAME_CHARS_MAX && name.split('.').every((label) => LABEL.test(label)) ? name : null;
}

/** A name under `domain`, given with or without it, as the part before the domain; null when it is none. */
export function relativeName(text: string, domain: string): string | null {
  const name = parseDomainName(text);
  if (name === null || name === domain) return null;
  const relative = name.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : name;
  return relative.length + 1 + domain.length <= NAME_CHARS_MAX ? relative : null;
}

/** True for the domain itself and everything below it; both in lower case. */
export function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** `4.3.2.1.in-addr.arpa` (RFC 1035 §3.5) or 32 nibbles under `ip6.arpa` (RFC 3596 §2.5). */
export function reverseName(ip: IpAddress): string {
  return reverseLabels(ip).join('.');
}

/**
 * The zone of reverse names around an address of `block`: the block's own when its prefix ends at a label, else the next longer
 * prefix that does, because a zone can't begin within a label (RFC 2317).
 */
export function reverseZone(ip: IpAddress, block: Cidr): string {
  const bitsPerLabel = ip.family === 4 ? 8 : 4;
  const labels = reverseLabels(ip);
  const suffix = 2;
  const kept = Math.ceil(block.prefix / bitsPerLabel) + suffix;
  return labels.slice(labels.length - kept).join('.');
}

/**
 * What a reverse name stands for: an address, or the first address below it when labels are missing (`whole` is false). Null
 * when it is no reverse name.
 */
export function parseReverseName(name: string): { readonly ip: IpAddress; readonly whole: boolean } | null {
  const isV4 = name.endsWith('.in-addr.arpa');
  if (!isV4 && !name.endsWith('.ip6.arpa')) return null;
  const labels = name.split('.').slice(0, -2).reverse();
  const digit = isV4 ? /^(?:0|[1-9]\d{0,2})$/ : /^[0-9a-f]$/;
  const count = isV4 ? 4 : 32;
  if (labels.length > count || !labels.every((label) => digit.test(label) && (!isV4 || Number(label) < 256)))
    return null;
  const values = labels.map((label) => Number.parseInt(label, isV4 ? 10 : 16));
  while (values.length < count) values.push(0);
  const bytes = isV4 ? values : values.flatMap((high, i) => (i % 2 === 0 ? [high * 16 + values[i + 1]!] : []));
  return { ip: ipFromBytes(Uint8Array.from(bytes))!, whole: labels.length === count };
}

function reverseLabels(ip: IpAddress): readonly string[] {
  if (ip.family === 4) return [...formatIp(ip).split('.').reverse(), 'in-addr', 'arpa'];
  const nibbles = [...ipToBytes(ip)].flatMap((byte) => [byte >> 4, byte & 15]);
  return [...nibbles.reverse().map((nibble) => nibble.toString(16)), 'ip6', 'arpa'];
}
