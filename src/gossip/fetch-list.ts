// Which states we miss, who holds them, and whom we asked. A host that joins hears of every author from every neighbour at
// once: each state is asked of one holder only, with a window per neighbour, and a holder that stays silent loses its turn
// to the next. So a join spreads over all links, and nobody who announces what he does not have can hold up a state. News
// is small and urgent: a holder that is slow with it stays one, but the next is asked as well.

import type { PeerId } from '../base/ids.ts';

interface Missing {
  /** Announced version by holder, at most `holdersMax`. */
  readonly holders: Map<PeerId, number>;
  askedOf: PeerId | null;
  askedAtMs: number;
  /** A delta did not verify: ask for the whole map. */
  full: boolean;
  /** Announced as news: the author's next changes shall be pushed to us. */
  fresh: boolean;
}

export interface Ask {
  readonly author: PeerId;
  readonly full: boolean;
  readonly fresh: boolean;
}

export interface FetchListOptions {
  readonly missingMax: number;
  readonly holdersMax: number;
  readonly askedPerLinkMax: number;
  readonly askTimeoutMs: number;
  readonly askNewsTimeoutMs: number;
  readonly refusedMs: number;
}

export class FetchList {
  readonly #options: FetchListOptions;
  readonly #missing = new Map<PeerId, Missing>();
  /** What each neighbour could be asked for; of nothing there is no entry. */
  readonly #queues = new Map<PeerId, Set<PeerId>>();
  /** What each neighbour was asked for and has not sent, and when it last moved; of nothing there is no entry. */
  readonly #asked = new Map<PeerId, { readonly authors: Set<PeerId>; activeAtMs: number }>();
  /** Those asked for as news, and when the next holder is asked too; in the order of that time. */
  readonly #urgent = new Map<PeerId, number>();
  /** Authors not to ask for until a time; in the order of that time. */
  readonly #refused = new Map<PeerId, number>();

  constructor(options: FetchListOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#missing.size;
  }

  /** False: {@link take} returns nothing, whoever is asked. */
  get hasTurns(): boolean {
    return this.#queues.size > 0;
  }

