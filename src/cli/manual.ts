// The manual page (roff, man(7)) and docs/cli.md, both made from what the command understands. `npm run docs` writes them;
// test/docs.test.ts holds them to the code.

import type { OptionFacts, ProgramFacts, VerbFacts } from './verbs.ts';

const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'it is done, or what was asked for holds'],
  ['1', 'it failed; standard error says what, why, and what to do'],
  ['2', 'the command line is wrong'],
];

const FILES: readonly (readonly [path: string, what: string])[] = [
  ['/var/lib/fabric', 'durable state: identity, keys, leases, names (--state-dir, FABRIC_STATE_DIR)'],
  ['/run/fabric', "the daemon's socket, open to root only (--run-dir, FABRIC_RUN_DIR)"],
];

function usage({ path, arguments: terms, options }: VerbFacts): string {
  return [
    `fabric ${path.join(' ')}`,
    ...(options.length > 0 ? ['[options]'] : []),
    ...terms.map(({ term }) => term),
  ].join(' ');
}

/** Rows of what a verb takes: its arguments that are explained, then its options. */
function rows({ arguments: terms, options }: VerbFacts): readonly (readonly [term: string, description: string])[] {
  const explained = terms.filter(({ description }) => description !== '');
  return [
    ...explained.map(({ term, description }) => [term, description] as const),
    ...options.map(({ flags, description }) => [flags, description] as const),
  ];
}

export function cliMarkdown({ introduction, verbs, everywhere }: ProgramFacts): string {
  const lines = ['# The fabric command', '', 'Made by `npm run docs` from the command itself.', ''];
  lines.push('```', introduction, '```', '');
  for (const verb of verbs) {
    lines.push(`## ${verb.path.join(' ')}`, '', sentence(verb.description), '', '```', usage(verb), '```', '');
    lines.push(...table(rows(verb)));
  }
  lines.push('## Options of all verbs that need the daemon', '', ...table(everywhere.map(pair)));
  lines.push('## Exit codes', '', ...table(EXIT_CODES), '## Files', '', ...table(FILES));
  return `${lines.join('\n').trimEnd()}\n`;
}

function pair({ flags, description }: OptionFacts): readonly [string, string] {
  return [flags, description];
}

function table(entries: readonly (readonly [string, string])[]): readonly string[] {
  if (entries.length === 0) return [];
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
  return [
    '| | |',
    '|---|---|',
    ...entries.map(([term, text]) => `| \`${term.replaceAll('|', '\\|')}\` | ${cell(text)} |`),
    '',
  ];
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

/** `version` stands in the footer. */
export function manPage({ introduction, verbs, everywhere }: ProgramFacts, version: string): string {
  const lines = [`.TH FABRIC 8 "" "fabric ${version}" "System administration"`, '.SH NAME'];
  lines.push('fabric \\- one encrypted Ethernet segment for the containers of all your hosts');
  lines.push('.SH SYNOPSIS', '.nf', ...verbs.map((verb) => roff(usage(verb))), '.fi');
  lines.push('.SH DESCRIPTION', '.nf', ...introduction.split('\n').map(roff), '.fi', '.SH VERBS');
  for (const verb of verbs) {
    lines.push(`.SS ${roff(verb.path.join(' '))}`, roff(sentence(verb.description)), ...tagged(rows(verb)));
  }
  lines.push('.SH OPTIONS OF ALL VERBS THAT NEED THE DAEMON', ...tagged(everywhere.map(pair)));
  lines.push('.SH EXIT STATUS', ...tagged(EXIT_CODES), '.SH FILES', ...tagged(FILES));
  return `${lines.join('\n')}\n`;
}

function tagged(entries: readonly (readonly [string, string])[]): readonly string[] {
  return entries.flatMap(([term, text]) => ['.TP', `.B ${roff(term)}`, roff(text)]);
}

/** Text as roff takes it: no control lines, no hyphens that it would turn into dashes. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
