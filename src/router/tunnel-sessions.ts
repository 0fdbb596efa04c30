// The sessions of one peer: `current` is sent on; `next` ones were offered to an initiator, one by each path that it tried, and one
// is sent on once its first valid data shows that the initiator has the keys; `previous` ones only receive what is still under way.
// Invariant: a session never goes back to a slot further left, and lives at most REJECT_AFTER_MS.
//
//              we responded                first data on it
//   response ─────────────▶ next ───────────────────────────▶ current ──▶ previous (at most 3) ──▶ retired
//                            │  we initiated and got a response  ▲  │        ▲
//                            └─────────────────────────────────  │ ─┴────────┘
//                                                  new session ──┘

import type { AeadCipher } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { RELAYS_TRIED_MAX } from './relay-choice.ts';
import type { TunnelPath } from './tunnel-path.ts';
import { REJECT_AFTER_MS, RELAY_TRIES } from './tunnel-timing.ts';

/**
 * An initiator that tries an endpoint and relays takes the first answer, which need not be the last that was given: each of its last
 * round is kept.
 */
const NEXT_MAX = 1 + RELAY_TRIES * RELAYS_TRIED_MAX;
/**
 * WireGuard keeps one. When both sides initiated at once, each sends on a session of its own, and any of those that the other was
 * offered may be the one; the rekey that follows would then retire it while it is still sent on. Two more cover that and a
 * repeated rekey.
 */
const PREVIOUS_MAX = NEXT_MAX + 2;

export interface Session {
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** We initiated it. */
  readonly initiator: boolean;
  readonly cipher: AeadCipher;
  readonly createdMs: number;
  readonly rekeyAtMs: number;
  readonly pathMtu: number;
  readonly capabilities: number;
  /** Where the handshake, or later data, came from. */
  path: TunnelPath;
  /** Where the peer saw this host when it was made; null: it did not say. `unknown`: an earlier control side heard it. */
  readonly observed: Endpoint | null | 'unknown';
  /** Its counter neared the limit: the datapath sends no more data on it. */
  exhausted: boolean;
}

export class SessionSlots {
  readonly #retire: (session: Session) => void;
  #current: Session | null = null;
  /** Newest first. */
  #next: Session[] = [];
  /** Newest first. */
  #previous: Session[] = [];

  /** `retire` is called once for each session that leaves. */
  constructor(retire: (session: Session) => void) {
    this.#retire = retire;
  }

  get current(): Session | null {
    return this.#current;
  }

  /** The newest offered one. */
  get next(): Session | null {
    return this.#next[0] ?? null;
  }

  get empty(): boolean {
    return this.#current === null && this.#next.length === 0 && this.#previous.length === 0;
  }

  get count(): number {
    return (this.#current === null ? 0 : 1) + this.#next.length + this.#previous.length;
  }

  /** A session that lived on while no control side was there, in the slot that it had. Of each peer the oldest first. */
  adopt(session: Session, role: 'next' | 'current' | 'previous'): void {
    if (role === 'previous') this.#retain(session);
    else if (role === 'current') this.establish(session);
    else this.offer(session);
  }

  /** We responded; the oldest of many that were never confirmed gives way. */
  offer(session: Session): void {
    this.#next.unshift(session);
    while (this.#next.length > NEXT_MAX) this.#retire(this.#next.pop()!);
  }

  /** We initiated and have the answer. The peer may be sending on `next` already: it stays receivable. */
  establish(session: Session): void {
    if (this.#current !== null) this.#retain(this.#current);
    for (const offered of this.#next.reverse()) this.#retain(offered);
    this.#next = [];
    this.#current = session;
  }

  /** The session when it was `next` and is now `current`; null when there is nothing to change. */
  confirm(localIndex: number): Session | null {
    const session = this.#next.find((offered) => offered.localIndex === localIndex);
    if (session === undefined) return null;
    if (this.#current !== null) this.#retain(this.#current);
    for (const offered of this.#next) if (offered !== session) this.#retire(offered);
    this.#next = [];
    this.#current = session;
    return session;
  }

  /** Retires what is too old to be used. */
  expire(nowMs: number): void {
    if (nowMs < this.nextExpiryMs) return;
    const expired = (session: Session) => nowMs >= session.createdMs + REJECT_AFTER_MS;
    const gone = this.#all().filter(expired);
    if (this.#current !== null && expired(this.#current)) this.#current = null;
    this.#next = this.#next.filter((session) => !expired(session));
    this.#previous = this.#previous.filter((session) => !expired(session));
    for (const session of gone) this.#retire(session);
  }

  clear(): void {
    const gone = this.#all();
    this.#current = null;
    this.#next = [];
    this.#previous = [];
    for (const session of gone) this.#retire(session);
  }

  /** When {@link expire} has something to do; infinite when nothing lives. Asked several times per second, so it makes no lists. */
  get nextExpiryMs(): number {
    let oldestMs = this.#current?.createdMs ?? Number.POSITIVE_INFINITY;
    for (const { createdMs } of this.#next) oldestMs = Math.min(oldestMs, createdMs);
    for (const { createdMs } of this.#previous) oldestMs = Math.min(oldestMs, createdMs);
    return oldestMs + REJECT_AFTER_MS;
  }

  #all(): Session[] {
    return [this.#current, ...this.#next, ...this.#previous].filter((session) => session !== null);
  }

  #retain(session: Session): void {
    this.#previous.unshift(session);
    while (this.#previous.length > PREVIOUS_MAX) this.#retire(this.#previous.pop()!);
  }
}
