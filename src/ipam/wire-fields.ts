// The fields that the lease channel's binary formats share: identifiers and blocks. Numbers are in network order; readers take
// bytes from outside and answer null on what is not canonical.

import { type Cidr, cidrOf, type Family, ipFromBytes, ipToBytes } from '../base/address.ts';
import { type ByteReader, type ByteWriter, fromHex } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';

/** Family 1 | prefix 1 | address 4 or 16. */
export function writeCidr(writer: ByteWriter, { family, base, prefix }: Cidr): void {
  writer
    .u8(family)
    .u8(prefix)
    .bytes(ipToBytes({ family, value: base }));
}

export function readCidr(reader: ByteReader): Cidr | null {
  const family = readFamily(reader.u8());
  const prefix = reader.u8();
  if (family === null || prefix > (family === 4 ? 32 : 128)) return null;
  const ip = ipFromBytes(reader.bytes(family === 4 ? 4 : 16));
  if (ip === null) return null;
  const cidr = cidrOf(ip, prefix);
  return cidr.base === ip.value ? cidr : null;
}

export function readFamily(value: number): Family | null {
  return value === 4 || value === 6 ? value : null;
}

/** The 16 bytes of a peer or gift id. Throws on anything else: ids are valid by type. */
export function idBytes(id: string): Uint8Array {
  const bytes = fromHex(id);
  assert(bytes?.length === 16, 'an identifier is 16 bytes in hex');
  return bytes;
}
