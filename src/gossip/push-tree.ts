// To whom a change travels at once (eager) and to whom it is only announced (lazy): Plumtree (Leitão, Pereira, Rodrigues
// 2007) with one tree per author. Every link is eager until its other end prunes it, so an author's first change floods and
// leaves the tree of its fastest paths behind. Who misses a change hears the announcement, asks, and is grafted. Invariant:
// at most `treesMax` trees are remembered; an author whose tree was forgotten floods once more.

import type { PeerId } from '../base/ids.ts';

export interface PushPlan {
  readonly eager: readonly PeerId[];
  readonly lazy: readonly PeerId[];
  /** False: nobody has pruned yet, and the change floods. */
  readonly isTree: boolean;
}

export class PushTree {
  readonly #treesMax: number;
  /** Who gets an author's changes earlier from others, in the order of the last prune. */
  readonly #pruned = new Map<PeerId, Set<PeerId>>();

  constructor(treesMax: number) {
    this.#treesMax = treesMax;
  }

  /** For a change of `author` that came from `from`. Neither of the two ever gets it back. */
  forward(author: PeerId, from: PeerId, links: Iterable<PeerId>): PushPlan {
    const pruned = this.#pruned.get(author);
    const eager: PeerId[] = [];
    const lazy: PeerId[] = [];
    for (const peer of links) {
      if (peer === author || peer === from) continue;
      if (pruned?.has(peer)) lazy.push(peer);
      else eager.push(peer);
    }
    return { eager, lazy, isTree: pruned !== undefined };
  }

  /** `peer` is linked and gets the author's changes twice. */
  prune(author: PeerId, peer: PeerId): void {
    const pruned = this.#pruned.get(author) ?? new Set<PeerId>();
    pruned.add(peer);
    this.#pruned.delete(author);
    this.#pruned.set(author, pruned);
    const [oldest] = this.#pruned.keys();
    if (this.#pruned.size > this.#treesMax && oldest !== undefined) this.#pruned.delete(oldest);
  }

  /** `peer` missed a change of the author and asked for the next ones. */
  graft(author: PeerId, peer: PeerId): void {
    const pruned = this.#pruned.get(author);
    if (pruned?.delete(peer) && pruned.size === 0) this.#pruned.delete(author);
  }

  linkDown(peer: PeerId): void {
    for (const author of [...this.#pruned.keys()]) this.graft(author, peer);
  }

  forget(author: PeerId): void {
    this.#pruned.delete(author);
  }
}
