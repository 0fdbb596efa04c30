// Which of several connections to one peer is the link. Both sides must agree without flapping, whatever crosses on the way,
// so only one decides: the peer with the smaller id. Welcome from the follower says "you are welcome here", Welcome from
// the decider says "this connection is the link now"; without both there is no link on either side.
// Invariant: at most one connection is promoted at a time. A live link is never given up for a newer connection: it is
// pinged first, and only silence makes room. Two live connections with different boot ids are a clone.
//
//   follower   greeted ── Welcome ──▶ waits ◀── Welcome ── promote (instead of the link that the decider gave up)
//   decider    greeted ── waits ◀── Welcome ── no link: promote + Welcome
//                                           └─ link: ping it ── answer ──▶ close the newcomer
//                                                          └─── silence ──▶ promote the newcomer + Welcome
//   either     greeted with another boot id than the link's: ping that first; an answer is a clone

import type { Clock } from '../../base/capabilities.ts';
import type { BootId, PeerId } from '../../base/ids.ts';
import type { CloseReason } from './connection.ts';
import type { GoodbyeReason } from './envelope.ts';

/** What the election needs of a connection that has greeted. */
export interface Contender {
  readonly bootId: BootId;
  readonly heardMs: number;
  ping(): void;
  /** Sends Welcome. */
  welcome(): void;
  promote(): void;
  close(reason: GoodbyeReason, detail?: string): void;
  abandon(reason: CloseReason): void;
}

export interface ElectionEvents<C extends Contender> {
  up(connection: C): void;
  down(connection: C, reason: CloseReason, detail: string): void;
  /** Two live hosts use the peer's identity; `newcomer` has been turned away. */
  clone(newcomer: C, boots: readonly [BootId, BootId]): void;
}

/** How long a link has to answer when a newcomer asks for its place. */
const PROBE_MS = 1_000;
/** Per peer and stage; more are closed as duplicates. */
const CONTENDERS_MAX = 4;

interface Contention<C extends Contender> {
  readonly connection: C;
  readonly wants: 'admission' | 'promotion';
}

const NOBODY: readonly never[] = [];

export class LinkElection<C extends Contender> {
  readonly #decides: boolean;
  readonly #clock: Clock;
  readonly #events: ElectionEvents<C>;
  #current: C | null = null;
  /** Those that wait for the answer of the current link, oldest first, and what they get when there is none. */
  #contenders: readonly Contention<C>[] = NOBODY;
  #probedMs = 0;
  /** Those that wait for the other side's Welcome. */
  readonly #waiting = new Set<C>();

  constructor(options: {
    readonly self: PeerId;
    readonly peer: PeerId;
    readonly clock: Clock;
    readonly events: ElectionEvents<C>;
  }) {
    this.#decides = options.self < options.peer;
    this.#clock = options.clock;
    this.#events = options.events;
  }

  get current(): C | null {
    return this.#current;
  }

  /** True when there is nothing to remember. */
  get idle(): boolean {
    return this.#current === null && this.#contenders.length === 0 && this.#waiting.size === 0;
  }

  /** Its Hello is fine with us. */
  greeted(connection: C): void {
    if (this.#current !== null && this.#current.bootId !== connection.bootId) this.#contend(connection, 'admission');
    else this.#admit(connection);
  }

  /** The other side's Welcome. */
  welcomed(connection: C): void {
    if (!this.#waiting.delete(connection)) return;
    if (this.#current === null || (!this.#decides && this.#current.bootId === connection.bootId))
      this.#install(connection);
    else this.#contend(connection, 'promotion');
  }

  closed(connection: C, reason: CloseReason, detail: string): void {
    this.#waiting.delete(connection);
    if (this.#contenders.length > 0) this.#contenders = this.#contenders.filter((one) => one.connection !== connection);
    if (connection !== this.#current) return;
    this.#current = null;
    this.#events.down(connection, reason, detail);
    this.#makeRoom();
  }

  /** To be called a few times per second. */
  tick(): void {
    if (this.#contenders.length === 0 || this.#current === null) return;
    if (this.#current.heardMs > this.#probedMs) this.#turnAway(this.#current);
    else if (this.#clock.monotonicMs() - this.#probedMs >= PROBE_MS) this.#current.abandon('silent');
  }

  #admit(connection: C): void {
    if (this.#waiting.size >= CONTENDERS_MAX) {
      connection.close('duplicate');
      return;
    }
    this.#waiting.add(connection);
    if (!this.#decides) connection.welcome();
  }

  #contend(connection: C, wants: 'admission' | 'promotion'): void {
    if (this.#contenders.length >= CONTENDERS_MAX) {
      connection.close('duplicate');
      return;
    }
    if (this.#contenders.length === 0) {
      this.#probedMs = this.#clock.monotonicMs();
      this.#current?.ping();
    }
    this.#contenders = [...this.#contenders, { connection, wants }];
  }

  /** The link lives: it stays. */
  #turnAway(current: C): void {
    const contenders = this.#contenders;
    this.#contenders = NOBODY;
    for (const { connection } of contenders) {
      if (connection.bootId === current.bootId) {
        connection.close('duplicate');
      } else {
        connection.close('clone', `another live host uses this identity (boot ${current.bootId})`);
        this.#events.clone(connection, [current.bootId, connection.bootId]);
      }
    }
  }

  /** The link died while others wanted its place: the newest that is ready gets it. */
  #makeRoom(): void {
    const contenders = this.#contenders;
    this.#contenders = NOBODY;
    const successor = contenders.findLast(({ wants }) => wants === 'promotion')?.connection;
    if (successor !== undefined) this.#install(successor);
    for (const { connection, wants } of contenders) {
      if (wants === 'admission') this.greeted(connection);
      else if (connection !== successor) connection.close('duplicate');
    }
  }

  #install(connection: C): void {
    const replaced = this.#current;
    this.#current = connection;
    if (replaced !== null) {
      replaced.close('replaced');
      this.#events.down(replaced, 'replaced', '');
    }
    if (this.#decides) connection.welcome();
    connection.promote();
    this.#events.up(connection);
  }
}
