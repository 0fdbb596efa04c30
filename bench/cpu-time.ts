// CPU time as the kernel accounts it: of the whole machine (/proc/stat) and of one process (/proc/PID/stat). proc(5).

import { readFileSync } from 'node:fs';

/** USER_HZ is 100 on every architecture that Node runs on. */
const TICK_US = 10_000;

/** Time that all cores together spent on anything but idling since boot, in microseconds. */
export function machineBusyUs(): number {
  return busyUs(readFileSync('/proc/stat', 'utf8'));
}

/** The first line: cpu user nice system idle iowait irq softirq steal guest guest_nice. Guests count in user and nice. */
export function busyUs(stat: string): number {
  const [user, nice, system, , , irq, softirq] = stat
    .slice(0, stat.indexOf('\n'))
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) * TICK_US;
}

/** User and system time of a process from its stat line. Its name, in brackets, may hold anything. */
export function processUs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
