// The address blocks of `fabric status` for people. Blocks in reserve are the halves that are left over when a large block is
// split, a dozen per family: they are one line per host here (`--json` has each). IPv6 blocks are measured in /64s, because
// their addresses are too many to mean anything.

import type { LeaseRow } from '../daemon/status-types.ts';

/** Blocks of one host and family that are in reserve, or one block alone. */
interface LeaseGroup {
  readonly first: LeaseRow;
  readonly count: number;
  readonly size: number;
}

/** Of RFC 3339, up to the minutes. */
const MINUTE_CHARS = 16;

export const LEASE_HEADER = ['NETWORK', 'BLOCK', 'HOST', 'EPOCH', 'USED', 'SIZE', 'STATE', 'EXPIRES'] as const;

/** `nameOf` gives the name to show for a peer id. */
export function leaseCells(leases: readonly LeaseRow[], nameOf: (peer: string) => string): readonly string[][] {
  return grouped(leases).map(({ first, count, size }) => [
    first.network,
    count === 1 ? first.cidr : `${first.cidr} and ${count - 1} more`,
    nameOf(first.peer),
    count === 1 ? String(first.epoch) : '-',
    String(first.used ?? '-'),
    sizeText(size, isV6(first)),
    first.state,
    first.expiresAt === null ? '-' : `${first.expiresAt.slice(0, MINUTE_CHARS)}Z`,
  ]);
}

/** One line for the overview: what this host uses and what it has in reserve. */
export function leaseSummary(leases: readonly LeaseRow[]): string {
  const used = leases.filter((lease) => lease.state === 'active');
  if (leases.length === 0) return 'none';
  const addresses = used.reduce((sum, lease) => sum + (lease.used ?? 0), 0);
  const reserve = [false, true].flatMap((v6) => {
    const size = sumOfSizes(leases.filter((lease) => lease.state === 'spare' && isV6(lease) === v6));
    return size === 0 ? [] : [v6 ? `${sizeText(size, v6)} of IPv6` : `${size} IPv4 addresses`];
  });
  const inUse = `${used.length} active with ${addresses} addresses in use`;
  return reserve.length === 0 ? inUse : `${inUse}; in reserve ${reserve.join(' and ')}`;
}

function grouped(leases: readonly LeaseRow[]): readonly LeaseGroup[] {
  const groups = new Map<string, LeaseRow[]>();
  for (const lease of leases) {
    const { network, peer, cidr, state } = lease;
    const key = [network, peer, state, state === 'spare' ? isV6(lease) : cidr].join(' ');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [lease]);
    else group.push(lease);
  }
  return [...groups.values()].map((rows) => ({ first: rows[0]!, count: rows.length, size: sumOfSizes(rows) }));
}

function isV6({ cidr }: LeaseRow): boolean {
  return cidr.includes(':');
}

/** In addresses. */
function sumOfSizes(leases: readonly LeaseRow[]): number {
  return leases.reduce((sum, lease) => sum + lease.size, 0);
}

function sizeText(size: number, v6: boolean): string {
  const subnets = size / 2 ** 64;
  if (!v6 || subnets < 1) return String(size);
  return subnets === 1 ? '1 /64' : `${Math.round(subnets)} /64s`;
}
