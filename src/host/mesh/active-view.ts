// With whom this host keeps links: everybody in a small cluster, a few random peers in a large one (the active view of HyParView,
// Leitão, Pereira, Rodrigues 2007). The passive view is the membership itself, which gossip replicates anyway, so nothing has
// to be shuffled. Pure; Mesh dials what choose() names and closes what surplus() names.
// Invariants: a host that knows anybody alive looks for links until it has `linksMin`; who has more than `linksMax` gives up
// one at a time; now and then somebody who is thought dead is tried, because after a partition both halves think so.

import type { Random } from '../../base/capabilities.ts';
import type { PeerId } from '../../base/ids.ts';
import type { KnownPeer } from './dialler.ts';

export interface ViewLimits {
  /** A cluster with no more others than this is a full mesh. */
  readonly fullMeshMax: number;
  /** Links that a host dials for in a larger one: random graphs of this degree stay connected when half of the hosts vanish. */
  readonly linksMin: number;
  /** More than these are given up. */
  readonly linksMax: number;
}

export const VIEW_LIMITS: ViewLimits = { fullMeshMax: 10, linksMin: 5, linksMax: 10 };

/** Candidates at once: others dial too, and a host that looks for all its links at once ends with twice as many. */
const AT_ONCE = 2;
/** Who has not become a link in this time is still waited for, but does not count among those. */
const SLOW_MS = 1_000;
/** A candidate that has not become a link in this time is given up. */
const CANDIDATE_MS = 3_000;
/** Candidates at all: as many as the dialler dials at once. */
const CANDIDATES_MAX = 8;
/** So long one that did not answer is not chosen again. */
const UNREACHED_MS = 60_000;
const UNREACHED_MAX = 256;
/** Somebody who is thought dead is tried this often, if a few random draws meet one. */
const REVIVE_EVERY_MS = 5_000;
const DRAWS_MAX = 4;
/** A link lives at least this long before it is surplus, and one goes per this time. */
const SURPLUS_AGE_MS = 3_000;
const SURPLUS_EVERY_MS = 500;
/** A peer to whom something is to be sent is kept linked this long. */
const WANTED_MS = 10_000;
const WANTED_MAX = 16;
const NOBODY: readonly KnownPeer[] = [];

interface Candidate {
  readonly known: KnownPeer;
  readonly sinceMs: number;
  /** As far as was known when it was chosen. That one who was thought dead does not answer is no news, also when it lives by now. */
  readonly wasAlive: boolean;
}

export class ActiveView {
  readonly #self: PeerId;
  readonly #random: Random;
  readonly #isAlive: (peer: PeerId) => boolean;
  readonly #limits: ViewLimits;
  #known: readonly KnownPeer[] = [];
  /** How many of them are not ourselves. */
  #others = 0;
  /** Since when, by peer. */
  readonly #links = new Map<PeerId, number>();
  readonly #candidates = new Map<PeerId, Candidate>();
  readonly #unreached = new Map<PeerId, number>();
  readonly #wanted = new Map<PeerId, { readonly untilMs: number; readonly isAwaited: boolean }>();
  #reviveMs = 0;
  #surplusMs = 0;

  constructor(options: {
    readonly self: PeerId;
    readonly random: Random;
    /** False for a peer that is thought dead. */
    readonly isAlive: (peer: PeerId) => boolean;
    readonly limits?: ViewLimits;
  }) {
    this.#self = options.self;
    this.#random = options.random;
    this.#isAlive = options.isAlive;
    this.#limits = options.limits ?? VIEW_LIMITS;
  }

  /** Everybody of whom gossip knows where to reach them, replacing what it knew before; may name ourselves. */
  setKnown(known: readonly KnownPeer[]): void {
    this.#known = known;
    this.#others = known.length - (known.some(({ peer }) => peer === this.#self) ? 1 : 0);
  }

  linkUp(peer: PeerId, nowMs: number): void {
    this.#links.set(peer, nowMs);
    this.#candidates.delete(peer);
    this.#unreached.delete(peer);
  }

  /** `wasLost`: neither side wanted it to end, so the peer is dialled first of all. */
  linkDown(peer: PeerId, wasLost: boolean, nowMs: number): void {
    this.#links.delete(peer);
    if (wasLost) this.#want(peer, { nowMs, isAwaited: false });
  }

  /** Something is to be sent to this peer, and there is no link: one is made, and kept for a while. True when that is news. */
  want(peer: PeerId, nowMs: number): boolean {
    const isNews = this.#wanted.get(peer)?.isAwaited !== true;
    this.#want(peer, { nowMs, isAwaited: true });
    return isNews;
  }

