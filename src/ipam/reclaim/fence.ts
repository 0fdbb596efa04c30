// The owner's side of a lease: which voters have promised not to vote against this host, until when, and which of its titles they
// had heard of. A promise counts from when the renewal was sent, minus what clocks may drift, and is over when either clock says so:
// the one that counts while the machine sleeps may be stopped with a virtual machine, the wall clock may be set. Invariant: while
// the fence is open, no majority of voters can be without a live promise. Nothing is durable: after a restart it is closed.

import type { Clock } from '../../base/capabilities.ts';
import type { PeerId } from '../../base/ids.ts';
import { blockingOf, VOTERS_MIN } from './decision.ts';

/** Two clocks apart by a hundredth: twenty times what a quartz does. */
const DRIFT_SHARE = 0.01;
/** A promise is renewed when this share of it is over. */
const RENEW_SHARE = 0.25;
/** The records of a gift reach a voter by gossip about as fast as the renewal that speaks of them. */
const RETRY_MS = 250;
const RETRY_MAX_MS = 30_000;

interface Renewal {
  readonly number: number;
  readonly sentMs: number;
  readonly sentWallMs: number;
  readonly titles: ReadonlySet<string>;
}

interface Promised {
  readonly untilMs: number;
  readonly untilWallMs: number;
  readonly renewAtMs: number;
  /** What the voter had heard that we own. */
  readonly titles: ReadonlySet<string>;
}

interface Voter {
  asked: Renewal | null;
  promised: Promised | null;
  retryMs: number;
  dueMs: number;
}

export class Fence {
  readonly #clock: Clock;
  readonly #voters = new Map<PeerId, Voter>();
  #number = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Forgets who votes no more. */
  setVoters(voters: readonly PeerId[]): void {
    for (const peer of this.#voters.keys()) if (!voters.includes(peer)) this.#voters.delete(peer);
    for (const peer of voters) {
      if (!this.#voters.has(peer)) this.#voters.set(peer, { asked: null, promised: null, retryMs: RETRY_MS, dueMs: 0 });
    }
  }

  /** Voters to which a renewal is to be sent now: `titles` are all that we own by others' gifts. */
  due(titles: ReadonlySet<string>): readonly PeerId[] {
    const now = this.#clock.monotonicMs();
    return [...this.#voters].flatMap(([peer, { promised, dueMs }]) => {
      if (now < dueMs) return [];
      const fresh = promised !== null && this.#isLive(promised) && now < promised.renewAtMs;
      return fresh && isSubset(titles, promised.titles) ? [] : [peer];
    });
  }

  /** Milliseconds until {@link due} may name somebody, as things are now; at most `mostMs`. */
  waitMs(titles: ReadonlySet<string>, mostMs: number): number {
    const now = this.#clock.monotonicMs();
    let waitMs = mostMs;
    for (const { promised, dueMs } of this.#voters.values()) {
      const fresh = promised !== null && this.#isLive(promised) && isSubset(titles, promised.titles);
      waitMs = Math.min(waitMs, Math.max(dueMs, fresh ? promised.renewAtMs : 0) - now);
    }
    return Math.max(0, waitMs);
  }

  /** Something may be possible now that was not: everyone is asked again at once. */
  hurry(): void {
    for (const voter of this.#voters.values()) {
      voter.retryMs = RETRY_MS;
      voter.dueMs = 0;
    }
  }

  /** To be called right before a renewal leaves; returns its number. */
  asks(peer: PeerId, titles: ReadonlySet<string>): number {
    const voter = this.#voters.get(peer);
    const number = ++this.#number;
    if (voter === undefined) return number;
    const now = this.#clock.monotonicMs();
    voter.asked = { number, sentMs: now, sentWallMs: this.#clock.wallMs(), titles: new Set(titles) };
    voter.dueMs = now + voter.retryMs;
    voter.retryMs = Math.min(voter.retryMs * 2, RETRY_MAX_MS);
    return number;
  }

  /** False for an answer to anything but the last renewal. */
  promised(peer: PeerId, number: number, leaseMs: number): boolean {
    const voter = this.#voters.get(peer);
    if (voter?.asked?.number !== number) return false;
    const { sentMs, sentWallMs, titles } = voter.asked;
    const lastsMs = leaseMs * (1 - DRIFT_SHARE);
    voter.asked = null;
    voter.promised = {
      untilMs: sentMs + lastsMs,
      untilWallMs: sentWallMs + lastsMs,
      renewAtMs: sentMs + leaseMs * RENEW_SHARE,
      titles,
    };
    voter.retryMs = RETRY_MS;
    voter.dueMs = 0;
    return true;
  }

  /** Milliseconds until the fence closes if nobody promises any more; null: never, 0: it is closed. `waived`: who never votes again. */
  leftMs(waived: (peer: PeerId) => boolean): number | null {
    if (this.#voters.size < VOTERS_MIN) return null;
    const left = [...this.#voters].map(([peer, { promised }]) =>
      waived(peer) ? Number.POSITIVE_INFINITY : promised === null ? 0 : this.#leftOf(promised),
    );
    left.sort((a, b) => b - a);
    const last = left[blockingOf(left.length) - 1]!;
    return last === Number.POSITIVE_INFINITY ? null : last;
  }

  /** True once so many voters had heard of the title that every majority has one of them. */
  isConfirmed(title: string, waived: (peer: PeerId) => boolean): boolean {
    const { size } = this.#voters;
    if (size < VOTERS_MIN) return true;
    let heard = 0;
    for (const [peer, { promised }] of this.#voters) if (waived(peer) || promised?.titles.has(title)) heard++;
    return heard >= blockingOf(size);
  }

  #isLive(promised: Promised): boolean {
    return this.#leftOf(promised) > 0;
  }

  #leftOf({ untilMs, untilWallMs }: Promised): number {
    return Math.max(0, Math.min(untilMs - this.#clock.monotonicMs(), untilWallMs - this.#clock.wallMs()));
  }
}

function isSubset(part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean {
  for (const item of part) if (!whole.has(item)) return false;
  return true;
}
