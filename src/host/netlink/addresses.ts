// RTM_*ADDR messages: addresses of links. linux/if_addr.h.

import { type Family, formatIp, ipFromBytes, ipToBytes } from '../../base/address.ts';
import {
  Attributes,
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type Request,
  readU32,
} from './message.ts';
import { familyNumber, familyOfNumber, scopeNumber, scopeOfNumber } from './numbers.ts';
import type { Address, AddressConfig } from './objects.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;

const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

const IFADDR_BYTES = 8;

export function addAddressRequest(config: AddressConfig, onExisting: 'refuse' | 'replace'): Request {
  const flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | (onExisting === 'refuse' ? NLM_F_EXCL : NLM_F_REPLACE);
  const { noDad = false, noPrefixRoute = false } = config;
  const own = (noDad ? IFA_F_NODAD : 0) | (noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const writer = addressMessage(RTM_NEWADDR, flags, config, own);
  return { bytes: writer.finish(), operation: `add the address ${describe(config)}` };
}

export function deleteAddressRequest(key: Pick<AddressConfig, 'index' | 'ip' | 'prefix'>): Request {
  const writer = addressMessage(RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, key);
  return { bytes: writer.finish(), operation: `delete the address ${describe(key)}` };
}

export function listAddressesRequest(filter: { readonly index?: number; readonly family?: Family }): Request {
  const family = filter.family === undefined ? 0 : familyNumber(filter.family);
  const writer = new MessageWriter(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
  writer
    .u8(family)
    .u8(0)
    .u8(0)
    .u8(0)
    .u32(filter.index ?? 0);
  return { bytes: writer.finish(), operation: 'list the addresses' };
}

/** Null unless it is a whole IPv4 or IPv6 address message. */
export function parseAddress({ payload }: Message): Address | null {
  const family = familyOfNumber(payload[0]);
  const index = readU32(payload, 4);
  if (family === null || index === null) return null;
  const attributes = new Attributes(payload, IFADDR_BYTES);
  // IFA_ADDRESS is the far end of a point-to-point link where IFA_LOCAL is there, too.
  const ip = ipFromBytes(attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS) ?? new Uint8Array(0));
  if (ip?.family !== family) return null;
  const flags = attributes.u32(IFA_FLAGS) ?? payload[2]!;
  const has = (flag: number) => (flags & flag) !== 0;
  return {
    index,
    ip,
    prefix: payload[1]!,
    scope: scopeOfNumber(payload[3]!),
    noDad: has(IFA_F_NODAD),
    noPrefixRoute: has(IFA_F_NOPREFIXROUTE),
    permanent: has(IFA_F_PERMANENT),
    tentative: has(IFA_F_TENTATIVE),
    dadFailed: has(IFA_F_DADFAILED),
    deprecated: has(IFA_F_DEPRECATED),
    secondary: has(IFA_F_SECONDARY),
  };
}

function addressMessage(
  type: number,
  messageFlags: number,
  { index, ip, prefix, scope = 'global' }: Pick<AddressConfig, 'index' | 'ip' | 'prefix' | 'scope'>,
  flags = 0,
): MessageWriter {
  const bytes = ipToBytes(ip);
  const writer = new MessageWriter(type, messageFlags);
  writer.u8(familyNumber(ip.family)).u8(prefix).u8(0).u8(scopeNumber(scope)).u32(index);
  writer.attribute(IFA_LOCAL, bytes);
  // The header has room for 8 flags only.
  if (flags !== 0) writer.attributeU32(IFA_FLAGS, flags);
  return writer.attribute(IFA_ADDRESS, bytes);
}

function describe({ index, ip, prefix }: Pick<AddressConfig, 'index' | 'ip' | 'prefix'>): string {
  return `${formatIp(ip)}/${prefix} of the link ${index}`;
}
