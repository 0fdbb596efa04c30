// Which single addresses to ask other hosts for when a caller wants one out of given blocks and this host owns none that is
// free: a few of each owner's, so that a refusal ("in use") leads on to the next, and one call never floods the mesh.

import { type Cidr, cidrContains, cidrLast, cidrsOverlap, type IpAddress } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { OwnedRegion } from './lease-view.ts';
import { type FamilyPlan, isAllocatable } from './plan.ts';

const PER_REGION_MAX = 4;
const CANDIDATES_MAX = 16;

/** At most 16, ascending within each region, none of `self`. */
export function candidatesWithin(
  plan: FamilyPlan,
  within: readonly Cidr[],
  regions: readonly OwnedRegion[],
  self: PeerId,
): readonly IpAddress[] {
  const found: IpAddress[] = [];
  for (const { owner, cidr } of regions) {
    if (owner === self) continue;
    for (const block of within) {
      if (!cidrsOverlap(block, cidr)) continue;
      const shared = cidrContains(cidr, block) ? block : cidr;
      const last = cidrLast(shared);
      for (let value = shared.base, taken = 0; value <= last && taken < PER_REGION_MAX; value++) {
        if (found.length >= CANDIDATES_MAX) return found;
        if (!isAllocatable(plan, value)) continue;
        found.push({ family: plan.family, value });
        taken++;
      }
    }
  }
  return found;
}
