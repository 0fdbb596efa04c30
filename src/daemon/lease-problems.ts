// What an operator should know of leases: containers whose addresses are another host's by now, and hosts that are gone whose blocks
// nobody takes back by himself. Part of `health.problems` (docs/status.md).

import { formatCidr, formatIp } from '../base/address.ts';
import type { Ipam } from '../ipam/ipam.ts';
import { VOTERS_MIN } from '../ipam/reclaim/decision.ts';
import { LEASE_MS_DEFAULT } from '../ipam/reclaim/voting.ts';
import type { PeerRow, Problem } from './status-types.ts';

const SHOWN_MAX = 4;

export interface LeaseFacts {
  /** The other hosts. */
  readonly peers: readonly Pick<PeerRow, 'id' | 'nickname' | 'state' | 'lastSeenMs'>[];
  /** Since this daemon started. */
  readonly uptimeMs: number;
}

export function leaseProblems(
  ipam: Pick<Ipam, 'reservations' | 'leases' | 'stats'>,
  { peers, uptimeMs }: LeaseFacts,
): readonly Problem[] {
  const problems: Problem[] = [];
  const lost = ipam.reservations().filter(({ conflict }) => conflict);
  if (lost.length > 0) {
    problems.push({
      code: 'address-lost',
      what: 'addresses in use here belong to other hosts now, so nobody routes to them',
      why: list(lost.map(({ ip, owner }) => `${formatIp(ip)} of ${owner}`)),
      fix: 'Attach these containers anew',
    });
  }
  if (ipam.stats().voters >= VOTERS_MIN) return problems;
  for (const { id, nickname, state, lastSeenMs } of peers) {
    if (state !== 'dead' || (lastSeenMs ?? uptimeMs) < LEASE_MS_DEFAULT) continue;
    const blocks = ipam.leases().filter(({ peer }) => peer === id);
    if (blocks.length === 0) continue;
    problems.push({
      code: 'owner-gone',
      what: `${nickname} is gone for more than a day and still owns addresses`,
      why: list(blocks.map(({ cidr }) => formatCidr(cidr))),
      fix: `If it is off for good, run 'fabric rmpeer ${nickname}': with fewer than three hosts nobody else can know`,
    });
  }
  return problems;
}

function list(items: readonly string[]): string {
  const shown = items.slice(0, SHOWN_MAX).join(', ');
  return items.length > SHOWN_MAX ? `${shown} and ${items.length - SHOWN_MAX} more` : shown;
}
