// `fabric unhold WHAT`: the operator's word that a MAC or address that moved too often may move again, to this host.

import { DaemonClient } from '../client.ts';

interface Options {
  readonly runDir: string;
  readonly network?: string;
}

export async function unhold(what: string, { runDir, network }: Options): Promise<void> {
  const { cleared } = await new DaemonClient(runDir).post<{ cleared: boolean }>('/v1/unhold', { what, network });
  process.stdout.write(cleared ? `${what} may move to this host\n` : `this host saw no moves of ${what}\n`);
}
