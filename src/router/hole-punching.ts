// When a relayed tunnel looks for a direct path, and that both of its ends do so at once: a NAT or stateful firewall lets in only what
// answers something that went out, so each end's initiation opens its own for the other's (simultaneous open, as ICE, RFC 8445 §7).
// The signal is a handshake by the relay: authenticated end to end, and over at both within half a round trip. Pure arithmetic.
// Invariant: tries come after 10, 20, 40 and every 60 s, whatever peers do; a signal moves one, and adds at most one every 5 s.
//
//   A  due ── call ▶ ─────────┐            ┌─▶ initiation to C's endpoints: opens A's NAT ─▶ ✗ (or C's is open)
//                        by the relay ─────┤
//   C                         └▶ answers ──┴─▶ initiation to A's endpoints ─────────────────▶ A answers: direct

import { REKEY_TIMEOUT_MS } from './tunnel-timing.ts';

/** Our tuning: until a relayed tunnel looks for a direct path again, doubled each time. */
export const DIRECT_PAUSE_MS = 10_000;
export const DIRECT_PAUSE_MAX_MS = 60_000;
/** The end with the larger id waits that much longer, so that both do not call at once. */
const CALL_STAGGER_MS = 1_000;

export class HolePunching {
  /** When the next step is due; infinite while the tunnel is direct. */
  dueMs = Number.POSITIVE_INFINITY;
  #pauseMs = DIRECT_PAUSE_MS;
  #triedMs = Number.NEGATIVE_INFINITY;
  /** A handshake by the relay has just told the other end: the endpoints are tried now. */
  #inStep = false;
  #calling = false;

  /** The tunnel is direct. */
  rest(): void {
    this.dueMs = Number.POSITIVE_INFINITY;
    this.#inStep = false;
    this.#calling = false;
  }

  /** The peer has other endpoints, or this host has, or a stream between them opened: worth a try now. */
  restart(nowMs: number): void {
    this.dueMs = nowMs;
    this.#pauseMs = DIRECT_PAUSE_MS;
  }

  /** A handshake by a relay has succeeded; `first`: the tunnel was direct, or down. The other end knows it, too. */
  signalled(nowMs: number, { first }: { first: boolean }): void {
    if (first) this.restart(nowMs);
    else if (!this.#calling && nowMs - this.#triedMs < REKEY_TIMEOUT_MS) return;
    this.dueMs = nowMs;
    this.#inStep = true;
    this.#calling = false;
  }

  /** What is done now: new keys by the relay, which tell the other end, or the endpoints. `last`: of the two it calls second. */
  step(nowMs: number, { last }: { last: boolean }): 'call' | 'try' | null {
    if (nowMs < this.dueMs) return null;
    this.dueMs = nowMs + this.#pauseMs + (last ? CALL_STAGGER_MS : 0);
    this.#calling = !this.#inStep;
    if (this.#calling) return 'call';
    this.#inStep = false;
    this.#triedMs = nowMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, DIRECT_PAUSE_MAX_MS);
    return 'try';
  }
}
