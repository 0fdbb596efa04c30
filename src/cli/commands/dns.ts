// `fabric dns`: names that an operator adds beside those of containers, and what the name server knows.

import { DaemonClient } from '../client.ts';
import { status } from './status.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly network?: string;
}

export async function dnsAdd(name: string, ips: readonly string[], { runDir, network }: Options): Promise<void> {
  await new DaemonClient(runDir).post('/v1/dns/add', { network, name, ips });
}

export async function dnsRemove(name: string, ips: readonly string[], { runDir, network }: Options): Promise<void> {
  await new DaemonClient(runDir).post('/v1/dns/remove', { network, name, ips });
}

export async function dnsList(options: Options): Promise<void> {
  await status('dns', undefined, options);
}

export async function dnsLookup(name: string, { runDir, network }: Options): Promise<void> {
  const client = new DaemonClient(runDir);
  const { found } = await client.post<{ found: readonly string[] }>('/v1/dns/lookup', { network, name });
  process.stdout.write(`${found.join('\n')}\n`);
}
