// What processes on hosts of the lab have used, as /proc of their PID namespace has it: CPU time with all threads, living and
// ended, and how often they were woken. proc(5).

import type { LabHost } from '../test/lab/host.ts';
import { processUs } from './cpu-time.ts';

/** User and system time of all processes with one of these names on these hosts, in microseconds, to 10 ms each. */
export async function processesUs(hosts: readonly LabHost[], names: readonly string[]): Promise<number> {
  const wanted = new Set(names.map((name) => name.slice(0, NAME_CHARACTERS_MAX)));
  let sumUs = 0;
  for (const host of hosts) {
    // A process that ends in between makes cat complain: its time is not looked for.
    const { stdout } = await host.run(['sh', '-c', 'cat /proc/[0-9]*/stat 2>/dev/null'], { mayFail: true });
    for (const stat of stdout.split('\n')) if (wanted.has(nameOf(stat))) sumUs += processUs(stat);
  }
  return sumUs;
}

/** CPU time of all living threads of the processes with one of these names on a host, in microseconds, exact: for short times. */
export async function exactUs(host: LabHost, names: readonly string[]): Promise<number> {
  const each =
    'for p in /proc/[0-9]*; do read -r name < $p/comm && echo "$name"; cat $p/task/*/schedstat; done 2>/dev/null';
  const { stdout } = await host.run(['sh', '-c', each], { mayFail: true });
  let isWanted = false;
  let sumNs = 0;
  for (const line of stdout.split('\n')) {
    const ns = /^(\d+) \d+ \d+$/.exec(line)?.[1];
    if (ns === undefined) isWanted = names.includes(line);
    else if (isWanted) sumNs += Number(ns);
  }
  return sumNs / 1000;
}

/** TASK_COMM_LEN less its zero. */
const NAME_CHARACTERS_MAX = 15;

/** In the outer brackets; may hold brackets and spaces itself. */
export function nameOf(stat: string): string {
  return stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
}

/** CPU time of one process's main thread in microseconds, exact: where a Node process runs its JavaScript. */
export async function mainThreadUs(host: LabHost, pid: number): Promise<number> {
  const { stdout } = await host.run(['cat', `/proc/${pid}/schedstat`]);
  return Number(stdout.split(' ')[0]) / 1000;
}
