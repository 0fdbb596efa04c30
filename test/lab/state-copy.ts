// Copies of a host's state directory. Of a running daemon they are taken between two of its instructions: it stands still
// (SIGSTOP) while the files are copied, as if the power went off at that instant.

import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from './host.ts';

/** What a state directory holds besides: who has it locked, and what is said about it. */
const NOT_STATE = /^fabric\.(lock|pid|log|stderr)|-shm$/;

export interface StateCopy {
  /** Puts the copy in the place of that host's state; its daemon must not run. */
  restore(host: LabHost): void;
}

/** The state of a daemon that does not run. */
export function copyRestingState(host: LabHost): StateCopy {
  const folder = join(host.directory, `state-copy-${Date.now()}`);
  mkdirSync(folder);
  for (const name of stateFiles(host.stateDirectory)) {
    cpSync(join(host.stateDirectory, name), join(folder, name), { recursive: true });
  }
  return {
    restore: (target) => {
      for (const name of readdirSync(target.stateDirectory)) {
        rmSync(join(target.stateDirectory, name), { recursive: true });
      }
      cpSync(folder, target.stateDirectory, { recursive: true });
    },
  };
}

/** The daemon goes on afterwards, unless `andKill`: then it never does another thing. */
export async function copyState(host: LabHost, { andKill = false }: { andKill?: boolean } = {}): Promise<StateCopy> {
  const pid = String(await host.daemonPid());
  await host.run(['kill', '-STOP', pid]);
  const copy = copyRestingState(host);
  if (andKill) await host.kill('KILL');
  else await host.run(['kill', '-CONT', pid]);
  return copy;
}

function stateFiles(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => !NOT_STATE.test(name));
}
