// Measures a cluster's first seconds on two fresh hosts: from `fabric launch` to ready, from joining to the first ping between
// containers, and what a daemon with one peer and one container takes while nothing happens.

import { eventually } from '../test/lab/exec.ts';
import { DAEMON_PROCESS, residentMiB } from '../test/lab/processes.ts';
import { withLab } from '../test/lab/with-lab.ts';
import { exactUs } from './process-time.ts';

export interface StartUpFigures {
  /** From starting the command to its end, which says ready: a new cluster. */
  readonly launchMs: number;
  /** From starting `fabric launch --join` until a container attached there has its first answer from one on the first host. */
  readonly joinToPingMs: number;
  /** The whole command. */
  readonly statusMs: number;
  readonly idleResidentMiB: number;
  readonly idleCpuPercent: number;
}

const FIRST_PING_MAX_MS = 20_000;

export function measureStartUp({ idleSeconds }: { idleSeconds: number }): Promise<StartUpFigures> {
  return withLab(async (lab) => {
    const first = await lab.host('first');
    const second = await lab.host('second');
    const launchMs = await timed(() => first.launch());
    const token = await first.token();
    const server = await first.container('server');
    const joinToPingMs = await timed(async () => {
      await second.launch({ join: first, token });
      const client = await second.container('client');
      await eventually('the first ping', () => client.pings(server.ip), { timeoutMs: FIRST_PING_MAX_MS });
    });
    const statusMs = await timed(() => second.fabric(['status']));
    const beforeUs = await exactUs(second, [DAEMON_PROCESS]);
    const idleMs = await timed(() => new Promise<void>((resolve) => setTimeout(resolve, idleSeconds * 1000)));
    const idleCpuPercent = ((await exactUs(second, [DAEMON_PROCESS])) - beforeUs) / 10 / idleMs;
    return {
      launchMs,
      joinToPingMs,
      statusMs,
      idleResidentMiB: await residentMiB(second, DAEMON_PROCESS),
      idleCpuPercent,
    };
  });
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
