// `fabric ps`: what is attached on this host; with --prune, frees what runtimes left behind. Only what CNI networks own is
// ever pruned, and only when no process lives in its network namespace (docs/cni.md, "What is safe to free").

import type { ReservationRow, Status } from '../../daemon/status-types.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';
import { namespaceUses } from '../network-namespaces.ts';
import { sectionTable } from '../status/section-table.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly prune?: boolean;
  readonly idle?: boolean;
}

type Held = Pick<ReservationRow, 'network' | 'containerId' | 'ifname' | 'owner' | 'namespacePath' | 'namespaceId'>;

export async function ps({ runDir, json = false, prune = false, idle = false }: Options): Promise<void> {
  if (idle && !prune) throw usageError('--idle goes with --prune');
  const client = new DaemonClient(runDir);
  const status = await client.get<Status>('/v1/status');
  if (prune) return pruneHeld(client, [...status.attachments, ...status.reservations], { json, idle });
  process.stdout.write(`${json ? JSON.stringify(status.attachments, null, 2) : sectionTable(status, 'attachments')}\n`);
}

async function pruneHeld(
  client: DaemonClient,
  held: readonly Held[],
  { json, idle }: { readonly json: boolean; readonly idle: boolean },
): Promise<void> {
  const useOf = namespaceUses();
  const ofRuntimes = held.filter(({ owner }) => owner.startsWith('cni:')).map((row) => ({ row, use: useOf(row) }));
  const chosen = ofRuntimes.filter(({ use }) => use === 'gone' || (idle && use === 'idle')).map(({ row }) => row);
  const { freed } = await client.post<{ freed: readonly Held[] }>('/v1/prune', {
    pid: process.pid,
    attachments: chosen.map(({ network, containerId, ifname, namespaceId }) => ({
      network,
      containerId,
      ifname,
      namespaceId,
    })),
  });
  if (json) {
    process.stdout.write(`${JSON.stringify(freed, null, 2)}\n`);
    return;
  }
  for (const { containerId, ifname } of freed) process.stdout.write(`freed ${ifname} of ${containerId}\n`);
  const left = ofRuntimes.filter(({ use }) => use === 'idle' && !idle).length;
  process.stdout.write(`${freed.length} freed\n`);
  if (left > 0) {
    process.stdout.write(`${left} kept whose network namespace is there but holds no process: --idle frees them too\n`);
  }
}
