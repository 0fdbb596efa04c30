// To whom a change travels at once (eager) and to whom it is only announced (lazy): Plumtree (Leitão, Pereira, Rodrigues
// 2007) with one tree per author. An author pushes to all its neighbours, so in a full mesh its tree is a star and an
// update costs one message per host. Forwarded news is announced to neighbours; whoever missed it asks, is grafted,
// and gets that author's next changes pushed; whoever gets them twice prunes. Choosing neighbours is all that is done here.

import type { Random } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';

export interface PushPlan {
  readonly eager: readonly PeerId[];
  readonly lazy: readonly PeerId[];
}

export interface LazyLimits {
  /** Up to so many neighbours all are told of forwarded news. */
  readonly allMax: number;
  /** Of more of them, so many are. */
  readonly fanout: number;
}

export class PushTree {
  readonly #random: Random;
  readonly #lazy: LazyLimits;
  /** Who asked to get an author's changes from us. Absent for the authors that reach everybody directly. */
  readonly #children = new Map<PeerId, Set<PeerId>>();

  constructor(random: Random, lazy: LazyLimits) {
    this.#random = random;
    this.#lazy = lazy;
  }

  /** For a change of `author` that came from `from`. Neither of the two ever gets it back. */
  forward(author: PeerId, from: PeerId, links: Iterable<PeerId>): PushPlan {
    const children = this.#children.get(author);
    const eager: PeerId[] = [];
    const rest: PeerId[] = [];
    for (const peer of links) {
      if (peer === author || peer === from) continue;
      if (children?.has(peer)) eager.push(peer);
      else rest.push(peer);
    }
    return { eager, lazy: this.#sample(rest) };
  }

  /** `child` is a linked peer: the number of children is bounded by authors × links. */
  graft(author: PeerId, child: PeerId): void {
    const children = this.#children.get(author);
    if (children === undefined) this.#children.set(author, new Set([child]));
    else children.add(child);
  }

  prune(author: PeerId, child: PeerId): void {
    const children = this.#children.get(author);
    if (children?.delete(child) && children.size === 0) this.#children.delete(author);
  }

  linkDown(peer: PeerId): void {
    for (const author of [...this.#children.keys()]) this.prune(author, peer);
  }

  forget(author: PeerId): void {
    this.#children.delete(author);
  }

  /** All of few, at most `fanout` of many, uniformly, by a partial Fisher-Yates shuffle of the given array. */
  #sample(peers: PeerId[]): readonly PeerId[] {
    if (peers.length <= this.#lazy.allMax) return peers;
    const count = Math.min(this.#lazy.fanout, peers.length);
    for (let i = 0; i < count && count < peers.length; i++) {
      const j = i + Math.floor(this.#random.fraction() * (peers.length - i));
      [peers[i], peers[j]] = [peers[j]!, peers[i]!];
    }
    return peers.slice(0, count);
  }
}
