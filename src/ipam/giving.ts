// Which block a donor parts with. Pure: free space in, block out. The donor works from the upper end of its space and uses
// it from the lower end, so that what it keeps stays in large aligned blocks.

import { addressBits, type Cidr, cidrHalves, cidrSize } from '../base/address.ts';
import { totalSize } from './blocks.ts';
import { type FamilyPlan, usableSize } from './plan.ts';

/**
 * A share for a host that has nothing: about half of the spare space (at most two thirds) as one aligned block, but at
 * least a lease block where there is one. Null when nothing is spare.
 */
export function chooseShare(plan: FamilyPlan, spare: readonly Cidr[]): Cidr | null {
  let block = largest(usable(plan, spare));
  if (block === null) return null;
  const total = totalSize(spare);
  while (block.prefix < plan.leasePrefix && cidrSize(block) * 3n > total * 2n) block = upperHalf(block);
  return block;
}

/** One lease block for a host that runs low: from the smallest spare block that has one, so that large ones stay whole. */
export function chooseBlock(plan: FamilyPlan, spare: readonly Cidr[]): Cidr | null {
  const whole = usable(plan, spare).filter(({ prefix }) => prefix <= plan.leasePrefix);
  let block: Cidr | null = null;
  for (const candidate of whole) if (block === null || candidate.prefix >= block.prefix) block = candidate;
  while (block !== null && block.prefix < plan.leasePrefix) block = upperHalf(block);
  return block;
}

/**
 * For a host without any address, from blocks that the donor itself allocates from: half of the largest aligned piece in
 * which nothing is in use. Null when that would leave the donor without a free address.
 */
export function chooseFragment(plan: FamilyPlan, open: readonly Cidr[], used: readonly bigint[]): Cidr | null {
  const free = usable(plan, freePieces(open, [...used].sort(ascending)));
  let block = largest(free);
  if (block === null) return null;
  const total = totalUsable(plan, free);
  while (block.prefix < addressBits(block.family) && usableSize(plan, block) * 2n > total) {
    const [lower, upper]: readonly [Cidr, Cidr] = cidrHalves(block)!;
    block = usableSize(plan, upper) > 0n ? upper : lower;
  }
  return usableSize(plan, block) > 0n && usableSize(plan, block) < total ? block : null;
}

/** The aligned pieces of `blocks` in which no used address lies. `used` is ascending. */
function freePieces(blocks: readonly Cidr[], used: readonly bigint[]): Cidr[] {
  return blocks.flatMap((block) => {
    const end = block.base + cidrSize(block);
    const inside = used.filter((value) => value >= block.base && value < end);
    if (inside.length === 0) return [block];
    const halves = cidrHalves(block);
    return halves === null ? [] : freePieces(halves, inside);
  });
}

function usable(plan: FamilyPlan, blocks: readonly Cidr[]): Cidr[] {
  return blocks.filter((block) => usableSize(plan, block) > 0n);
}

function totalUsable(plan: FamilyPlan, blocks: readonly Cidr[]): bigint {
  let total = 0n;
  for (const block of blocks) total += usableSize(plan, block);
  return total;
}

/** Of equals the last. */
function largest(blocks: readonly Cidr[]): Cidr | null {
  let best: Cidr | null = null;
  for (const block of blocks) if (best === null || block.prefix <= best.prefix) best = block;
  return best;
}

function upperHalf(block: Cidr): Cidr {
  return cidrHalves(block)![1];
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
