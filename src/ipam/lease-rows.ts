// `fabric status leases`: every block of the range with its owner and, for our own, how full it is. Pure.

import { type Cidr, cidrContains, cidrSize, compareCidrs } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import { subtractBlocks } from './blocks.ts';
import type { Estate } from './estate.ts';
import type { Holdings } from './holdings.ts';
import type { LeaseView, OwnedRegion } from './lease-view.ts';
import type { AddressPlan } from './plan.ts';
import type { LeaseRow, LeaseState } from './types.ts';

export function leaseRows(options: {
  readonly self: PeerId;
  readonly plan: AddressPlan;
  readonly estate: Estate;
  readonly view: LeaseView;
  readonly holdings: readonly Holdings[];
  /** Of our own blocks, milliseconds since the Unix epoch; null: never. */
  readonly expiresAt: number | null;
  /** Too few voters say that they are ours. */
  readonly isExpired: boolean;
}): LeaseRow[] {
  return options.holdings.flatMap((side) => {
    const owned = side.owned();
    const foreign = options.view
      .regions(side.plan.family)
      .flatMap((region) => subtractBlocks([region.cidr], owned).map((cidr) => ({ ...region, cidr })));
    const rows = [
      ...ownRows(options, side),
      ...foreign.map((region) =>
        row(options, region.cidr, {
          peer: region.owner,
          epoch: region.claim?.record.epoch ?? 0,
          used: null,
          expiresAt: null,
          state: foreignState(options, region),
        }),
      ),
    ];
    return rows.sort((a, b) => compareCidrs(a.cidr, b.cidr));
  });
}

function ownRows(
  options: { self: PeerId; plan: AddressPlan; estate: Estate; expiresAt: number | null; isExpired: boolean },
  side: Holdings,
): LeaseRow[] {
  const { expiresAt, isExpired } = options;
  const own = (cidr: Cidr, state: LeaseState): LeaseRow =>
    row(options, cidr, {
      peer: options.self,
      epoch: options.estate.owned(cidr.family).find((block) => cidrContains(block.cidr, cidr))?.epoch ?? 0,
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
