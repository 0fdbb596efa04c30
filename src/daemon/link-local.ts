// The IPv6 link-local address that an interface makes of its MAC (RFC 4291 appendix A, modified EUI-64).

import { formatIp, ipFromBytes } from '../base/address.ts';
import { type Mac, macToBytes } from '../base/ids.ts';

export function linkLocalOf(mac: Mac): string {
  const octets = macToBytes(mac);
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80], 0);
  address.set([octets[0]! ^ 2, octets[1]!, octets[2]!, 0xff, 0xfe, octets[3]!, octets[4]!, octets[5]!], 8);
  return formatIp(ipFromBytes(address)!);
}
