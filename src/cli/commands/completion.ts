// `fabric completion SHELL`: prints the script; where a shell looks for it stands in its first line.

import type { Command } from 'commander';
import { completionScript, type Shell } from '../completion.ts';
import { describeProgram } from '../verbs.ts';

export function completion(shell: Shell, program: Command): void {
  process.stdout.write(completionScript(shell, describeProgram(program)));
}
