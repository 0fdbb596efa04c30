// The sessions of one peer: `current` is sent on; `next` was offered to an initiator and is sent on only once its first valid
// data shows that the initiator has the keys; `previous` ones only receive what is still under way.
// Invariant: a session never goes back to a slot further left, and lives at most REJECT_AFTER_MS.
//
//              we responded                first data on it
//   response ─────────────▶ next ───────────────────────────▶ current ──▶ previous (at most 3) ──▶ retired
//                            │  we initiated and got a response  ▲  │        ▲
//                            └─────────────────────────────────  │ ─┴────────┘
//                                                  new session ──┘

import type { AeadCipher } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { REJECT_AFTER_MS } from './tunnel-timing.ts';

/**
 * WireGuard keeps one. When both sides initiated at once, each sends on a session of its own; the rekey that follows would
 * then retire the other's while it is still sending on it. Three cover that and a repeated rekey.
 */
const PREVIOUS_MAX = 3;

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
  endpoint: Endpoint;
  /** Its counter neared the limit: the datapath sends no more data on it. */
  exhausted: boolean;
}

export class SessionSlots {
  readonly #retire: (session: Session) => void;
  #current: Session | null = null;
  #next: Session | null = null;
  /** Newest first. */
  #previous: Session[] = [];

  /** `retire` is called once for each session that leaves. */
  constructor(retire: (session: Session) => void) {
    this.#retire = retire;
  }

  get current(): Session | null {
    return this.#current;
  }

  get next(): Session | null {
    return this.#next;
  }

  get empty(): boolean {
    return this.#current === null && this.#next === null && this.#previous.length === 0;
  }

  get count(): number {
    return (this.#current === null ? 0 : 1) + (this.#next === null ? 0 : 1) + this.#previous.length;
  }

  /** A session that lived on while no control side was there, in the slot that it had. Of each peer the oldest first. */
  adopt(session: Session, role: 'next' | 'current' | 'previous'): void {
    if (role === 'previous') this.#retain(session);
    else if (role === 'current') this.establish(session);
    else this.offer(session);
  }

  /** We responded; a `next` that was never confirmed gives way. */
  offer(session: Session): void {
    if (this.#next !== null) this.#retire(this.#next);
    this.#next = session;
  }

  /** We initiated and have the answer. The peer may be sending on `next` already: it stays receivable. */
  establish(session: Session): void {
    if (this.#current !== null) this.#retain(this.#current);
    if (this.#next !== null) this.#retain(this.#next);
    this.#next = null;
    this.#current = session;
  }

  /** The session when it was `next` and is now `current`; null when there is nothing to change. */
  confirm(localIndex: number): Session | null {
    const session = this.#next;
    if (session === null || session.localIndex !== localIndex) return null;
    if (this.#current !== null) this.#retain(this.#current);
    this.#next = null;
    this.#current = session;
    return session;
  }

  /** Retires what is too old to be used. */
  expire(nowMs: number): void {
    const expired = (session: Session) => nowMs >= session.createdMs + REJECT_AFTER_MS;
    const gone = this.#all().filter(expired);
    if (gone.length === 0) return;
    if (this.#current !== null && expired(this.#current)) this.#current = null;
    if (this.#next !== null && expired(this.#next)) this.#next = null;
    this.#previous = this.#previous.filter((session) => !expired(session));
    for (const session of gone) this.#retire(session);
  }

  clear(): void {
    const gone = this.#all();
    this.#current = null;
    this.#next = null;
    this.#previous = [];
    for (const session of gone) this.#retire(session);
  }

  /** When {@link expire} has something to do; infinite when nothing lives. */
  get nextExpiryMs(): number {
    return Math.min(...this.#all().map((session) => session.createdMs + REJECT_AFTER_MS), Number.POSITIVE_INFINITY);
  }

  #all(): Session[] {
    return [this.#current, this.#next, ...this.#previous].filter((session) => session !== null);
  }

  #retain(session: Session): void {
    this.#previous.unshift(session);
    while (this.#previous.length > PREVIOUS_MAX) this.#retire(this.#previous.pop()!);
  }
}