  /** `holder` has a state of `author` that we lack. False when it is not followed (refused, or too much is missing). */
  announce(
    { author, version, holder }: { readonly author: PeerId; readonly version: number; readonly holder: PeerId },
    nowMs: number,
    how: { readonly fresh?: boolean; readonly full?: boolean } = {},
  ): boolean {
    if ((this.#refused.get(author) ?? Number.NEGATIVE_INFINITY) > nowMs) return false;
    let missing = this.#missing.get(author);
    if (missing === undefined) {
      if (this.#missing.size >= this.#options.missingMax) return false;
      missing = { holders: new Map(), askedOf: null, askedAtMs: 0, full: false, fresh: false };
      this.#missing.set(author, missing);
    }
    if (!missing.holders.has(holder) && missing.holders.size >= this.#options.holdersMax) return false;
    missing.holders.set(holder, version);
    missing.full ||= how.full === true;
    missing.fresh ||= how.fresh === true;
    if (missing.askedOf === null) this.#queue(holder).add(author);
    else if (missing.fresh && missing.askedAtMs + this.#options.askNewsTimeoutMs <= nowMs)
      this.#askNext(author, missing);
    return true;
  }

  /** What to ask of this neighbour now; each returned author counts as asked. */
  take(holder: PeerId, nowMs: number): readonly Ask[] {
    const queue = this.#queues.get(holder);
    if (queue === undefined) return [];
    const asked = this.#asked.get(holder) ?? { authors: new Set<PeerId>(), activeAtMs: nowMs };
    const asks: Ask[] = [];
    for (const author of queue) {
      if (asked.authors.size >= this.#options.askedPerLinkMax) break;
      queue.delete(author);
      const missing = this.#missing.get(author);
      if (missing === undefined || missing.askedOf !== null || !missing.holders.has(holder)) continue;
      missing.askedOf = holder;
      missing.askedAtMs = nowMs;
      asked.authors.add(author);
      this.#urgent.delete(author);
      if (missing.fresh) this.#urgent.set(author, nowMs + this.#options.askNewsTimeoutMs);
      asks.push({ author, full: missing.full, fresh: missing.fresh });
    }
    if (queue.size === 0) this.#queues.delete(holder);
    if (asked.authors.size > 0) this.#asked.set(holder, asked);
    return asks;
  }

  /** A state arrived and stands in the table: holders that promised no more than this version are done. */
  received(author: PeerId, version: number): void {
    const missing = this.#missing.get(author);
    if (missing === undefined) return;
    for (const [holder, promised] of [...missing.holders]) if (promised <= version) missing.holders.delete(holder);
    missing.full = false;
    this.#release(author, missing);
    this.#reassign(author, missing);
  }

  /** The holder sent what we could not use (or nothing): the next one gets the turn. */
  failed(author: PeerId, holder: PeerId): void {
    const missing = this.#missing.get(author);
    if (missing === undefined) return;
    missing.holders.delete(holder);
    if (missing.askedOf === holder) this.#release(author, missing);
    if (missing.askedOf === null) this.#reassign(author, missing);
  }

  /** The author is not wanted: no announcement of it is followed for a while. */
  refuse(author: PeerId, nowMs: number): void {
    const missing = this.#missing.get(author);
    if (missing !== undefined) {
      this.#release(author, missing);
      this.#missing.delete(author);
    }
    this.#refused.delete(author);
    this.#refused.set(author, nowMs + this.#options.refusedMs);
    for (const [oldest, untilMs] of this.#refused) {
      if (untilMs > nowMs && this.#refused.size <= this.#options.missingMax) break;
      this.#refused.delete(oldest);
    }
  }

  /** Something arrived from this neighbour: it is at work on our asks. */
  active(holder: PeerId, nowMs: number): void {
    const asked = this.#asked.get(holder);
    if (asked !== undefined) asked.activeAtMs = nowMs;
  }

  linkDown(holder: PeerId): void {
    this.#queues.delete(holder);
    for (const author of [...this.#missing.keys()]) this.failed(author, holder);
    this.#asked.delete(holder);
  }

  /** Takes the turn from holders that stayed silent for the time-out. */
  expire(nowMs: number): void {
    for (const [author, atMs] of this.#urgent) {
      if (atMs > nowMs) break;
      this.#urgent.delete(author);
      const missing = this.#missing.get(author);
      if (missing !== undefined) this.#askNext(author, missing);
    }
    for (const [holder, asked] of this.#asked) {
      if (asked.activeAtMs + this.#options.askTimeoutMs > nowMs) continue;
      for (const author of [...asked.authors]) this.failed(author, holder);
    }
  }

  /** When {@link expire} has work at the earliest; Infinity when nothing is asked. */
  expiresAtMs(): number {
    let [atMs = Number.POSITIVE_INFINITY] = this.#urgent.values();
    for (const { activeAtMs } of this.#asked.values()) atMs = Math.min(atMs, activeAtMs + this.#options.askTimeoutMs);
    return atMs;
  }

  #queue(holder: PeerId): Set<PeerId> {
    const queue = this.#queues.get(holder) ?? new Set();
    this.#queues.set(holder, queue);
    return queue;
  }

  /** Another holder gets the turn; the one that was asked comes last, and its answer is as welcome as before. */
  #askNext(author: PeerId, missing: Missing): void {
    const { askedOf, holders } = missing;
    if (askedOf === null || holders.size < 2) return;
    const promised = holders.get(askedOf);
    holders.delete(askedOf);
    if (promised !== undefined) holders.set(askedOf, promised);
    this.#release(author, missing);
    this.#reassign(author, missing);
  }

  #release(author: PeerId, missing: Missing): void {
    if (missing.askedOf === null) return;
    const asked = this.#asked.get(missing.askedOf);
    if (asked?.authors.delete(author) && asked.authors.size === 0) this.#asked.delete(missing.askedOf);
    this.#urgent.delete(author);
    missing.askedOf = null;
  }

  #reassign(author: PeerId, missing: Missing): void {
    const [next] = missing.holders.keys();
    if (next === undefined) this.#missing.delete(author);
    else this.#queue(next).add(author);
  }
}
