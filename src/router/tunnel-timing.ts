// The times that drive tunnels, WireGuard's where it has them (§6 of its paper), and the watch over a peer's traffic that
// decides on keepalives and on dead sessions. Pure arithmetic over the datapath's counters, polled at least once a second.

import type { PeerCounters } from './datapath.ts';

/** From WireGuard. */
export const REKEY_AFTER_MS = 120_000;
export const REJECT_AFTER_MS = 180_000;
export const REKEY_TIMEOUT_MS = 5_000;
export const REKEY_ATTEMPT_MS = 90_000;
export const KEEPALIVE_MS = 10_000;
export const UNANSWERED_MS = KEEPALIVE_MS + REKEY_TIMEOUT_MS;
export const RETRY_JITTER_MS = 333;
export const INITIATION_INTERVAL_MS = 20;

/** Our tuning. */
/** The initiator rekeys up to this much before 120 s, at random, so that tunnels made together do not rekey together. */
export const REKEY_JITTER_MS = 10_000;
/** The responder rekeys only when the initiator has not managed to by then, 30 s before both refuse the key. */
export const RESPONDER_REKEY_AFTER_MS = 150_000;
/** First retries, and the first round over a peer's endpoints: a lost datagram shall not cost a new container 5 s. */
export const QUICK_RETRY_MS = 1_000;
export const QUICK_RETRIES = 2;
/** How long a responder that has frames waiting trusts the initiator to confirm before it initiates itself. */
export const CONFIRM_WAIT_MS = 1_000;
/** How often traffic is looked at while a session lives. */
export const POLL_MS = 1_000;
export const IDLE_POLL_MS = 60_000;

/** When to start replacing a session; `fraction` is random in [0, 1). */
export function rekeyTimeMs(createdMs: number, initiator: boolean, fraction: number): number {
  return createdMs + (initiator ? REKEY_AFTER_MS - fraction * REKEY_JITTER_MS : RESPONDER_REKEY_AFTER_MS);
}

/** Until the next try of a handshake: `attempts` so far, over `endpoints` addresses; slow when an earlier series failed. */
export function retryDelayMs(
  { attempts, endpoints, patient }: { attempts: number; endpoints: number; patient: boolean },
  fraction: number,
): number {
  const quick = !patient && attempts <= Math.max(QUICK_RETRIES, endpoints);
  return (quick ? QUICK_RETRY_MS : REKEY_TIMEOUT_MS) + fraction * RETRY_JITTER_MS;
}

/** What the datapath's counters say about one peer since its current session began. */
export class TrafficWatch {
  #keepaliveSentMs = Number.NEGATIVE_INFINITY;
  #owedSinceMs: number | null = null;
  #unansweredSinceMs: number | null = null;

  /** A handshake with the peer has just succeeded: it lives, and a keepalive or data is on its way. */
  restart(nowMs: number): void {
    this.#keepaliveSentMs = nowMs;
    this.#owedSinceMs = null;
    this.#unansweredSinceMs = null;
  }

  keepaliveSent(nowMs: number): void {
    this.#keepaliveSentMs = nowMs;
    this.#owedSinceMs = null;
  }

  observe(counters: PeerCounters): void {
    const sentMs = counters.lastDataSentMs ?? Number.NEGATIVE_INFINITY;
    const receivedMs = counters.lastReceivedMs ?? Number.NEGATIVE_INFINITY;
    const dataReceivedMs = counters.lastDataReceivedMs ?? Number.NEGATIVE_INFINITY;
    if (dataReceivedMs <= Math.max(sentMs, this.#keepaliveSentMs)) this.#owedSinceMs = null;
    else this.#owedSinceMs ??= dataReceivedMs;
    if (this.#unansweredSinceMs !== null && receivedMs >= this.#unansweredSinceMs) this.#unansweredSinceMs = null;
    if (sentMs > receivedMs) this.#unansweredSinceMs ??= sentMs;
  }

  /** Data came and nothing went back for 10 s, or nothing was sent for `persistentMs`: the other side must hear of us. */
  keepaliveDue(nowMs: number, counters: PeerCounters | null, persistentMs: number | null): boolean {
    if (this.#owedSinceMs !== null && nowMs - this.#owedSinceMs >= KEEPALIVE_MS) return true;
    const sentMs = Math.max(counters?.lastDataSentMs ?? Number.NEGATIVE_INFINITY, this.#keepaliveSentMs);
    return persistentMs !== null && nowMs - sentMs >= persistentMs;
  }

  /** Data went and nothing came back for 15 s, though a living peer owes a keepalive after 10. */
  silent(nowMs: number): boolean {
    return this.#unansweredSinceMs !== null && nowMs - this.#unansweredSinceMs >= UNANSWERED_MS;
  }
}
