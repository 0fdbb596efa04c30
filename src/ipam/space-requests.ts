// The asking side of gifts: for each need one request at a time to one donor, repeated with the same gift id until it is
// answered, then the next donor; a round asks a few of them and never waits for all; who can give nothing at the moment is asked again
// when all others have refused; without success it backs off.
// Pure state machine: the caller chooses donors and sends.

import type { Cidr, Family } from '../base/address.ts';
import type { Clock, Random } from '../base/capabilities.ts';
import type { GiftId, PeerId } from '../base/ids.ts';
import type { Refusal, Wish } from './lease-message.ts';

/** How long a donor has to answer one copy of the request; a gift costs it one durable write. */
export const REPLY_TIMEOUT_MS = 1000;
/** Copies sent to one donor. */
const SENDS_MAX = 3;
/** How often a round comes back to donors that give nothing at the moment, {@link REPLY_TIMEOUT_MS} later each time. */
const PATIENCE = 3;
/** Donors asked in one round; the next one goes on with others. */
const DONORS_MAX = 8;
/** Pause after a round without success: doubles from first to last, times 0.75 to 1.25. */
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_LAST_MS = 60_000;
/** Needs known at once: two families and requests for exact addresses. */
export const NEEDS_MAX = 256;
/** A failed need without further interest is forgotten after this. */
const FORGET_MS = 180_000;

/** What is needed; `key` is equal for equal needs. */
export interface Need {
  readonly key: string;
  readonly family: Family;
  readonly wish: Wish;
  readonly exact: Cidr | null;
}

export type Failure = { readonly donor: PeerId; readonly reason: Refusal | 'no-answer' | 'not-linked' };

export type NeedState =
  | { readonly state: 'idle' }
  | { readonly state: 'asking' }
  /** The last round ended without a gift; empty when there was nobody to ask. */
  | { readonly state: 'failed'; readonly sinceMs: number; readonly failures: readonly Failure[] };

export interface SpaceRequestsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly giftId: () => GiftId;
  /** Donors for a need, best first; called when the next one is wanted. */
  readonly donorsFor: (need: Need) => readonly PeerId[];
  /** False when there is no link to the donor; in a large cluster one is made then. */
  readonly send: (donor: PeerId, need: Need, giftId: GiftId) => boolean;
  /** True when the donor lives and a link to it is worth waiting for. */
  readonly awaitsLink: (donor: PeerId, need: Need) => boolean;
  /** A round ended without a gift; not called for one that ends inside of {@link SpaceRequests.want}. */
  readonly ended: (need: Need) => void;
}

interface Current {
  readonly donor: PeerId;
  readonly giftId: GiftId;
  sends: number;
  deadlineMs: number;
  /** False: there was no link yet. */
  sent: boolean;
}

interface Ask {
  need: Need;
  /** What is asked for in this pass of the round: a share that nobody can give becomes any address. */
  wish: Wish;
  current: Current | null;
  failures: Failure[];
  /** Who gave nothing in earlier rounds, until everybody was asked: there may be more donors than a round asks. */
  readonly passedOver: Set<PeerId>;
  /** How often this round may still come back to a donor. */
  patience: number;
  failedRounds: number;
  /** When the last round failed, and when the next may start by itself. */
  failedMs: number;
  retryMs: number;
}

export class SpaceRequests {
  readonly #options: SpaceRequestsOptions;
  readonly #asks = new Map<string, Ask>();

  constructor(options: SpaceRequestsOptions) {
    this.#options = options;
  }

