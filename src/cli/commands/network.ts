// `fabric network`: makes, lists, explains and removes networks beside the default one.

import { FabricError } from '../../base/errors.ts';
import type { NetworkRow, Status } from '../../daemon/status-types.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';
import { printable, table } from '../table.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
}

interface CreateOptions extends Options {
  readonly range?: string;
  readonly range6?: string;
  readonly leasePrefix?: string;
  readonly internal?: boolean;
}

export async function networkCreate(
  name: string,
  { runDir, range, range6, leasePrefix, internal = false }: CreateOptions,
): Promise<void> {
  const prefix = leasePrefix === undefined ? undefined : Number(leasePrefix);
  if (prefix !== undefined && !Number.isInteger(prefix)) throw usageError(`${leasePrefix} is no prefix length`);
  const wish = { name, range, range6, leasePrefix: prefix, internal };
  const { id } = await new DaemonClient(runDir).post<{ id: number }>('/v1/network/create', wish);
  process.stdout.write(`${id}\n`);
}

export async function networkRemove(name: string, { runDir }: Options): Promise<void> {
  await new DaemonClient(runDir).post('/v1/network/remove', { name });
}

export async function networkList({ runDir, json = false }: Options): Promise<void> {
  const { networks } = await new DaemonClient(runDir).get<Status>('/v1/status');
  process.stdout.write(`${json ? JSON.stringify({ networks }, null, 2) : networkTable(networks)}\n`);
}

/** The network, and what of status is in it. */
export async function networkInspect(name: string, { runDir }: Options): Promise<void> {
  const status = await new DaemonClient(runDir).get<Status>('/v1/status');
  const network = status.networks.find((row) => row.name === name);
  if (network === undefined) {
    throw new FabricError('network-unknown', { what: `there is no network ${name}`, fix: 'See fabric network ls' });
  }
  const within = <T extends { readonly network: string }>(rows: readonly T[]) =>
    rows.filter((row) => row.network === name);
  const { routes, leases, attachments, reservations } = status;
  const facts = {
    ...network,
    routes: within(routes),
    leases: within(leases),
    attachments: within(attachments),
    reservations: within(reservations),
  };
  process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
}

export function networkTable(networks: readonly NetworkRow[]): string {
  return table(
    ['NAME', 'ID', 'RANGE', 'IPV6 RANGE', 'GATEWAY', 'HOSTS', 'HERE', 'STATE'],
    networks.map((row) => [
      printable(row.name),
      String(row.id),
      row.range,
      row.range6 ?? '-',
      row.gateway ?? 'internal',
      String(row.hosts.length),
      row.up ? row.bridge : '-',
      row.state,
    ]),
  );
}
