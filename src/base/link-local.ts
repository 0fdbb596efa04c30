// The IPv6 link-local address that an interface makes of its MAC (RFC 4291 appendix A, modified EUI-64).

import { formatIp, type IpAddress } from './address.ts';
import { type Mac, macToBytes } from './ids.ts';

/** `fe80::` and the modified EUI-64 of the MAC. */
export function linkLocalIp(mac: Mac): IpAddress {
  const bytes = macToBytes(mac);
  const eui = [bytes[0]! ^ 2, bytes[1]!, bytes[2]!, 0xff, 0xfe, bytes[3]!, bytes[4]!, bytes[5]!];
  let value = 0xfe80n << 48n;
  for (const byte of eui) value = (value << 8n) | BigInt(byte);
  return { family: 6, value };
}

/** The same as canonical text. */
export function linkLocalOf(mac: Mac): string {
  return formatIp(linkLocalIp(mac));
}
