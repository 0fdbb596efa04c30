// Ranges of addresses as host-local's configuration and the ipRanges capability write them (CONVENTIONS.md of CNI): a list of
// sets, of each of which a container gets one address; a set is ranges {subnet, rangeStart, rangeEnd, gateway} of one family.
// They become aligned blocks here. A `gateway` in them is passed over: every host answers at the network's own.

import {
  addressBits,
  type Cidr,
  cidrHasIp,
  cidrLast,
  cidrOf,
  parseInterfaceAddress,
  parseIp,
} from '../base/address.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { JsonFields } from './json-fields.ts';

/** Ours: sets of one configuration, and ranges of one set. */
const SETS_MAX = 16;
const RANGES_MAX = 16;

/** Of `ipam` ({ranges} or {subnet, rangeStart, rangeEnd}) and of runtimeConfig.ipRanges together. Throws CniError 7. */
export function readRanges(ipam: JsonFields | null, runtime: JsonFields | null): readonly (readonly Cidr[])[] {
  const single = ipam === null || ipam.value('subnet') === undefined ? [] : [readRange(ipam)];
  const sets = [...single, ...readSets(ipam, 'ranges'), ...readSets(runtime, 'ipRanges')];
  if (sets.length > SETS_MAX) throw new CniError(CNI_CODE.config, `more than ${SETS_MAX} sets of address ranges`);
  return sets;
}

function readSets(fields: JsonFields | null, key: string): readonly (readonly Cidr[])[] {
  const value = fields?.value(key);
  if (value === undefined) return [];
  const place = `${fields?.place}.${key}`;
  if (!Array.isArray(value)) throw new CniError(CNI_CODE.config, `${place} must be an array of arrays`);
  return value.map((set: unknown, index) => readSet(set, `${place}[${index}]`)).filter((set) => set.length > 0);
}

function readSet(set: unknown, place: string): readonly Cidr[] {
  if (!Array.isArray(set)) throw new CniError(CNI_CODE.config, `${place} must be an array of ranges`);
  if (set.length > RANGES_MAX) throw new CniError(CNI_CODE.config, `${place} has more than ${RANGES_MAX} ranges`);
  const blocks = set.flatMap((range: unknown, index) => readRange(JsonFields.of(range, `${place}[${index}]`)));
  if (new Set(blocks.map(({ family }) => family)).size > 1) {
    throw new CniError(CNI_CODE.config, `${place} mixes IPv4 and IPv6`);
  }
  return blocks;
}

/** `subnet` may have host bits, as host-local allows it. */
function readRange(range: JsonFields): readonly Cidr[] {
  const text = range.string('subnet') ?? '';
  const parsed = parseInterfaceAddress(text);
  const subnet = parsed === null ? null : cidrOf(parsed.ip, parsed.prefix);
  if (subnet === null)
    throw new CniError(CNI_CODE.config, `${range.place}.subnet is no CIDR block`, JSON.stringify(text));
  const first = bound(range, 'rangeStart', subnet) ?? subnet.base;
  const last = bound(range, 'rangeEnd', subnet) ?? cidrLast(subnet);
  if (first > last) throw new CniError(CNI_CODE.config, `${range.place}: rangeStart lies behind rangeEnd`);
  return blocksBetween(subnet.family, first, last);
}

function bound(range: JsonFields, key: string, subnet: Cidr): bigint | null {
  const text = range.string(key) ?? '';
  if (text === '') return null;
  const ip = parseIp(text);
  if (ip === null || !cidrHasIp(subnet, ip)) {
    throw new CniError(CNI_CODE.config, `${range.place}.${key} is no address of the subnet`, JSON.stringify(text));
  }
  return ip.value;
}

/** The fewest aligned blocks that cover exactly these addresses, ascending: at most two per bit of an address. */
function blocksBetween(family: 4 | 6, first: bigint, last: bigint): readonly Cidr[] {
  const blocks: Cidr[] = [];
  for (let base = first; base <= last; ) {
    let hostBits = 0n;
    while (hostBits < BigInt(addressBits(family))) {
      const size = 1n << (hostBits + 1n);
      if (base % size !== 0n || base + size - 1n > last) break;
      hostBits++;
    }
    blocks.push({ family, base, prefix: addressBits(family) - Number(hostBits) });
    base += 1n << hostBits;
  }
  return blocks;
}
