// Blocks that are ours by our own records and another host's by all records together, since the voters decided so, or since an operator
// removed a host: two operators did it in two halves of a partition, or the one who did had not heard of the removed host's last
// gifts. Where the voters ever decided, the records by which a block went on may be gone: there the view counts in any case. They are not
// used any more; what is in use there is reported. Nothing is deleted: the view alone decides, and may change its mind.

import type { Cidr, Family } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import { intersectBlocks, subtractBlocks } from './blocks.ts';
import type { Estate } from './estate.ts';
import type { LeaseView, OwnedRegion } from './lease-view.ts';

interface Answer {
  readonly regions: readonly OwnedRegion[];
  readonly titles: readonly Cidr[];
  readonly blocks: readonly Cidr[];
}

export class Disputes {
  readonly #self: PeerId;
  readonly #estate: Estate;
  readonly #view: LeaseView;
  /** Each valid for one picture of everyone's records and of ours. */
  readonly #answers = new Map<Family, Answer>();

  constructor({ self, estate, view }: { readonly self: PeerId; readonly estate: Estate; readonly view: LeaseView }) {
    this.#self = self;
    this.#estate = estate;
    this.#view = view;
  }

  /**
   * Disjoint; they reach beyond what we own. Without a removed host a view that differs from our records is only late, and
   * nothing is disputed.
   */
  blocks(family: Family): readonly Cidr[] {
    if (!this.#view.hasRemovals) return [];
    const regions = this.#view.regions(family);
    const titles = this.#estate.ownTitles(family);
    const known = this.#answers.get(family);
    if (known?.regions === regions && known.titles === titles) return known.blocks;
    const contested = [...titles, ...this.#view.decidedBlocks(family)];
    const blocks = regions.flatMap(({ cidr, owner, inherited }) => {
      if (owner === this.#self) return [];
      return inherited ? [cidr] : withoutOverlaps(intersectBlocks(contested, cidr));
    });
    this.#answers.set(family, { regions, titles, blocks });
    return blocks;
  }
}

function withoutOverlaps(blocks: readonly Cidr[]): readonly Cidr[] {
  const disjoint: Cidr[] = [];
  for (const block of blocks) disjoint.push(...subtractBlocks([block], disjoint));
  return disjoint;
}
