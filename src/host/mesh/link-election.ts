// Which of several connections to one peer is the link. Both sides must agree without flapping, whatever crosses on the way,
// so only one decides: the peer with the smaller id. It promotes a connection by Welcome; the other side follows.
// Invariant: at most one connection is promoted at a time. A live link is never given up for a newer connection: it is
// pinged first, and only silence makes room. Two live connections with different boot ids are a clone.
//
//   decider   greeted: no link ──▶ promote + Welcome        link there ──▶ ping it ── answer ──▶ close the newcomer
//                                                                             └─ silence ──▶ promote the newcomer
//   follower  greeted: wait for Welcome ──▶ promote (instead of the link that the decider gave up)

import type { Clock } from '../../base/capabilities.ts';
import type { BootId, PeerId } from '../../base/ids.ts';
import type { CloseReason } from './connection.ts';
import type { GoodbyeReason } from './envelope.ts';

/** What the election needs of a connection that has greeted. */
export interface Contender {
  readonly bootId: BootId;
  readonly heardMs: number;
  ping(): void;
  promote(options: { readonly welcome: boolean }): void;
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
const CONTENDERS_MAX = 4;

export class LinkElection<C extends Contender> {
  readonly #decides: boolean;
  readonly #clock: Clock;
  readonly #events: ElectionEvents<C>;
  #current: C | null = null;
  /** Those that want the current link's place, oldest first, and since when it is being asked. */
  #contenders: C[] = [];
  #probedMs = 0;
  /** Followers' connections that wait for Welcome. */
  readonly #waiting = new Set<C>();

  constructor({
    self,
    peer,
    clock,
    events,
  }: {
    readonly self: PeerId;
    readonly peer: PeerId;
    readonly clock: Clock;
    readonly events: ElectionEvents<C>;
  }) {
    this.#decides = self < peer;
    this.#clock = clock;
    this.#events = events;
  }

  get current(): C | null {
    return this.#current;
  }

  /** True when there is nothing to remember. */
  get idle(): boolean {
    return this.#current === null && this.#contenders.length === 0 && this.#waiting.size === 0;
  }

  greeted(connection: C): void {
    if (this.#decides) this.#claim(connection);
    else if (this.#waiting.size < CONTENDERS_MAX) this.#waiting.add(connection);
    else connection.close('duplicate');
  }

  /** The decider's word; from anyone else it means nothing. */
  welcomed(connection: C): void {
    if (!this.#waiting.delete(connection)) return;
    if (this.#current?.bootId === connection.bootId) this.#install(connection);
    else this.#claim(connection);
  }

  closed(connection: C, reason: CloseReason, detail: string): void {
    this.#waiting.delete(connection);
    this.#contenders = this.#contenders.filter((one) => one !== connection);
    if (connection !== this.#current) return;
    this.#current = null;
    this.#events.down(connection, reason, detail);
    this.#installContender();
  }

  tick(): void {
    if (this.#contenders.length === 0 || this.#current === null) return;
    if (this.#current.heardMs > this.#probedMs) this.#turnAway(this.#current);
    else if (this.#clock.monotonicMs() - this.#probedMs >= PROBE_MS) this.#current.abandon('silent');
  }

  #claim(connection: C): void {
    if (this.#current === null) {
      this.#install(connection);
    } else if (this.#contenders.length >= CONTENDERS_MAX) {
      connection.close('duplicate');
    } else {
      if (this.#contenders.length === 0) {
        this.#probedMs = this.#clock.monotonicMs();
        this.#current.ping();
      }
      this.#contenders.push(connection);
    }
  }

  /** The link lives: it stays. */
  #turnAway(current: C): void {
    const contenders = this.#contenders;
    this.#contenders = [];
    for (const one of contenders) {
      if (one.bootId === current.bootId) {
        one.close('duplicate');
      } else {
        one.close('clone', `another live host uses this identity (boot ${current.bootId})`);
        this.#events.clone(one, [current.bootId, one.bootId]);
      }
    }
  }

  /** The link died while others wanted its place: the newest of them gets it. */
  #installContender(): void {
    const contenders = this.#contenders;
    this.#contenders = [];
    const successor = contenders.pop();
    for (const one of contenders) one.close('duplicate');
    if (successor !== undefined) this.#install(successor);
  }

  #install(connection: C): void {
    const replaced = this.#current;
    this.#current = connection;
    if (replaced !== null) {
      replaced.close('replaced');
      this.#events.down(replaced, 'replaced', '');
    }
    connection.promote({ welcome: this.#decides });
    this.#events.up(connection);
  }
}
