// Blocks, records and addresses as tests of the simulated cluster of leases compare them. Test code only.

import { type Cidr, type IpAddress, parseIp } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/base/ids.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(`no address: ${text}`);
  return parsed;
}

export function ownBlocks(ipam: Ipam, self: PeerId): Cidr[] {
  return ipam
    .leases()
    .filter(({ peer, state }) => peer === self && state !== 'incoming' && state !== 'disputed')
    .map(({ cidr }) => cidr);
}

export function identity(record: LeaseRecord): string {
  return `${record.cidr} ${record.epoch} ${record.giftId} ${record.owner} ${toHex(record.signature)}`;
}

export function size(block: Cidr): bigint {
  return 1n << BigInt((block.family === 4 ? 32 : 128) - block.prefix);
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.base < b.base + size(b) && b.base < a.base + size(a);
}