  /**
   * Says that something is needed. `now` starts a round at once unless one runs; without it a round waits for the end of
   * the back-off. False when too many needs are known.
   */
  want(need: Need, { now }: { now: boolean }): boolean {
    let ask = this.#asks.get(need.key);
    if (ask === undefined) {
      if (this.#asks.size >= NEEDS_MAX) return false;
      const rounds = { patience: 0, failedRounds: 0, failedMs: 0, retryMs: 0 };
      ask = { need, wish: need.wish, current: null, failures: [], passedOver: new Set(), ...rounds };
      this.#asks.set(need.key, ask);
    }
    if (ask.need.wish !== need.wish) {
      ask.failures = []; // who refused the smaller wish is asked again
      ask.passedOver.clear();
    }
    if (ask.need.wish !== need.wish || ask.current === null) ask.wish = need.wish;
    ask.need = need;
    if (ask.current === null && (now || this.#nowMs() >= ask.retryMs)) {
      ask.failures = [];
      ask.patience = PATIENCE;
      this.#askNext(ask);
    }
    return true;
  }

  state(key: string): NeedState {
    const ask = this.#asks.get(key);
    if (ask === undefined) return { state: 'idle' };
    if (ask.current !== null) return { state: 'asking' };
    return { state: 'failed', sinceMs: ask.failedMs, failures: ask.failures };
  }

  /** True while this gift is what we asked for. */
  expects(giftId: GiftId): boolean {
    return this.#find(giftId) !== undefined;
  }

  /** The gift is ours: the need is met. */
  granted(giftId: GiftId): void {
    const ask = this.#find(giftId);
    if (ask !== undefined) this.#asks.delete(ask.need.key);
  }

  /** False when no request of ours is refused by that: late, repeated or forged. */
  refused(donor: PeerId, giftId: GiftId, reason: Refusal): boolean {
    const ask = this.#find(giftId);
    if (ask?.current?.donor !== donor) return false;
    this.#fail(ask, reason);
    return true;
  }

  /** The need is gone, whatever becomes of a request under way. */
  drop(key: string): void {
    this.#asks.delete(key);
  }

  clear(): void {
    this.#asks.clear();
  }

  /** Somebody new can be asked: the back-offs end, and what waited for this link leaves. */
  linked(peer: PeerId): void {
    for (const ask of this.#asks.values()) {
      ask.retryMs = 0;
      if (ask.current?.donor === peer && !ask.current.sent) ask.current.sent = this.#send(ask, ask.current);
    }
  }

  /** Repeats and moves on; returns the milliseconds until the next call is useful, or null. */
  tick(): number | null {
    const now = this.#nowMs();
    let nextMs: number | null = null;
    for (const ask of [...this.#asks.values()]) {
      if (ask.current === null) {
        if (now - ask.failedMs > FORGET_MS) this.#asks.delete(ask.need.key);
        continue;
      }
      if (now >= ask.current.deadlineMs) this.#repeat(ask, ask.current);
      if (ask.current !== null) nextMs = Math.min(nextMs ?? Number.POSITIVE_INFINITY, ask.current.deadlineMs - now);
    }
    return nextMs;
  }

  #repeat(ask: Ask, current: NonNullable<Ask['current']>): void {
    if (current.sends >= SENDS_MAX) {
      this.#fail(ask, current.sent ? 'no-answer' : 'not-linked');
      return;
    }
    current.sends++;
    current.deadlineMs = this.#nowMs() + REPLY_TIMEOUT_MS;
    if (this.#send(ask, current)) current.sent = true;
    else if (!this.#options.awaitsLink(current.donor, ask.need)) this.#fail(ask, 'not-linked');
  }

  #send({ need, wish }: Ask, { donor, giftId }: Pick<Current, 'donor' | 'giftId'>): boolean {
    return this.#options.send(donor, { ...need, wish }, giftId);
  }

  #fail(ask: Ask, reason: Failure['reason']): void {
    ask.failures.push({ donor: ask.current!.donor, reason });
    this.#askNext(ask);
    if (ask.current === null) this.#options.ended(ask.need);
  }

  /** Sends to the next donor that was not asked in this pass, starts the second pass, comes back to who paused, or ends the round. */
  #askNext(ask: Ask): void {
    if (this.#sendNext(ask)) return;
    if (ask.wish === 'share' && ask.failures.length > 0) {
      ask.wish = 'any';
      ask.failures = [];
      if (this.#sendNext(ask)) return;
    }
    if (!this.#comeBack(ask)) this.#endRound(ask);
  }

  /** To the first donor that gives nothing at the moment: its next copy of the request is due later. */
  #comeBack(ask: Ask): boolean {
    const at = ask.failures.findIndex(({ reason }) => reason === 'paused');
    if (at === -1 || ask.patience === 0) return false;
    ask.patience--;
    const [{ donor }] = ask.failures.splice(at, 1) as [Failure];
    const deadlineMs = this.#nowMs() + REPLY_TIMEOUT_MS;
    ask.current = { donor, giftId: this.#options.giftId(), sends: 0, deadlineMs, sent: true };
    return true;
  }

  #sendNext(ask: Ask): boolean {
    const asked = new Set(ask.failures.map(({ donor }) => donor));
    for (const donor of this.#inTurn(ask)) {
      if (asked.size >= DONORS_MAX) break;
      if (asked.has(donor)) continue;
      asked.add(donor);
      const giftId = this.#options.giftId();
      const current = { donor, giftId, sends: 1, deadlineMs: this.#nowMs() + REPLY_TIMEOUT_MS, sent: false };
      ask.current = current; // the answer may come before the call returns
      current.sent = this.#send(ask, current);
      if (current.sent || this.#options.awaitsLink(donor, ask.need)) return true;
      ask.failures.push({ donor, reason: 'not-linked' });
    }
    ask.current = null;
    return false;
  }

  /** Those that were not asked in earlier rounds first. */
  #inTurn({ need, passedOver }: Ask): readonly PeerId[] {
    const donors = this.#options.donorsFor(need);
    const waiting = donors.filter((donor) => !passedOver.has(donor));
    return [...waiting, ...donors.filter((donor) => passedOver.has(donor))];
  }

  #endRound(ask: Ask): void {
    ask.failedMs = this.#nowMs();
    for (const { donor } of ask.failures) ask.passedOver.add(donor);
    if (this.#options.donorsFor(ask.need).every((donor) => ask.passedOver.has(donor))) ask.passedOver.clear();
    if (ask.failures.length === 0) {
      ask.retryMs = ask.failedMs; // nobody to ask is no reason to wait once somebody is there
      return;
    }
    const backoffMs = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(ask.failedRounds, 16));
    ask.failedRounds++;
    ask.retryMs = ask.failedMs + backoffMs * (0.75 + this.#options.random.fraction() / 2);
  }

  #find(giftId: GiftId): Ask | undefined {
    for (const ask of this.#asks.values()) if (ask.current?.giftId === giftId) return ask;
    return undefined;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
