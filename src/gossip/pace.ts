// How long messages may wait for company: the pauses of limits.ts stretch with the rate of news. In a calm mesh a change leaves at
// once and everything is announced; with hundreds of changes per second they share messages, an author's changes share a
// signature, and digests, which would never be equal, become rare. Invariant: no pause stretches beyond PAUSE_STRETCH_MAX.

import {
  CALM_NEWS_PER_SECOND,
  type GossipTimes,
  NEWS_VERSIONS_MAX,
  NEWS_WINDOW_MS,
  PAUSE_STRETCH_MAX,
  RUSH_OVER_MS,
} from './limits.ts';

/** A pause that stretches; the name of its bound. */
type Pause = keyof typeof PAUSE_STRETCH_MAX;

export class Pace {
  readonly #times: GossipTimes;
  /** News of the window, those of long ago counting ever less. */
  #news = 0;
  #newsAtMs = Number.NEGATIVE_INFINITY;
  /** When the rush will be over unless more news come; Infinity in a calm mesh. */
  #rushOverAtMs = Number.POSITIVE_INFINITY;

  constructor(times: GossipTimes) {
    this.#times = times;
  }

  /** Changes were made here, or pushed to us for the first time: so many versions in one. */
  saw(nowMs: number, versions = 1): void {
    this.#news = this.#newsUntil(nowMs) + Math.min(versions, NEWS_VERSIONS_MAX);
    this.#newsAtMs = nowMs;
    this.#rushOverAtMs = this.isBusy(nowMs) ? nowMs + RUSH_OVER_MS : Number.POSITIVE_INFINITY;
  }

  get rushOverAtMs(): number {
    return this.#rushOverAtMs;
  }

  /** True once after each rush: whoever a push and its few witnesses have missed would wait long to be told. */
  takeRushOver(nowMs: number): boolean {
    if (nowMs < this.#rushOverAtMs) return false;
    this.#rushOverAtMs = Number.POSITIVE_INFINITY;
    return true;
  }

  /** More than announcements and digests can follow. */
  isBusy(nowMs: number): boolean {
    return this.#stretch(nowMs) > 1;
  }

  /** The pause between two pushes of our own changes. */
  ownPushMs(nowMs: number): number {
    return this.#times.pushMs * this.stretchOf('ownPush', nowMs);
  }

  /** The pause between two messages with pushes over one link. */
  pushMs(nowMs: number): number {
    return this.#times.pushMs * this.stretchOf('push', nowMs);
  }

  lazyMs(nowMs: number): number {
    return this.#times.lazyMs * this.stretchOf('lazy', nowMs);
  }

  /** From 1 in a calm mesh to the pause's bound. */
  stretchOf(pause: Pause, nowMs: number): number {
    return Math.min(PAUSE_STRETCH_MAX[pause], this.#stretch(nowMs));
  }

  #stretch(nowMs: number): number {
    const perSecond = (this.#newsUntil(nowMs) / NEWS_WINDOW_MS) * 1_000;
    return Math.max(1, perSecond / CALM_NEWS_PER_SECOND);
  }

  #newsUntil(nowMs: number): number {
    return this.#news * Math.exp((this.#newsAtMs - nowMs) / NEWS_WINDOW_MS);
  }
}
