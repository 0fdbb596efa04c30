// `fabric status leases`: every block of the range with its owner and, for our own, how full it is. Pure.

import { type Cidr, cidrContains, cidrSize, compareCidrs } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import { subtractBlocks } from './blocks.ts';
import type { Estate } from './estate.ts';
import type { Holdings } from './holdings.ts';
import type { LeaseView, OwnedRegion } from './lease-view.ts';
import type { LeaseVoting } from './lease-voting.ts';
import type { AddressPlan } from './plan.ts';
import type { LeaseRow, LeaseState } from './types.ts';

export interface LeaseFacts {
  readonly self: PeerId;
  readonly plan: AddressPlan;
  readonly estate: Estate;
  readonly view: LeaseView;
  readonly holdings: readonly Holdings[];
  readonly voting: Pick<LeaseVoting, 'leftMs' | 'reclaimMs' | 'obstacle'>;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

export function leaseRows(facts: LeaseFacts): LeaseRow[] {
  return facts.holdings.flatMap((side) => {
    const owned = side.owned();
    const foreign = facts.view
      .regions(side.plan.family)
      .flatMap((region) => subtractBlocks([region.cidr], owned).map((cidr) => ({ ...region, cidr })));
    const rows = [
      ...ownRows(facts, side),
      ...foreign.map((region) =>
        row(facts, region.cidr, {
          peer: region.owner,
          epoch: region.claim?.record.epoch ?? 0,
          used: null,
          expiresAt: fromNow(facts, facts.voting.reclaimMs(region.owner)),
          state: foreignState(facts, region),
        }),
      ),
    ];
    return rows.sort((a, b) => compareCidrs(a.cidr, b.cidr));
  });
}

/** The rows of what this host owns alone, in no order: what others own is not walked. */
export function ownLeaseRows(facts: LeaseFacts): LeaseRow[] {
  return facts.holdings.flatMap((side) => ownRows(facts, side));
}

function ownRows(facts: LeaseFacts, side: Holdings): LeaseRow[] {
  const expiresAt = fromNow(facts, facts.voting.leftMs);
  const isExpired = facts.voting.obstacle() !== null;
  const own = (cidr: Cidr, state: LeaseState): LeaseRow =>
    row(facts, cidr, {
      peer: facts.self,
      epoch: facts.estate.owned(cidr.family).find((block) => cidrContains(block.cidr, cidr))?.epoch ?? 0,
      used: side.pool.usedWithin(cidr),
      state: isExpired && state !== 'disputed' ? 'expired' : state,
      expiresAt,
    });
  return [
    ...side.open().map((cidr) => own(cidr, 'active')),
    ...side.spare().map((cidr) => own(cidr, 'spare')),
    ...subtractBlocks(side.settling(), side.disputed()).map((cidr) => own(cidr, 'settling')),
    ...side.disputed().map((cidr) => own(cidr, 'disputed')),
  ];
}

function fromNow({ nowMs }: LeaseFacts, ms: number | null): number | null {
  return ms === null ? null : nowMs + ms;
}

function foreignState(options: { self: PeerId; view: LeaseView }, { owner, claim }: OwnedRegion): LeaseState {
  if (owner === options.self) return 'incoming';
  const ours = claim !== null && claim.decided !== true && claim.record.donor === options.self;
  return ours && !options.view.isPublishedBy(owner, claim) ? 'offered' : 'foreign';
}

function row(
  { plan }: { plan: AddressPlan },
  cidr: Cidr,
  facts: Pick<LeaseRow, 'peer' | 'epoch' | 'used' | 'state' | 'expiresAt'>,
): LeaseRow {
  return { network: plan.network, cidr, size: Number(cidrSize(cidr)), ...facts };
}
