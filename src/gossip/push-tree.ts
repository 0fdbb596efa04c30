// To whom a change travels at once (eager) and to whom it is only announced (lazy): Plumtree (Leitão, Pereira, Rodrigues
// 2007) with one tree per author. Every link is eager until its other end prunes it, so an author's first change floods and
// leaves the tree of its fastest paths behind. Who misses a change hears the announcement, asks, and is grafted. Invariants:
// at most `treesMax` trees are remembered, and an author whose tree was forgotten floods once more; whoever brought us its latest
// change pushes us the next one, so that changes which overtake each other cut nobody off.

import type { PeerId } from '../base/ids.ts';

export interface PushPlan {
  readonly eager: readonly PeerId[];
  readonly lazy: readonly PeerId[];
  /** False: nobody has pruned yet, and the change floods. */
  readonly isTree: boolean;
}

/** One author's, as this host sees it. */
interface Tree {
  /** Who gets the changes earlier from others; null: nobody yet. Mostly one of the two sets is never needed. */
  pruned: Set<PeerId> | null;
  /** Whom we told the same: what still comes from them left before they heard it. */
  refused: Set<PeerId> | null;
  /** Who brings them to us; null: nobody has, since the tree is remembered or its link came up. */
  source: PeerId | null;
}

export class PushTree {
  readonly #treesMax: number;
  /** In the order of their last prune. */
  readonly #trees = new Map<PeerId, Tree>();

  constructor(treesMax: number) {
    this.#treesMax = treesMax;
  }

  /** For a change of `author` that came from `from`. To neither of the two it is pushed back. */
  forward(author: PeerId, from: PeerId, links: Iterable<PeerId>): PushPlan {
    const pruned = this.#trees.get(author)?.pruned;
    const eager: PeerId[] = [];
    const lazy: PeerId[] = [];
    for (const peer of links) {
      if (peer === author || peer === from) continue;
      if (pruned?.has(peer)) lazy.push(peer);
      else eager.push(peer);
    }
    return { eager, lazy, isTree: (pruned?.size ?? 0) > 0 };
  }

  /**
   * A change of `author` was pushed to us by `from`; `isNews`: we did not know it. What to tell `from`: that it need not push us the
   * next ones, that it shall although we told it so before, or nothing.
   */
  pushed(author: PeerId, from: PeerId, { isNews }: { readonly isNews: boolean }): 'prune' | 'graft' | null {
    const tree = this.#tree(author);
    const isOther = from !== author && tree.source !== null && tree.source !== from;
    if (!isNews && isOther) {
      tree.refused ??= new Set();
      tree.refused.add(from);
      return 'prune';
    }
    if (isOther && tree.source === author) return null; // whose own link only was slower
    tree.source = from;
    return tree.refused?.delete(from) ? 'graft' : null;
  }

  /** We ask `peer` to push us the author's next changes, since it had one before us. */
  grafted(author: PeerId, peer: PeerId): void {
    const tree = this.#tree(author);
    tree.source = peer;
    tree.refused?.delete(peer);
  }

  /** `peer` is linked and gets the author's changes twice. */
  prune(author: PeerId, peer: PeerId): void {
    const tree = this.#tree(author);
    tree.pruned ??= new Set();
    tree.pruned.add(peer);
    this.#trees.delete(author);
    this.#trees.set(author, tree);
  }

  /** `peer` missed a change of the author and asked for the next ones. */
  graft(author: PeerId, peer: PeerId): void {
    this.#trees.get(author)?.pruned?.delete(peer);
  }

  /** Of whose changes it was the source, and who brings them as well: to be asked for the next ones. */
  linkDown(peer: PeerId): readonly { readonly author: PeerId; readonly next: PeerId }[] {
    const orphans: { author: PeerId; next: PeerId }[] = [];
    for (const [author, tree] of this.#trees) {
      tree.pruned?.delete(peer);
      tree.refused?.delete(peer);
      if (tree.source === peer) {
        tree.source = null;
        const [next] = tree.refused ?? [];
        if (next !== undefined) orphans.push({ author, next });
      }
      if (tree.source === null && (tree.pruned?.size ?? 0) + (tree.refused?.size ?? 0) === 0)
        this.#trees.delete(author);
    }
    return orphans;
  }

  forget(author: PeerId): void {
    this.#trees.delete(author);
  }

  #tree(author: PeerId): Tree {
    const known = this.#trees.get(author);
    if (known !== undefined) return known;
    const tree: Tree = { pruned: null, refused: null, source: null };
    this.#trees.set(author, tree);
    if (this.#trees.size > this.#treesMax) {
      const [oldest] = this.#trees.keys();
      this.#trees.delete(oldest!);
    }
    return tree;
  }
}
