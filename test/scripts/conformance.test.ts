import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Conformance } from '../../scripts/conformance.mjs';

const ROOT = new URL('../..', import.meta.url).pathname;
const CHECKLISTS = [
  { statements: 'test/cni-plugin/checklist.json', page: 'docs/cni-conformance.md' },
  { statements: 'test/security/threat-model.json', page: 'docs/security-conformance.md' },
].map(({ statements, page }) => ({
  page: readFileSync(join(ROOT, page), 'utf8'),
  statements: JSON.parse(readFileSync(join(ROOT, statements), 'utf8')) as { id: string; later?: string }[],
}));
const HEADING = ['# A page'];
const TWO = [
  { id: 'E1', part: 'Environment', statement: 'one | two' },
  { id: 'K2', part: 'CHECK', statement: 'verifies' },
];

function report(status: string) {
  const named = { ancestorTitles: ['E1 environment'], title: 'of ADD', status: 'passed' };
  const other = { ancestorTitles: ['CHECK'], title: 'K2 E1 all at once', status };
  const plain = { ancestorTitles: ['CHECK'], title: 'without a number', status: 'failed' };
  return { testResults: [{ name: '/root/test/a.test.ts', assertionResults: [named, other, plain] }] };
}

describe('which tests show which statement', () => {
  test('by the numbers before their names, of vitest and of tap', () => {
    const conformance = new Conformance(HEADING, TWO);
    conformance.vitest(report('passed'), '/root');
    conformance.tap('test/e2e/b.ts', '    ok 3 - K2 with the kernel # time=12.5ms');
    conformance.tap('test/e2e/b.ts', '# Subtest: K2 not a result');
    expect(conformance.open).toEqual([]);
    expect(
      conformance
        .markdown()
        .split('\n')
        .filter((line) => /^[#|] /.test(line)),
    ).toEqual([
      '# A page',
      '| | statement | tests | |',
      '| E1 | one \\| two | test/a.test.ts: all at once; environment | pass |',
      '| | statement | tests | |',
      '| K2 | verifies | test/a.test.ts: all at once<br>test/e2e/b.ts: with the kernel | pass |',
    ]);
  });

  test('the same page whatever order the results came in', () => {
    const names = ['zebra', 'ant', 'mole', 'bee'];
    const page = (inOrder: readonly string[]) => {
      const conformance = new Conformance(HEADING, TWO);
      for (const name of inOrder) conformance.tap('test/e2e/b.ts', `ok 1 - K2 ${name}`);
      return conformance.markdown();
    };
    expect(page(names)).toContain('test/e2e/b.ts: ant; bee; 2 more');
    expect(page(names.toReversed())).toBe(page(names));
  });

  test.each([
    ['one that failed', 'failed', 'ok 1 - K2 x'],
    ['one that was skipped', 'pending', 'ok 1 - K2 x'],
    ['one that failed in tap', 'passed', 'not ok 1 - K2 x'],
    ['one that was skipped in tap', 'passed', 'ok 1 - K2 x # SKIP not installed'],
  ])('%s leaves it open, whatever the others did', (_, status, line) => {
    const conformance = new Conformance(HEADING, TWO);
    conformance.vitest(report(status), '/root');
    conformance.tap('b', line);
    conformance.tap('b', 'ok 2 - K2 x');
    expect(conformance.open).toContain('K2');
  });

  test('no test at all leaves it open', () => {
    expect(new Conformance(HEADING, TWO).open).toEqual(['E1', 'K2']);
  });

  test('what comes later is not open, and says so', () => {
    const later = { id: 'TM25', part: 'Policy', statement: 'holds', later: 'later: no policy yet' };
    const conformance = new Conformance(HEADING, [later]);
    expect(conformance.open).toEqual([]);
    expect(conformance.markdown()).toContain('| TM25 | holds |  | later: no policy yet |');
  });
});

describe('this tree', () => {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const used = new Set(
    files
      .filter((name) => !name.includes('conformance'))
      .flatMap((name) => [
        ...readFileSync(join(ROOT, 'test', name), 'utf8').matchAll(/['"`]((?:[A-Z]{1,2}\d{1,2} )+)\S/g),
      ])
      .flatMap(([, numbers]) => numbers!.trim().split(' ')),
  );

  test('has a test for every statement that is due, and no number that is none', () => {
    const due = CHECKLISTS.flatMap(({ statements }) => statements.filter(({ later }) => later === undefined));
    expect([...used].sort()).toEqual(due.map(({ id }) => id).sort());
  });

  test.each(CHECKLISTS)('has a page with every statement, passed', ({ page, statements }) => {
    const rows = [...page.matchAll(/^\| ([A-Z]+\d+) \| .* \| ([^|]+) \|$/gm)].map(([, id, result]) => [id, result]);
    expect(rows).toEqual(statements.map(({ id, later }) => [id, later ?? 'pass']));
  });
});
