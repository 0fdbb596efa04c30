// Records of networks, to and from the key and value under which gossip carries them: a network as it was made, and an operator's
// word that it is no more. Both stay for ever, so that no id is used twice while anybody remembers the network that had it.

import { addressBits, formatCidr } from '../base/address.ts';
import { DEFAULT_VNI, isNetworkName, NETWORK_IDS_VNI, parseVni, type Vni } from '../base/ids.ts';
import type { NetworkRecord } from '../base/records.ts';
import { cidrFrom, decode, encode, isNumber, prefixFields } from './record-fields.ts';
import { recordType } from './records-schema.ts';

const NETWORK = recordType('Network');
const REMOVAL = recordType('NetworkRemoval');
/** Keys of the networks that were made at an author, and of those that were removed there. */
const NETWORK_PREFIX = 'net/';
const NETWORK_REMOVAL_PREFIX = 'net-gone/';

export function networkKey(network: Vni): string {
  return `${NETWORK_PREFIX}${network}`;
}

export function networkRemovalKey(network: Vni): string {
  return `${NETWORK_REMOVAL_PREFIX}${network}`;
}

/** Of a network or of its removal: what all hosts remember, whatever becomes of the author. */
export function isNetworkKey(key: string): boolean {
  return key.startsWith(NETWORK_PREFIX) || key.startsWith(NETWORK_REMOVAL_PREFIX);
}

export function isNetworkRemovalKey(key: string): boolean {
  return key.startsWith(NETWORK_REMOVAL_PREFIX);
}

/** The value under {@link networkKey}. */
export function encodeNetwork({ name, range, range6, leasePrefix, leasePrefix6, internal }: NetworkRecord): Uint8Array {
  return encode(NETWORK, {
    name,
    range: prefixFields(range),
    range6: range6 === null ? undefined : prefixFields(range6),
    leasePrefix,
    leasePrefix6,
    internal,
  });
}

/** Form and bounds only: whether the author may use that id is for who knows the leases. */
export function decodeNetwork(key: string, value: Uint8Array): NetworkRecord | null {
  const network = parseNumberedKey(key, networkKey);
  const fields = decode(NETWORK, value);
  if (network === null || fields === null) return null;
  const range = cidrFrom(fields.range, 4);
  const range6 = fields.range6 === null ? null : cidrFrom(fields.range6, 6);
  const { name, leasePrefix, leasePrefix6, internal } = fields;
  if (typeof name !== 'string' || !isNetworkName(name) || typeof internal !== 'boolean') return null;
  if (range === null || (fields.range6 !== null && range6 === null)) return null;
  if (!isNumber(leasePrefix) || leasePrefix < range.prefix || leasePrefix > addressBits(4)) return null;
  if (!isNumber(leasePrefix6) || leasePrefix6 < (range6?.prefix ?? 0) || leasePrefix6 > addressBits(6)) return null;
  return {
    network,
    name,
    range: formatCidr(range),
    range6: range6 === null ? null : formatCidr(range6),
    leasePrefix,
    leasePrefix6,
    internal,
  };
}

/** The value under {@link networkRemovalKey}. */
export function encodeNetworkRemoval(): Uint8Array {
  return encode(REMOVAL, {});
}

export function decodeNetworkRemoval(key: string, value: Uint8Array): Vni | null {
  const network = parseNumberedKey(key, networkRemovalKey);
  return decode(REMOVAL, value) === null ? null : network;
}

/** A network beside the default one; null when the key is not canonical. */
function parseNumberedKey(key: string, keyOf: (network: Vni) => string): Vni | null {
  const network = parseVni(Number(/\/(\d{1,8})$/.exec(key)?.[1]));
  if (network === null || network === DEFAULT_VNI || network >= NETWORK_IDS_VNI) return null;
  return keyOf(network) === key ? network : null;
}
