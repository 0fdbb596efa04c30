import { expect, test } from 'vitest';
import { TapReport } from '../../scripts/tap-report.mjs';

function read(tap: string, status = 0) {
  const lines: string[] = [];
  const report = new TapReport((line) => lines.push(line));
  for (const line of tap.split('\n')) report.line(line);
  report.end(status);
  const { passed, failed, skipped } = report;
  return { passed, failed, skipped, text: lines.join('\n') };
}

const PASSING = `TAP version 14
1..1
# Subtest: dist/test/e2e/x.js
    # Subtest: good
        ok 1 - inner assertion
        1..1
    ok 1 - good # time=3.6ms
    ok 2 - elsewhere # SKIP no docker
    # Subtest: half
        ok 1 - not here # SKIP
        1..1
    ok 3 - half # time=0.7ms
    1..3
ok 1 - dist/test/e2e/x.js # time=48ms`;

const FAILING = `# Subtest: dist/test/e2e/x.js
    # Subtest: bad
        ok 1 - a good one
        not ok 2 - one is two
          ---
          source: >
            import t from 'tap';

            const secret = 1;
          diff: |
            -2
            +1
          ...
        1..2
    not ok 1 - bad # time=29ms
      ---
      at:
        lineNumber: 3
      ...
    # Subtest: good
        ok 1 - fine
    ok 2 - good # time=1ms
    1..2
not ok 1 - dist/test/e2e/x.js # time=48ms
  ---
  exitCode: 1
  ...`;

test('top-level subtests count, assertions inside them do not; a skip inside is a skip', () => {
  const { passed, failed, skipped, text } = read(PASSING);
  expect({ passed, failed, skipped }).toEqual({ passed: 1, failed: 0, skipped: 2 });
  expect(text).not.toContain('inner assertion');
  expect(text).toContain('ok 1 - good');
});

test('a failing subtest shows its failed assertions with diagnostics, without source excerpts', () => {
  const { passed, failed, text } = read(FAILING, 1);
  expect({ passed, failed }).toEqual({ passed: 1, failed: 1 });
  expect(text).toContain('not ok 2 - one is two');
  expect(text).toContain('+1');
  expect(text).toContain('lineNumber: 3');
  expect(text).not.toContain('secret');
  expect(text).not.toContain('a good one');
  expect(text).not.toContain('fine');
});

test('a file that dies before its first subtest ends is one failure, shown with what it said', () => {
  const { passed, failed, text } = read('# Subtest: dist/test/e2e/x.js\n    SyntaxError: oops', 1);
  expect({ passed, failed }).toEqual({ passed: 0, failed: 1 });
  expect(text).toContain('SyntaxError: oops');
});

test('a file that passes all subtests and then fails is a failure', () => {
  const tap = `    ok 1 - good\n    1..1\nnot ok 1 - dist/test/e2e/x.js\n  ---\n  signal: SIGKILL\n  ...`;
  const { passed, failed, text } = read(tap, 1);
  expect({ passed, failed }).toEqual({ passed: 1, failed: 1 });
  expect(text).toContain('SIGKILL');
});

test('of several files each that fails by itself counts', () => {
  const dead = PASSING.replace(
    'ok 1 - dist/test/e2e/x.js # time=48ms',
    'not ok 2 - dist/test/e2e/dead.js\n  ---\n  signal: SIGBUS',
  );
  const { passed, failed, text } = read([FAILING, dead, PASSING].join('\n'), 1);
  expect({ passed, failed }).toEqual({ passed: 3, failed: 2 });
  expect(text).toContain('dead.js itself failed');
  expect(text).toContain('SIGBUS');
});

test('a runner that ends badly without a word is a failure', () => {
  expect(read(PASSING, 1)).toMatchObject({ passed: 1, failed: 1, skipped: 2 });
});
