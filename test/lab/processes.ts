// The processes of fabric on a host of the lab, by name, and what they hold in memory. proc(5).

import type { LabHost } from './host.ts';

/** What the daemon (`process.title`) and the engine are called. */
export const DAEMON_PROCESS = 'fabric launch';
export const ENGINE_PROCESS = 'fabric-engine';

/** Resident memory of all processes with one of these names on a host, in MiB. */
export async function residentMiB(host: LabHost, name: string): Promise<number> {
  const { stdout } = await host.run(['sh', '-c', 'cat /proc/[0-9]*/status 2>/dev/null'], { mayFail: true });
  const processes = stdout.split(/^(?=Name:)/m).filter((status) => status.startsWith(`Name:\t${name}\n`));
  const kib = processes.map((status) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0));
  return kib.reduce((sum, value) => sum + value, 0) / 1024;
}
