// `fabric stop`, `reset`, `expose` and `hide`.

import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { FabricError } from '../../base/errors.ts';
import type { Status } from '../../daemon/status-types.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

interface Where {
  readonly runDir: string;
  readonly stateDir: string;
}

/** A daemon that ends says goodbye to its peers and writes its last state; both have limits of their own. */
const END_MS_MAX = 20_000;
const POLL_MS = 20;

/** Returns when the daemon is gone, so that the next launch finds its state free. Without one it ends the engine it left. */
export async function stop({ runDir, leave = false }: Where & { leave?: boolean }): Promise<void> {
  const client = new DaemonClient(runDir);
  try {
    await client.post('/v1/stop', { leave });
  } catch (error) {
    if (!(error instanceof FabricError) || error.code !== 'daemon-unreachable') throw error;
    if (leave) throw error; // without a daemon nobody can be given anything
    const { endEngine } = await import('../../daemon/reset.ts');
    if (await endEngine(runDir)) return;
    throw error;
  }
  await ended(client);
}

async function ended(client: DaemonClient): Promise<void> {
  const deadlineMs = performance.now() + END_MS_MAX;
  while (performance.now() < deadlineMs) {
    try {
      await client.get('/v1/status', { timeoutMs: END_MS_MAX });
    } catch (error) {
      if (error instanceof FabricError && error.code === 'daemon-unreachable') return;
      throw error;
    }
    await delay(POLL_MS);
  }
  throw new FabricError('timeout', {
    what: `the daemon has not ended after ${END_MS_MAX / 1000} s`,
    fix: 'See its log; kill -9 harms nothing: all that matters is durable',
  });
}

export async function expose({ runDir }: Where): Promise<void> {
  const { addresses } = await new DaemonClient(runDir).post<{ addresses: readonly string[] }>('/v1/expose');
  process.stdout.write(`${addresses.join('\n')}\n`);
}

export async function hide({ runDir }: Where): Promise<void> {
  await new DaemonClient(runDir).post('/v1/hide');
}

/** Names the containers that it would cut off; asks on a terminal, else wants --yes; with containers it wants --force. */
export async function reset({
  runDir,
  stateDir,
  yes,
  force,
}: Where & { yes?: boolean; force?: boolean }): Promise<void> {
  const client = new DaemonClient(runDir);
  let running = true;
  let attachments: Status['attachments'] = [];
  try {
    attachments = (await client.get<Status>('/v1/status')).attachments;
  } catch (error) {
    if (!(error instanceof FabricError) || error.code !== 'daemon-unreachable') throw error;
    running = false;
  }
  for (const row of attachments)
    process.stderr.write(`attached: ${row.name || row.containerId} ${row.ips.join(' ')}\n`);
  if (attachments.length > 0 && force !== true) {
    throw new FabricError('usage', {
      what: `reset would cut off ${attachments.length === 1 ? 'that container' : `these ${attachments.length} containers`}`,
      fix: 'Stop the containers first, or say --force',
    });
  }
  const { finishReset, resetOffline } = await import('../../daemon/reset.ts');
  if (yes !== true) await confirm('Leave the cluster and remove all that fabric made on this host?');
  if (running) {
    const left = await client.post<{ stateDir: string }>('/v1/reset', { force: force === true });
    await ended(client);
    await finishReset({ stateDir: left.stateDir, runDir });
  } else {
    await resetOffline({ stateDir, runDir, force: force === true });
  }
}

async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY) throw usageError(`${question} Nobody is there to answer`, 'Say --yes');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await lines.question(`${question} [y/N] `);
  lines.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new FabricError('usage', { what: 'nothing was changed' });
}
