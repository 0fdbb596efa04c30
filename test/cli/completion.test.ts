import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { completionScript } from '../../src/cli/completion.ts';
import { cliMarkdown, manPage } from '../../src/cli/manual.ts';
import { describeProgram } from '../../src/cli/verbs.ts';

function sample(): Command {
  const program = new Command('fabric').description('What it is.');
  const verb = (parent: Command, name: string, text: string) =>
    parent.command(name).description(text).option('--run-dir <dir>', 'socket');
  verb(program, 'status', 'explain it').argument('[section]', 'peers|tunnels').option('--json', "don't draw");
  const dns = program.command('dns').description('names');
  verb(dns, 'add', 'give a name').argument('<name>').argument('<ip...>');
  verb(dns, 'rm', 'take it back').argument('<name>');
  program.command('offline').description('needs nothing');
  program.command('later', { hidden: true });
  return program;
}

const facts = describeProgram(sample());

/** What bash offers for the last of these words. */
function completed(...words: readonly string[]): readonly string[] {
  const quoted = words.map((word) => `'${word}'`).join(' ');
  const script = `${completionScript('bash', facts)}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _fabric; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-s'], { input: script, encoding: 'utf8' });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((word) => word !== '');
}

test('the facts are those of the command: groups are opened, hidden verbs left out, common options stand apart', () => {
  expect(facts.verbs.map(({ path }) => path.join(' '))).toEqual(['status', 'dns add', 'dns rm', 'offline']);
  expect(facts.everywhere.map(({ long, value }) => [long, value])).toEqual([['--run-dir', 'dir']]);
  expect(facts.verbs[0]).toMatchObject({
    arguments: [{ term: '[section]', choices: ['peers', 'tunnels'] }],
    options: [{ flags: '--json', value: null }],
  });
  expect(facts.verbs[1]!.arguments.map(({ term }) => term)).toEqual(['<name>', '<ip...>']);
});

describe('bash', () => {
  test.each([
    ['a verb', ['fabric', 'st'], ['status']],
    ['all verbs', ['fabric', ''], ['status', 'dns', 'offline', '--help', '--version']],
    ['a choice', ['fabric', 'status', 'tu'], ['tunnels']],
    ['an option', ['fabric', 'status', 'peers', '--j'], ['--json']],
    ['a verb of a group', ['fabric', 'dns', ''], ['add', 'rm']],
    ['an option behind it', ['fabric', 'dns', 'rm', 'web', '--r'], ['--run-dir']],
    ['nothing that is not there', ['fabric', 'later', '--x'], []],
  ])('offers %s', (_, words, offered) => {
    expect(completed(...words)).toEqual(offered);
  });
});

test('zsh and fish get every verb and option, quoted', () => {
  for (const shell of ['zsh', 'fish'] as const) {
    const script = completionScript(shell, facts);
    for (const word of ['status', 'dns', 'add', 'tunnels', 'json', 'run-dir']) expect(script).toContain(word);
  }
  expect(completionScript('fish', facts)).toContain("-l json -d 'don\\'t draw'");
});

test('the page for people has a part for each verb, and its cells survive bars and angle brackets', () => {
  const page = cliMarkdown(facts);
  expect(page.match(/^## .*$/gm)).toEqual([
    '## status',
    '## dns add',
    '## dns rm',
    '## offline',
    '## Options of all verbs that need the daemon',
    '## Exit codes',
    '## Files',
  ]);
  expect(page).toContain('| `[section]` | peers\\|tunnels |');
  expect(page).toContain('fabric dns add <name> <ip...>');
});

test('the manual page has no hyphen that would become a dash, and no line that would be a request', () => {
  const page = manPage(facts, '1.2.3');
  const body = page.split('\n').filter((line) => !/^\.(TH|SH|SS|TP|B|nf|fi)\b/.test(line));
  expect(body.filter((line) => /^[.']/.test(line) || /(^|[^\\])-/.test(line))).toEqual([]);
  expect(page).toContain('.B \\-\\-json');
});
