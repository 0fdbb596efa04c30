// What /proc tells of a process of the lab that may end at any time: what it told of one that is gone is empty. proc(5).

import { readFileSync, readlinkSync } from 'node:fs';

/** `path` is that below /proc. Empty when the process is gone. */
export function procFile(path: string): string {
  return ofProcess(() => readFileSync(`/proc/${path}`, 'utf8'));
}

/** Its network namespace. Empty when the process is gone. */
export function namespaceOf(pid: string): string {
  return ofProcess(() => readlinkSync(`/proc/${pid}/ns/net`));
}

/** The process that its main thread started first, of those that run; 0 when there is none. */
export function childOf(pid: number): number {
  return Number(procFile(`${pid}/task/${pid}/children`).split(' ')[0]);
}

function ofProcess(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
