// One peer's plain path: may it be used, and does it carry? Asks travel where frames would; only an answer that the peer signed
// proves that it lets our packets in and that ours lets in its. Time and randomness are arguments. Invariant: `up` means that
// the path is allowed now and was proven by the last LOST_MAX asks.
//
//               allow                 `need` answers in a row
//   barred ───────────────▶ trying ─────────────────────────────▶ up
//      ▲                      ▲ │                                 │
//      └───────── bar ────────┼─┴────────────── bar ──────────────┤
//                             └── LOST_MAX asks lost, withdrawn ──┘

/** Our tuning. An underlay answers in milliseconds; this is a quarter of what TCP waits before it gives up a first try. */
export const ANSWER_MAX_MS = 500;
/** Asks lost in a row before frames go the encrypted way again. */
export const LOST_MAX = 3;
/** From a good answer to the next ask while the path is not up yet. */
export const STEP_MS = 100;
/** After an unanswered ask, doubled up to the second. */
export const RETRY_FIRST_MS = 1_000;
export const RETRY_MAX_MS = 10_000;
/** Answers in a row that bring it up; each fall within STABLE_MS doubles them, so that a path that flaps is left alone. */
export const NEED_FIRST = 2;
export const NEED_MAX = 32;
export const STABLE_MS = 60_000;

/** Who is asked and does not trust is silent, so the two look alike from here. */
const BLOCKED_OR_BARRED = 'UDP 8472 is blocked, or that host does not trust this one';

export type PathState = 'barred' | 'trying' | 'up';

export interface PathView {
  readonly state: PathState;
  /** Why it is not up, in words; null when it is. */
  readonly reason: string | null;
}

export class VxlanPath {
  /** The peer's address on the underlay, canonical text; null while barred. */
  remote: string | null = null;
  #state: PathState = 'barred';
  #reason: string | null = null;
  #outstanding: { readonly nonce: string; readonly askedMs: number } | null = null;
  /** Of the last ask that was answered: what a withdrawal repeats. */
  #answered: string | null = null;
  /** Of the last ask that the peer sent us; null: none since it was allowed. */
  heard: string | null = null;
  #dueMs = 0;
  #lost = 0;
  #good = 0;
  #need = NEED_FIRST;
  #retryMs = RETRY_FIRST_MS;
  #upSinceMs = 0;
  /** Never up since it was allowed, or since the peer restarted. */
  #unproven = true;

  constructor(reason: string) {
    this.#reason = reason;
  }

  get view(): PathView {
    return { state: this.#state, reason: this.#reason };
  }

  get up(): boolean {
    return this.#state === 'up';
  }

  /** When {@link tick} has something to do; infinite while barred. */
  get dueMs(): number {
    if (this.#state === 'barred') return Number.POSITIVE_INFINITY;
    return this.#outstanding === null ? this.#dueMs : this.#outstanding.askedMs + ANSWER_MAX_MS;
  }

  /** The path to `remote` may be used from now on, once it is proven. A change of the address starts anew. */
  allow(remote: string, nowMs: number): void {
    if (this.#state !== 'barred' && this.remote === remote) return;
    this.#enter('trying', `the path to ${remote} by UDP 8472 is being proven`);
    this.remote = remote;
    this.heard = null;
    this.#unproven = true;
    // The packet filter has to hear of the peer first.
    this.#dueMs = nowMs + STEP_MS;
  }

  bar(reason: string): void {
    this.#enter('barred', reason);
    this.remote = null;
    this.heard = null;
    this.#need = NEED_FIRST;
  }

  /** The nonce of the ask that shall be sent now; null: nothing is due. */
  tick(nowMs: number, nonce: () => string): string | null {
    if (nowMs < this.dueMs) return null;
    if (this.#outstanding !== null && !this.#missed(nowMs)) return null;
    const fresh = nonce();
    this.#outstanding = { nonce: fresh, askedMs: nowMs };
    return fresh;
  }

  /** The peer answered. `intervalMs`: until the next ask of a path that is up. False: not to what we asked last. */
  answer(nonce: string, nowMs: number, intervalMs: number): boolean {
    if (this.#outstanding?.nonce !== nonce) return false;
    this.#outstanding = null;
    this.#answered = nonce;
    this.#lost = 0;
    this.#good++;
    this.#retryMs = RETRY_FIRST_MS;
    if (this.#state === 'trying' && this.#good >= this.#need) {
      this.#state = 'up';
      this.#unproven = false;
      this.#reason = null;
      this.#upSinceMs = nowMs;
    }
    this.#dueMs = nowMs + (this.up ? intervalMs : STEP_MS);
    return true;
  }

  /** The peer asked, so it lets us in: no reason to be patient any longer. */
  asked(nonce: string, nowMs: number): void {
    this.heard = nonce;
    if (this.#state !== 'trying' || this.#outstanding !== null || this.#retryMs === RETRY_FIRST_MS) return;
    this.#retryMs = RETRY_FIRST_MS;
    this.#dueMs = nowMs;
  }

  /** The peer takes its consent back. False: an old or invented withdrawal. */
  withdrawn(nonce: string, nowMs: number): boolean {
    if (this.#state === 'barred' || (nonce !== this.#answered && nonce !== this.#outstanding?.nonce)) return false;
    this.#enter('trying', `${this.remote} does not take plain VXLAN from this host any more`);
    this.#dueMs = nowMs + RETRY_FIRST_MS;
    return true;
  }

  restarted(nowMs: number): void {
    if (this.#state === 'barred') return;
    this.#enter('trying', `${this.remote} has restarted; its path by UDP 8472 is being proven`);
    this.#unproven = true;
    this.#dueMs = nowMs + STEP_MS;
  }

  /** True when the next ask is due at once. */
  #missed(nowMs: number): boolean {
    this.#outstanding = null;
    this.#good = 0;
    this.#lost++;
    if (this.up && this.#lost < LOST_MAX) return true;
    if (this.up) {
      this.#need = nowMs - this.#upSinceMs >= STABLE_MS ? NEED_FIRST : Math.min(this.#need * 2, NEED_MAX);
      this.#enter('trying', `the path to ${this.remote} carries nothing any more: ${BLOCKED_OR_BARRED}`);
    } else if (this.#unproven) this.#reason = silenceOf(this.remote!);
    this.#dueMs = nowMs + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    return false;
  }

  #enter(state: PathState, reason: string): void {
    this.#state = state;
    this.#reason = reason;
    this.#outstanding = null;
    this.#answered = null;
    this.#lost = 0;
    this.#good = 0;
    this.#retryMs = RETRY_FIRST_MS;
  }
}

function silenceOf(remote: string): string {
  return `no answer by VXLAN from ${remote}: ${BLOCKED_OR_BARRED}`;
}
