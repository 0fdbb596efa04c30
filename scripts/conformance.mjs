// Which tests show which statement of a checklist, and whether they passed: a test whose name begins with numbers of statements
// (`K2 K4 CHECK …`, `TM20 containers …`) shows those. Written to the checklist's page by the test run; the same results give the
// same text, in whatever order they came, so that it changes only when tests do.

const NUMBERS = /^((?:[A-Z]{1,2}\d{1,2} )+)(.+)$/;
/** Names shown per file; of the others the number. */
const NAMES_MAX = 2;
const TAP_POINT = /^ *(not )?ok \d+ - (.*)$/;

export class Conformance {
  #heading;
  #statements;
  /** By statement, then by file and name: false once one of that name failed or was skipped. */
  #shown = new Map();

  /** `heading`: the lines that open the page. `later` of a statement says why no test shows it yet. */
  constructor(heading, statements) {
    this.#heading = heading;
    this.#statements = statements;
    for (const { id } of statements) this.#shown.set(id, new Map());
  }

  /** The JSON report of vitest; `root` is cut off its file names. */
  vitest(report, root) {
    for (const { name, assertionResults } of report.testResults) {
      const file = name.replace(`${root}/`, '');
      for (const { ancestorTitles, title, status } of assertionResults) {
        for (const part of [...ancestorTitles, title]) this.#note(file, part, status === 'passed');
      }
    }
  }

  /** One line of the TAP of an end-to-end file. */
  tap(file, line) {
    const point = TAP_POINT.exec(line);
    if (point === null) return;
    const [, not, text] = point;
    this.#note(file, text.replace(/ # time=.*$/, ''), !not && !/ # (SKIP|TODO)\b/i.test(text));
  }

  /** Numbers of the statements that are due and that no test shows, or not every one of its tests. */
  get open() {
    return this.#statements.filter(({ id, later }) => later === undefined && !this.#isShown(id)).map(({ id }) => id);
  }

  markdown() {
    const lines = [...this.#heading];
    for (const part of new Set(this.#statements.map((statement) => statement.part))) {
      lines.push('', `## ${part}`, '', '| | statement | tests | |', '|---|---|---|---|');
      for (const { id, statement, later } of this.#statements.filter((one) => one.part === part)) {
        const verdict = later ?? (this.#isShown(id) ? 'pass' : 'FAIL');
        lines.push(`| ${id} | ${cell(statement)} | ${cell(this.#testsOf(id).join('<br>'))} | ${verdict} |`);
      }
    }
    return `${lines.join('\n')}\n`;
  }

  /** One line for each file. */
  #testsOf(id) {
    const files = [...this.#shown.get(id)].sort(([a], [b]) => (a < b ? -1 : 1));
    return files.map(([file, tests]) => {
      const names = [...tests.keys()].sort();
      const more = names.length > NAMES_MAX ? `; ${names.length - NAMES_MAX} more` : '';
      return `${file}: ${names.slice(0, NAMES_MAX).join('; ')}${more}`;
    });
  }

  #isShown(id) {
    const tests = [...this.#shown.get(id).values()].flatMap((ofFile) => [...ofFile.values()]);
    return tests.length > 0 && tests.every(Boolean);
  }

  #note(file, text, passed) {
    const numbered = NUMBERS.exec(text);
    if (numbered === null) return;
    const [, numbers, name] = numbered;
    for (const id of numbers.trim().split(' ')) {
      const files = this.#shown.get(id);
      if (files === undefined) continue;
      const tests = files.get(file) ?? new Map();
      files.set(file, tests.set(name, passed && (tests.get(name) ?? true)));
    }
  }
}

function cell(text) {
  return text.replaceAll('|', '\\|');
}
