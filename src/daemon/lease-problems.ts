// What an operator should know of leases: containers whose addresses are another host's by now, and hosts that are gone whose blocks
// the others do not take back by themselves. Part of `health.problems` (docs/status.md).

import { formatCidr, formatIp } from '../base/address.ts';
import { DEFAULT_VNI, type Vni } from '../base/ids.ts';
import type { Ipam } from '../ipam/ipam.ts';
import { LEASE_MS_DEFAULT } from '../ipam/reclaim/voting.ts';
import { firstFew } from './first-few.ts';
import type { PeerRow, Problem } from './status-types.ts';

/** So many leases after it was seen last, a host should have lost its blocks: voters that start anew say nothing for one. */
const OVERDUE_LEASES = 3;

export interface LeaseFacts {
  /** For how long voters promise, milliseconds; 0: there are none. */
  readonly leaseMs: number;
  /** The other hosts. */
  readonly peers: readonly Pick<PeerRow, 'id' | 'nickname' | 'state' | 'lastSeenMs'>[];
  /** Since this daemon started. */
  readonly uptimeMs: number;
  labelOf(network: Vni): string;
}

/** Of one network. */
export interface NetworkLeases {
  readonly id: Vni;
  readonly ipam: Pick<Ipam, 'reservations' | 'leases'>;
}

export function leaseProblems(
  networks: readonly NetworkLeases[],
  { leaseMs, peers, uptimeMs, labelOf }: LeaseFacts,
): readonly Problem[] {
  const problems: Problem[] = [];
  const inNetwork = (id: Vni): string => (id === DEFAULT_VNI ? '' : ` in ${labelOf(id)}`);
  const lost = networks.flatMap(({ id, ipam }) =>
    ipam
      .reservations()
      .filter(({ conflict }) => conflict)
      .map(({ ip, owner }) => `${formatIp(ip)} of ${owner}${inNetwork(id)}`),
  );
  if (lost.length > 0) {
    problems.push({
      code: 'address-lost',
      what: 'addresses in use here belong to other hosts now, so nobody routes to them',
      why: firstFew(lost),
      fix: 'Attach these containers anew',
    });
  }
  for (const { id, nickname, state, lastSeenMs } of peers) {
    const unseenMs = lastSeenMs ?? uptimeMs;
    if (state !== 'dead' || unseenMs < LEASE_MS_DEFAULT) continue;
    const isOverdue = unseenMs >= OVERDUE_LEASES * leaseMs;
    const blocks = networks.flatMap(({ ipam }) =>
      ipam.leases().filter(({ peer, expiresAt }) => peer === id && (expiresAt === null || isOverdue)),
    );
    if (blocks.length === 0) continue;
    problems.push({
      code: 'owner-gone',
      what: `${nickname} is gone for more than a day and still owns addresses`,
      why: firstFew(blocks.map(({ cidr, network }) => `${formatCidr(cidr)}${inNetwork(network)}`)),
      fix: `If it is off for good, run 'fabric rmpeer ${nickname}': the other hosts do not take them back by themselves`,
    });
  }
  return problems;
}
