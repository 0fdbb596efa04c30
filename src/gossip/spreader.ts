// Passes other authors' changes on: pushed to whom their tree leads (push-tree.ts), announced to the others, and keeps those trees
// whole. What comes from elsewhere is announced to its author, too: a clone of it may have written it. Invariant: of very many changes at once that have no tree (a partition heals) most are announced, or all of them would flood.

import type { Random } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { FLOODS_WAITING_MAX, type GossipLimits, WITNESSES_MAX } from './limits.ts';
import type { Neighbours } from './neighbours.ts';
import type { Pace } from './pace.ts';
import { PushTree } from './push-tree.ts';

export interface SpreaderParts {
  readonly neighbours: Neighbours;
  readonly pace: Pace;
  readonly limits: GossipLimits;
  readonly random: Random;
  /** The version that is held of an author. */
  readonly versionOf: (author: PeerId) => number;
}

export class Spreader {
  readonly #parts: SpreaderParts;
  readonly tree: PushTree;

  constructor(parts: SpreaderParts) {
    this.#parts = parts;
    this.tree = new PushTree(parts.limits.treesMax);
  }

  /** News of an author came from `from`, who holds all from `base` on as we do: false when there is nobody else to tell. */
  spread(author: PeerId, { from, base, nowMs }: { from: PeerId; base: number; nowMs: number }): boolean {
    const { neighbours, limits, pace } = this.#parts;
    const { eager, lazy, isTree } = this.tree.forward(author, from, neighbours.peers());
    const pushesMax = isTree ? limits.statesMax : FLOODS_WAITING_MAX * pace.stretchOf('push', nowMs);
    for (const peer of eager) {
      const outbox = neighbours.outboxOf(peer)!;
      if (outbox.pushes < pushesMax) outbox.push(author, base);
      else outbox.announceLater(author);
    }
    for (const peer of this.#witnesses(lazy, nowMs)) neighbours.outboxOf(peer)!.announceLater(author);
    const isFromElsewhere = from !== author && neighbours.has(author);
    if (isFromElsewhere) neighbours.outboxOf(author)!.announceLater(author);
    return eager.length + lazy.length > 0 || isFromElsewhere;
  }

  /** A change of `author` was pushed to us by `from`. */
  pushed(author: PeerId, from: PeerId, change: { readonly isNews: boolean }): void {
    const answer = this.tree.pushed(author, from, change);
    if (answer === 'prune') this.#parts.neighbours.outboxOf(from)?.prune(author);
    else if (answer === 'graft') this.#graft(author, from);
  }

  /** What came over this link shall come over others. */
  linkDown(peer: PeerId): void {
    for (const { author, next } of this.tree.linkDown(peer)) this.#graft(author, next);
  }

  #graft(author: PeerId, peer: PeerId): void {
    this.tree.grafted(author, peer);
    this.#parts.neighbours.outboxOf(peer)?.want({ author, base: this.#parts.versionOf(author), graft: true });
  }

  /** To whom a change is announced: in a busy mesh to a few in a row, whichever they are. */
  #witnesses(lazy: readonly PeerId[], nowMs: number): readonly PeerId[] {
    const { pace, random } = this.#parts;
    if (lazy.length <= WITNESSES_MAX || !pace.isBusy(nowMs)) return lazy;
    const first = Math.floor(random.fraction() * lazy.length);
    return Array.from({ length: WITNESSES_MAX }, (_, i) => lazy[(first + i) % lazy.length]!);
  }
}
