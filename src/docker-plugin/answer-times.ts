// How long the last answers to Docker took: a bounded sample, sorted when somebody asks. The slowest answer ever says what the
// machine did once; the quantiles say what Docker meets.

/** More than Docker asks while a hundred containers start. */
const KEPT = 1_024;

export class AnswerTimes {
  readonly #ms: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#ms[this.#next] = ms;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** So many milliseconds at most took that share, from 0 to 1, of them; 0 before the first. */
  quantile(share: number): number {
    const sorted = [...this.#ms].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  }
}
