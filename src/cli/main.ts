// The fabric command: turns every outcome of a verb into an exit code. The verbs are named in program.ts.

import { CommanderError } from 'commander';
import { describeError, EXIT_USAGE, exitCodeOf, written } from './exit.ts';
import { buildProgram } from './program.ts';

async function main(): Promise<number> {
  const program = buildProgram();
  if (process.argv.length === 2) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync();
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    process.stderr.write(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0); // `fabric status | head` is no failure
});
const code = await main();
// A pipe takes 64 KiB at once; what its reader has not taken yet would be lost with this process.
await Promise.all([written(process.stdout), written(process.stderr)]);
// A dial that no host answers holds its socket for minutes after the daemon has stopped.
process.exit(code);
