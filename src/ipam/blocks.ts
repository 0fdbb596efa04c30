// Arithmetic on lists of disjoint aligned blocks of one family: subtraction, merging of neighbours, totals. Pure.

import { type Cidr, cidrContains, cidrSize, cidrSubtract, cidrsOverlap, compareCidrs } from '../base/address.ts';

/** What remains of `blocks` without `holes`; ascending. Holes may overlap each other and lie anywhere. */
export function subtractBlocks(blocks: readonly Cidr[], holes: readonly Cidr[]): Cidr[] {
  let rest = [...blocks];
  for (const hole of holes) {
    rest = rest.flatMap((block) => {
      if (!cidrsOverlap(block, hole)) return [block];
      return cidrContains(hole, block) ? [] : cidrSubtract(block, hole);
    });
  }
  return rest.sort(compareCidrs);
}

/** The common part of a list and one block; ascending. */
export function intersectBlocks(blocks: readonly Cidr[], within: Cidr): Cidr[] {
  return blocks.flatMap((block) => {
    if (cidrContains(within, block)) return [block];
    return cidrContains(block, within) ? [within] : [];
  });
}

export function totalSize(blocks: readonly Cidr[]): bigint {
  let total = 0n;
  for (const block of blocks) total += cidrSize(block);
  return total;
}

/**
 * Joins sibling blocks that `alike` calls equal into their parent, again and again: the fewest aligned rows. `rows` are
 * disjoint and ascending.
 */
export function mergeSiblings<T extends { readonly cidr: Cidr }>(
  rows: Iterable<T>,
  alike: (a: T, b: T) => boolean,
  join: (lower: T, upper: T, parent: Cidr) => T,
): T[] {
  const merged: T[] = [];
  for (const row of rows) {
    let top = row;
    for (let below = merged.at(-1); below !== undefined; below = merged.at(-1)) {
      const parent = parentOf(below.cidr, top.cidr);
      if (parent === null || !alike(below, top)) break;
      merged.pop();
      top = join(below, top, parent);
    }
    merged.push(top);
  }
  return merged;
}

/** Null unless the two are the lower and the upper half of one block. */
function parentOf(lower: Cidr, upper: Cidr): Cidr | null {
  if (lower.prefix !== upper.prefix || lower.prefix === 0 || upper.base !== lower.base + cidrSize(lower)) return null;
  const parent: Cidr = { family: lower.family, base: lower.base, prefix: lower.prefix - 1 };
  return parent.base % cidrSize(parent) === 0n ? parent : null;
}
