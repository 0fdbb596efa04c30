// The check before a host takes part: the cluster's ranges must lead nowhere else on it.

import { parseCidr } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import type { Genesis } from '../base/records.ts';
import type { HostNetwork } from '../host/host-network.ts';

/** Rejects with `range-overlap`. `isMember`: this host can't choose another range any more. */
export async function refuseOverlap(
  { range, range6 }: Pick<Genesis, 'range' | 'range6'>,
  host: Pick<HostNetwork, 'overlappingRoutes'>,
  { isMember }: { readonly isMember: boolean },
): Promise<void> {
  for (const text of [range, range6]) {
    if (text === null) continue;
    const routes = await host.overlappingRoutes(parseCidr(text)!);
    if (routes.length === 0) continue;
    const flag = text.includes(':') ? '--range6' : '--range';
    throw new FabricError('range-overlap', {
      what: `the range ${text} overlaps a route of this host`,
      why: routes.join(', '),
      fix: isMember
        ? 'Remove that route and launch again (this host is a member already), or leave with fabric reset --force'
        : `Choose another with ${flag}`,
    });
  }
}
