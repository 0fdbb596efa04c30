// How the command ends: 0 done, 1 failed, 2 usage (also: not there yet), 3 daemon not reachable.

import type { Writable } from 'node:stream';
import { FabricError } from '../base/errors.ts';

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNREACHABLE = 3;

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof FabricError)) return EXIT_FAILED;
  if (error.code === 'usage' || error.code === 'not-implemented' || error.code === 'token-missing') return EXIT_USAGE;
  return error.code === 'daemon-unreachable' ? EXIT_UNREACHABLE : EXIT_FAILED;
}

/** What, why and fix on lines of their own, as a person reads them. Bugs show their stack; a file that the system refuses is none. */
export function describeError(error: unknown): string {
  if (isRefusedFile(error)) {
    const may = error.code === 'EACCES' || error.code === 'EPERM';
    return `fabric: ${error.message}${may ? '\n  do:  Run the command as root (sudo)' : ''}`;
  }
  if (!(error instanceof FabricError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const { what, why, fix } = error.explanation;
  const lines = [`fabric: ${what}`];
  if (why !== undefined) lines.push(`  why: ${why}`);
  if (fix !== undefined) lines.push(`  do:  ${fix}`);
  return lines.join('\n');
}

/** Resolves when all that was written to it has left this process, or never will. */
export function written(stream: Writable): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

/** What a system call on a path ended with. */
function isRefusedFile(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'path' in error && typeof error.path === 'string';
}

export function usageError(what: string, fix?: string): FabricError {
  return new FabricError('usage', fix === undefined ? { what } : { what, fix });
}
