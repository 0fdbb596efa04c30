// Puts a file into a directory that other programs read, and takes it out again. Invariants: under its name there is never half a
// file (a temporary name that no reader takes for one of its own, then a rename); a file of somebody else is left alone.

import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { FabricError } from '../base/errors.ts';

export interface Installed {
  readonly content: string | Buffer;
  readonly mode: number;
  /** Whether what stands there, read as Latin-1, is an earlier version of this. */
  isOurs(present: string): boolean;
  /** True: what is ours already is left as it is, because people edit it. */
  readonly keep?: boolean;
}

/** Idempotent. Throws `state-contradiction` when somebody else's file has the name. */
export function installFile(
  path: string,
  { content, mode, isOurs, keep = false }: Installed,
): 'installed' | 'kept as it is' {
  const present = read(path);
  const wanted = Buffer.from(content);
  if (present !== null) {
    refuseForeign(path, present, isOurs);
    if (keep || present.equals(wanted)) return 'kept as it is';
  }
  mkdirSync(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${basename(path)}.new`);
  writeFileSync(temporary, wanted, { mode });
  chmodSync(temporary, mode); // whatever the umask
  renameSync(temporary, path);
  return 'installed';
}

/** Idempotent. Throws as {@link installFile}. */
export function removeFile(path: string, isOurs: Installed['isOurs']): 'removed' | 'was not there' {
  const present = read(path);
  if (present === null) return 'was not there';
  refuseForeign(path, present, isOurs);
  rmSync(path);
  return 'removed';
}

function refuseForeign(path: string, present: Buffer, isOurs: Installed['isOurs']): void {
  if (isOurs(present.toString('latin1'))) return;
  throw new FabricError('state-contradiction', {
    what: `${path} is not fabric's`,
    why: 'another program or person has put it there',
    fix: 'Move it away, or name another directory',
  });
}

function read(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
