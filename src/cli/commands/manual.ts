// `fabric manual`: what the command understands, as a manual page or as docs/cli.md.

import type { Command } from 'commander';
import { VERSION } from '../../daemon/version.ts';
import { cliMarkdown, manPage } from '../manual.ts';
import { describeProgram } from '../verbs.ts';

export function manual({ markdown }: { readonly markdown?: boolean }, program: Command): void {
  const facts = describeProgram(program);
  process.stdout.write(markdown === true ? cliMarkdown(facts) : manPage(facts, VERSION));
}