  #want(peer: PeerId, { nowMs, isAwaited }: { readonly nowMs: number; readonly isAwaited: boolean }): void {
    if (this.#wanted.size >= WANTED_MAX && !this.#wanted.has(peer)) return;
    this.#wanted.set(peer, { untilMs: nowMs + WANTED_MS, isAwaited });
  }

  /** False when the cluster is small enough for links between all. */
  get isPartial(): boolean {
    return this.#others > this.#limits.fullMeshMax;
  }

  /** True when no more links are looked for. */
  get isSated(): boolean {
    return this.isPartial && this.#links.size >= this.#limits.linksMin;
  }

  /**
   * Whom to dial now, the same array while it is nobody; `unreached` are those that were chosen as living and did not answer, each
   * told once.
   */
  choose(nowMs: number): { readonly dial: readonly KnownPeer[]; readonly unreached: readonly PeerId[] } {
    if (!this.isPartial) {
      this.#candidates.clear();
      return { dial: this.#known, unreached: [] };
    }
    const unreached = this.#giveUp(nowMs);
    this.#chooseWanted(nowMs);
    const missing = this.#limits.linksMin - this.#links.size;
    let young = this.#countYoung(nowMs);
    while (young < Math.min(missing, AT_ONCE) && this.#candidates.size < CANDIDATES_MAX) {
      if (!this.#draw(nowMs, true)) break;
      young++;
    }
    if (nowMs >= this.#reviveMs) {
      this.#reviveMs = nowMs + REVIVE_EVERY_MS * (0.5 + this.#random.fraction());
      this.#draw(nowMs, false);
    }
    const dial = this.#candidates.size === 0 ? NOBODY : Array.from(this.#candidates.values(), ({ known }) => known);
    return { dial, unreached };
  }

  /** A link to give up now; null when there is none. */
  surplus(nowMs: number): PeerId | null {
    if (!this.isPartial || this.#links.size <= this.#limits.linksMax || nowMs < this.#surplusMs) return null;
    const old = [...this.#links].filter(
      ([peer, sinceMs]) => nowMs - sinceMs >= SURPLUS_AGE_MS && !this.#wanted.has(peer),
    );
    this.#surplusMs = nowMs + SURPLUS_EVERY_MS;
    return old[Math.floor(this.#random.fraction() * old.length)]?.[0] ?? null;
  }

  #giveUp(nowMs: number): readonly PeerId[] {
    const unreached: PeerId[] = [];
    for (const [peer, { sinceMs, wasAlive }] of this.#candidates) {
      if (nowMs - sinceMs < CANDIDATE_MS) continue;
      this.#candidates.delete(peer);
      this.#unreached.delete(peer);
      this.#unreached.set(peer, nowMs + UNREACHED_MS);
      if (wasAlive) unreached.push(peer);
    }
    for (const [peer, untilMs] of this.#unreached) {
      if (untilMs > nowMs && this.#unreached.size <= UNREACHED_MAX) break;
      this.#unreached.delete(peer);
    }
    for (const [peer, { untilMs }] of this.#wanted) if (untilMs <= nowMs) this.#wanted.delete(peer);
    return unreached;
  }

  #countYoung(nowMs: number): number {
    let count = 0;
    for (const { sinceMs } of this.#candidates.values()) if (nowMs - sinceMs < SLOW_MS) count++;
    return count;
  }

  #chooseWanted(nowMs: number): void {
    for (const [peer, { isAwaited }] of this.#wanted) {
      const candidate = this.#candidates.get(peer);
      if (this.#links.has(peer) || (candidate !== undefined && (!isAwaited || candidate.known.isAwaited))) continue;
      const known = this.#known.find((one) => one.peer === peer);
      if (known === undefined) continue;
      const wasAlive = candidate?.wasAlive ?? this.#isAlive(peer);
      this.#candidates.set(peer, { known: { ...known, isAwaited }, sinceMs: candidate?.sinceMs ?? nowMs, wasAlive });
    }
  }

  /** One random peer that is thought alive, or dead; in few draws, so that the rare are met rarely. */
  #draw(nowMs: number, alive: boolean): boolean {
    for (let draws = 0; draws < DRAWS_MAX; draws++) {
      const known = this.#known[Math.floor(this.#random.fraction() * this.#known.length)]!;
      const { peer } = known;
      if (peer === this.#self || this.#links.has(peer) || this.#candidates.has(peer)) continue;
      if (this.#isAlive(peer) !== alive || (alive && this.#unreached.has(peer))) continue;
      this.#candidates.set(peer, { known, sinceMs: nowMs, wasAlive: alive });
      return true;
    }
    return false;
  }
}
