// CPU time and memory of another process of ours, by thread, from /proc: what the engine costs. A process that is gone, or not
// to be seen, has none. It reads at once: /proc is memory, and each of several steps per file by Node's pool of threads costs more
// than the whole file.

import { readdirSync, readFileSync } from 'node:fs';

/** The engine has four. */
const THREADS_MAX = 64;
/** USER_HZ, which Linux fixes for what user space sees (proc(5), sysconf(_SC_CLK_TCK)). */
const TICKS_PER_S = 100;

export interface ThreadUsage {
  /** As the thread named itself, at most 15 characters. */
  readonly name: string;
  readonly cpuSeconds: number;
}

export interface ProcessUsage {
  /** Threads of one name together, in the order of their names. */
  readonly threads: readonly ThreadUsage[];
  /** Resident, bytes. */
  readonly memoryBytes: number;
}

/** Null when there is no such process. */
export function processUsage(pid: number, proc = '/proc'): ProcessUsage | null {
  const tasks = orAbsent(() => readdirSync(`${proc}/${pid}/task`));
  const status = orAbsent(() => readFileSync(`${proc}/${pid}/status`, 'utf8'));
  if (tasks === null || status === null) return null;
  const stats = tasks
    .slice(0, THREADS_MAX)
    .map((task) => orAbsent(() => readFileSync(`${proc}/${pid}/task/${task}/stat`, 'utf8')));
  const seconds = new Map<string, number>();
  for (const stat of stats) {
    const thread = stat === null ? null : parseThreadStat(stat);
    if (thread !== null) seconds.set(thread.name, (seconds.get(thread.name) ?? 0) + thread.cpuSeconds);
  }
  const residentKib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? '0';
  return {
    threads: [...seconds]
      .map(([name, cpuSeconds]) => ({ name, cpuSeconds }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    memoryBytes: Number(residentKib) * 1024,
  };
}

/** One line of /proc/PID/task/TID/stat; the name stands in parentheses and may hold any character. Null when it is none. */
export function parseThreadStat(line: string): ThreadUsage | null {
  const name = /^\d+ \((.*)\) /s.exec(line)?.[1];
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]); // utime and stime are fields 14 and 15 of the line
  return name === undefined || Number.isNaN(ticks) ? null : { name, cpuSeconds: ticks / TICKS_PER_S };
}

function orAbsent<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}
