// Finds how large a datagram the path to one peer carries, by probes that the peer answers: packetization layer path MTU
// discovery (RFC 8899), because an underlay may drop what is too large without a word. Nearly every path carries what the
// handshake agreed on, so the search begins there; where that size gets lost and the smallest one does not, the smallest is
// used at once and the search goes up from it. Pure: probes and answers pass by arguments.
// Invariants: `bytes` is from PATH_MTU_BASE to `topBytes`; a path that carries nothing at all changes nothing.
//
//              answered                                       in use for 5 s
//              ┌───────────────────────────────────────────┐      ┌──▶ checking
//   agree   ──▶ checking ──▶ base ──▶ searching ──────────▶ settled
//                 three lost │ answered  halves what is      └──▶ searching
//                            │           between, until close     for 60 s below the top
//                            └ lost, too: the path is dead ─▶ settled

/** RFC 8899 §5.1.2: MAX_PROBES. All tries together take what its PROBE_TIMER takes at least where round trips are unknown. */
const TRIES_MAX = 3;
const TRY_MS = 340;
/** Our tuning: the size in use is confirmed this often while data is sent, so that a path that shrinks is noticed. */
const CONFIRM_MS = 5_000;
/** Our tuning (RFC 8899 §5.1.1 has 600 s): how often a path that carries less than the top is searched again. */
const RAISE_MS = 60_000;
/** Finding the last bytes is worth no more probes. */
const CLOSE_BYTES = 8;
/** BASE_PLPMTU: what every IPv4 host takes (RFC 791 §3.1). */
export const PATH_MTU_BASE = 576;

type Phase = 'checking' | 'base' | 'searching' | 'settled';

export class PathSearch {
  #topBytes = PATH_MTU_BASE;
  #bytes = PATH_MTU_BASE;
  /** While searching: the smallest size that is known to be too large. */
  #highBytes = PATH_MTU_BASE + 1;
  /** False: the peer answers no probes, so that nothing can be found out. */
  #asks = false;
  #phase: Phase = 'settled';
  #probeBytes = PATH_MTU_BASE;
  #tries = 0;
  #nextTryMs = 0;
  #checkedMs = 0;
  #raiseMs = 0;

  /** The largest outer IP packet that is sent to the peer. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The largest that both sides take. */
  get topBytes(): number {
    return this.#topBytes;
  }

  /**
   * A handshake with the peer: what both sides take, and whether it answers probes. Unless it is what was agreed before,
   * `topBytes` is used until probes show that the path carries less.
   */
  agree({ topBytes, asks }: { readonly topBytes: number; readonly asks: boolean }, nowMs: number): void {
    const top = Math.max(topBytes, PATH_MTU_BASE);
    if (top !== this.#topBytes || asks !== this.#asks) this.#bytes = top;
    this.#topBytes = top;
    this.#asks = asks;
    this.recheck(nowMs);
  }

  /** Perhaps another path to the same peer: the size in use is checked, then a larger one looked for. */
  recheck(nowMs: number): void {
    this.#raiseMs = nowMs;
    this.#begin('checking', this.#bytes, nowMs);
  }

  /** The peer received a probe of this size: of this search, or a late answer. */
  answered(bytes: number, nowMs: number): void {
    if (!this.#asks || bytes < PATH_MTU_BASE || bytes > this.#topBytes) return;
    if (this.#phase === 'base') {
      // Nothing in between is known to pass, and frames go on meanwhile.
      if (bytes < this.#bytes) this.#highBytes = this.#bytes;
      this.#bytes = bytes;
      this.#searchOn(nowMs);
    } else if (this.#phase === 'searching' && bytes > this.#bytes) {
      this.#bytes = bytes;
      this.#searchOn(nowMs);
    } else if (this.#phase !== 'searching' && bytes >= this.#bytes) {
      this.#bytes = bytes;
      this.#settle(nowMs);
    }
  }

  /** The size to probe now, or null. `sentMs`: when data last went to the peer, Clock.monotonicMs; null: never. */
  tick(nowMs: number, sentMs: number | null): number | null {
    if (!this.#asks) return null;
    if (this.#phase === 'settled') {
      if (sentMs === null || sentMs <= this.#checkedMs || nowMs < this.#checkedMs + CONFIRM_MS) return null;
      this.#begin('checking', this.#bytes, nowMs);
    }
    if (nowMs < this.#nextTryMs) return null;
    if (this.#tries >= TRIES_MAX) this.#lost(nowMs);
    // Read anew: the loss may have ended the search.
    if ((this.#phase as Phase) === 'settled') return null;
    this.#tries++;
    this.#nextTryMs = nowMs + TRY_MS;
    return this.#probeBytes;
  }

  /** When {@link tick} has something to do, as far as time alone decides; infinite when only traffic does. */
  get dueMs(): number {
    return this.#asks && this.#phase !== 'settled' ? this.#nextTryMs : Number.POSITIVE_INFINITY;
  }

  #lost(nowMs: number): void {
    if (this.#phase === 'searching') {
      this.#highBytes = this.#probeBytes;
      this.#searchOn(nowMs);
    } else if (this.#phase === 'checking' && this.#bytes > PATH_MTU_BASE) {
      this.#begin('base', PATH_MTU_BASE, nowMs);
    } else {
      this.#phase = 'settled';
      this.#checkedMs = nowMs;
    }
  }

  #searchOn(nowMs: number): void {
    this.#highBytes = Math.max(this.#highBytes, this.#bytes + 1);
    if (this.#highBytes - this.#bytes > CLOSE_BYTES) {
      this.#begin('searching', Math.floor((this.#bytes + this.#highBytes) / 2), nowMs);
      return;
    }
    this.#raiseMs = nowMs + RAISE_MS;
    this.#settle(nowMs);
  }

  /** The size in use has just passed: it stays for a while, unless it is time to look for a larger one. */
  #settle(nowMs: number): void {
    this.#phase = 'settled';
    this.#checkedMs = nowMs;
    if (this.#bytes >= this.#topBytes || nowMs < this.#raiseMs) return;
    this.#highBytes = this.#topBytes + 1;
    this.#begin('searching', this.#topBytes, nowMs);
  }

  #begin(phase: Phase, probeBytes: number, nowMs: number): void {
    this.#phase = phase;
    this.#probeBytes = probeBytes;
    this.#tries = 0;
    this.#nextTryMs = nowMs;
  }
}
