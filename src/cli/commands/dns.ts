// `fabric dns`: names that an operator adds beside those of containers, and what the name server knows.

import { DaemonClient } from '../client.ts';
import { status } from './status.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
}

export async function dnsAdd(name: string, ips: readonly string[], { runDir }: Options): Promise<void> {
  await new DaemonClient(runDir).post('/v1/dns/add', { name, ips });
}

export async function dnsRemove(name: string, ips: readonly string[], { runDir }: Options): Promise<void> {
  await new DaemonClient(runDir).post('/v1/dns/remove', { name, ips });
}

export async function dnsList(options: Options): Promise<void> {
  await status('dns', undefined, options);
}

export async function dnsLookup(name: string, { runDir }: Options): Promise<void> {
  const { found } = await new DaemonClient(runDir).post<{ found: readonly string[] }>('/v1/dns/lookup', { name });
  process.stdout.write(`${found.join('\n')}\n`);
}
