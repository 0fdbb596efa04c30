// Reads the TAP of end-to-end files (as `tap run --reporter=tap` sends it) line by line: says what people want to see as it comes,
// and counts. A passing subtest is one line; a failing one shows its failed assertions with their diagnostics. Counted are each
// file's top-level subtests, which stand four columns in; a subtest in which something was skipped counts as skipped, a file
// that failed without a failing subtest (a crash, a plan) as one failure.
//
//     # Subtest: dist/test/e2e/FILE.js      0 columns: the file
//         # Subtest: NAME                   4 columns: the subtests that count
//             not ok 1 - assertion          8 columns and more: what they are made of

const POINT = /^( *)(not )?ok \d+(?: - (.*))?$/;
const FILE = /^# Subtest: /;

export class TapReport {
  passed = 0;
  failed = 0;
  skipped = 0;
  #write;
  /** What the subtest under way said, shown if it fails. */
  #lines = [];
  #hasSkip = false;
  /** How deep the source excerpt stands that is being left out; -1 outside of one. */
  #sourceIndent = -1;
  /** The diagnostics of a failed top-level point are on their way. */
  #inDiagnostics = false;
  #failedBeforeFile = 0;

  /** `write` is called with each line for people. */
  constructor(write) {
    this.#write = write;
  }

  line(text) {
    const point = POINT.exec(text);
    const indent = text.length - text.trimStart().length;
    if (point !== null && indent === 4) return this.#subtestEnded(point);
    if (point !== null && indent === 0) return this.#fileEnded(point);
    if (FILE.test(text)) return this.#fileStarted();
    if (this.#isSource(text, indent)) return;
    if (this.#inDiagnostics) {
      this.#write(text);
      if (text.trim() === '...') this.#inDiagnostics = false;
      return;
    }
    if (point !== null && / # (SKIP|TODO)\b/i.test(text)) this.#hasSkip = true;
    this.#lines.push(text);
  }

  /** `status` is the exit status of the runner, which may have died before it named what failed. */
  end(status) {
    if (this.failed === 0 && status !== 0) this.#fail(`the run itself failed (exit status ${status})`);
  }

  #subtestEnded([text, , not, title = '']) {
    const skipped = / ?# (SKIP|TODO)\b/i.test(title) || (this.#hasSkip && !not);
    if (not) {
      this.failed++;
      for (const line of this.#lines) if (!/^ *ok \d/.test(line) && line.trim() !== '') this.#write(line);
      this.#inDiagnostics = true;
    } else if (skipped) this.skipped++;
    else this.passed++;
    this.#write(skipped && !/# (SKIP|TODO)/i.test(text) ? `${text} # SKIP inside` : text);
    this.#lines = [];
    this.#hasSkip = false;
  }

  #fileStarted() {
    this.#failedBeforeFile = this.failed;
    this.#inDiagnostics = false;
    this.#lines = [];
  }

  #fileEnded([, , not, path = '']) {
    const isNews = Boolean(not) && this.failed === this.#failedBeforeFile;
    if (isNews) this.#fail(`${path} itself failed`);
    this.#inDiagnostics = isNews;
    this.#lines = [];
  }

  #fail(what) {
    this.failed++;
    for (const text of this.#lines) this.#write(text);
    this.#write(`not ok: ${what}`);
  }

  /** Excerpts of compiled source say nothing that the stack does not. */
  #isSource(text, indent) {
    if (this.#sourceIndent >= 0 && (indent > this.#sourceIndent || text.trim() === '')) return true;
    this.#sourceIndent = /^ *source: [|>]/.test(text) ? indent : -1;
    return this.#sourceIndent >= 0;
  }
}
