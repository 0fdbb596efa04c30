// Where a run took place: figures of different machines are not to be compared.

import { cpus, release, totalmem } from 'node:os';
import { exec } from '../test/lab/exec.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly openssl: string;
  readonly iperf3: string;
  /** Load average of the last minute before the run: above a tenth of a core, somebody else was at work. */
  readonly loadBefore: number;
}

export async function describeMachine(loadBefore: number): Promise<Machine> {
  const { stdout } = await exec(['iperf3', '--version']);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    openssl: process.versions.openssl,
    iperf3: /iperf (\S+)/.exec(stdout)?.[1] ?? 'unknown',
    loadBefore,
  };
}
