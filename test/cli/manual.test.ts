import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cliMarkdown, manPage } from '../../src/cli/manual.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { describeProgram } from '../../src/cli/verbs.ts';
import { VERSION } from '../../src/daemon/version.ts';

const facts = describeProgram(buildProgram());
const page = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

test('docs/cli.md and the manual page say what the command does (npm run docs)', () => {
  expect(page('cli.md')).toBe(cliMarkdown(facts));
  expect(page('fabric.8')).toBe(manPage(facts, VERSION));
});

test('every verb and every option is explained', () => {
  const silent = facts.verbs.flatMap(({ path, description, options }) =>
    [['', description] as const, ...options.map((option) => [option.flags, option.description] as const)]
      .filter(([, text]) => text === '')
      .map(([flags]) => `${path.join(' ')} ${flags}`),
  );
  expect(silent).toEqual([]);
  expect(facts.everywhere.map(({ long }) => long)).toEqual(['--state-dir', '--run-dir']);
});
