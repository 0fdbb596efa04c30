// The fixed facts of a network's address space: its ranges, the size of a lease block, and the few addresses that no host
// ever allocates. The overlay is one on-link prefix (RFC 1122 §3.2.1.3, RFC 4291 §2.6.1), so only the range's own network,
// broadcast and gateway addresses are special; the .0 and .255 of a lease block inside it are ordinary addresses.

import {
  addressBits,
  type Cidr,
  cidrHasIp,
  cidrLast,
  cidrSize,
  type Family,
  type IpAddress,
  parseCidr,
} from '../base/address.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import type { Genesis } from '../base/records.ts';

export interface FamilyPlan {
  readonly family: Family;
  readonly range: Cidr;
  /** Prefix length of one lease block; at least the range's own. */
  readonly leasePrefix: number;
}

export interface AddressPlan {
  readonly network: Vni;
  /** Who owned the whole space before the first gift. */
  readonly creator: PeerId;
  /** IPv4 first; IPv6 only where the network has a range of it. */
  readonly families: readonly FamilyPlan[];
}

/** Smaller ranges leave no address beside network, gateway and broadcast. */
const RANGE_PREFIX_MAX = { 4: 29, 6: 126 } as const;
/** A range is cut into at least 2^4 lease blocks where it is large enough, so that sixteen hosts get one each. */
const BLOCKS_MIN_BITS = 4;
/** No lease block is made smaller than four addresses. */
const BLOCK_MIN_BITS = 2;

/** Null when a range is malformed, of the wrong family or too small (longer than /29 or /126). */
export function makeAddressPlan(
  network: Vni,
  facts: Pick<Genesis, 'creator' | 'range' | 'range6' | 'leasePrefix' | 'leasePrefix6'>,
): AddressPlan | null {
  const v4 = makeFamilyPlan(4, facts.range, facts.leasePrefix);
  if (v4 === null) return null;
  if (facts.range6 === null) return { network, creator: facts.creator, families: [v4] };
  const v6 = makeFamilyPlan(6, facts.range6, facts.leasePrefix6);
  return v6 === null ? null : { network, creator: facts.creator, families: [v4, v6] };
}

/** The lease prefix a creator should choose: `wanted`, or longer where the range would have fewer than 16 blocks. */
export function leasePrefixFor(range: Cidr, wanted: number): number {
  const longest = addressBits(range.family) - BLOCK_MIN_BITS;
  const enoughBlocks = Math.max(wanted, range.prefix + BLOCKS_MIN_BITS);
  return Math.max(range.prefix, Math.min(enoughBlocks, longest));
}

export function familyPlan(plan: AddressPlan, family: Family): FamilyPlan | null {
  return plan.families.find((candidate) => candidate.family === family) ?? null;
}

/**
 * The prefix length of one block to give in a cluster of so many hosts: the network's lease prefix, or longer where a block of
 * that size for each of them would leave less than a quarter of the range in reserve.
 */
export function blockPrefixFor({ family, range, leasePrefix }: FamilyPlan, hosts: number): number {
  const bits = addressBits(family);
  let prefix = leasePrefix;
  while (prefix < bits - BLOCK_MIN_BITS && (BigInt(hosts) << BigInt(bits - prefix)) * 4n > cidrSize(range) * 3n) {
    prefix++;
  }
  return prefix;
}

/** The gateway on every host's bridge: the first host address of the range. */
export function gatewayOf(plan: FamilyPlan): IpAddress {
  return { family: plan.family, value: plan.range.base + 1n };
}

/** Network address, gateway, and IPv4's broadcast address; in ascending order. */
export function reservedAddresses(plan: FamilyPlan): readonly bigint[] {
  const first = [plan.range.base, plan.range.base + 1n];
  return plan.family === 4 ? [...first, cidrLast(plan.range)] : first;
}

/** True for an address of the range that may be given to a container. */
export function isAllocatable(plan: FamilyPlan, value: bigint): boolean {
  return cidrHasIp(plan.range, { family: plan.family, value }) && !reservedAddresses(plan).includes(value);
}

/** How many addresses of the block may be given to containers. */
export function usableSize(plan: FamilyPlan, block: Cidr): bigint {
  let size = 1n << BigInt(addressBits(block.family) - block.prefix);
  for (const value of reservedAddresses(plan)) if (cidrHasIp(block, { family: block.family, value })) size -= 1n;
  return size;
}

function makeFamilyPlan(family: Family, text: string, wanted: number): FamilyPlan | null {
  const range = parseCidr(text);
  if (range === null || range.family !== family || range.prefix > RANGE_PREFIX_MAX[family]) return null;
  if (!Number.isInteger(wanted) || wanted < 0 || wanted > addressBits(family)) return null;
  return { family, range, leasePrefix: Math.max(wanted, range.prefix) };
}
