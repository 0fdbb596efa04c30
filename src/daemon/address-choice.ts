// From what a caller wishes of our address management to addresses: requested ones, one out of each set of ranges, or one of
// each family. And the other way round: an address as its holder is told it, with prefix length and gateway.

import { type Cidr, cidrContains, cidrHasIp, formatIp, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import type { AddressWishes, AttachedAddress } from '../cni-plugin/backend.ts';
import type { AddressPorts, AddressWish, NetworkAddressing } from './attachment-ports.ts';

/** Throws `address-invalid` before anything is allocated. */
export function planAddresses(
  { ips, ranges }: AddressWishes,
  { range, range6 }: NetworkAddressing,
): readonly Omit<AddressWish, 'owner'>[] {
  if (ips.length === 0 && ranges.length === 0) {
    const v4 = { family: 4 as const, wanted: null };
    return range6 === null ? [v4] : [v4, { family: 6 as const, wanted: null }];
  }
  const requested = ips.map((text) => {
    const ip = text.includes('/') ? (parseInterfaceAddress(text)?.ip ?? null) : parseIp(text);
    if (ip === null) throw new FabricError('address-invalid', { what: `${text} is no IP address` });
    return ip;
  });
  // As host-local has it: a requested address is the one out of the set that it lies in.
  const open = ranges.filter((set) => !requested.some((ip) => set.some((block) => cidrHasIp(block, ip))));
  return [
    ...requested.map((ip) => ({ family: ip.family, wanted: formatIp(ip) })),
    ...open.map((within) => {
      const family = familyOf(within);
      const whole = family === 4 ? range : range6;
      // All of the network: whole blocks are asked for then, instead of single addresses.
      const isAnywhere = whole !== null && within.some((block) => cidrContains(block, whole));
      return isAnywhere ? { family, wanted: null } : { family, wanted: null, within };
    }),
  ];
}

/** All or none: what an attempt that fails had taken is released. Checks `cancelled` after each address. */
export async function takeAddresses(
  ports: Pick<AddressPorts, 'allocate' | 'release'>,
  owner: string,
  plan: readonly Omit<AddressWish, 'owner'>[],
  cancelled: AbortSignal,
): Promise<readonly string[]> {
  const taken = new Set<string>();
  try {
    for (const wish of plan) {
      taken.add(await ports.allocate({ owner, ...wish }));
      stopIfCancelled(cancelled);
    }
  } catch (error) {
    ports.release(owner);
    throw error;
  }
  return [...taken];
}

/** An address of the network with its prefix length and gateway. */
export function describeAddress(ip: string, { range, range6, gateway, gateway6 }: NetworkAddressing): AttachedAddress {
  return ip.includes(':')
    ? { address: `${ip}/${range6?.prefix ?? 128}`, gateway: gateway6 }
    : { address: `${ip}/${range.prefix}`, gateway };
}

export function stopIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new FabricError('timeout', { what: 'the caller hung up before the attach was done' });
}

/** Sets are checked when they are read: one family, at least one block. */
function familyOf(within: readonly Cidr[]): 4 | 6 {
  return within[0]?.family ?? 4;
}
