// `fabric connect HOST` and `fabric forget HOST`: which hosts the mesh dials.

import { DaemonClient } from '../client.ts';

interface Where {
  readonly runDir: string;
}

export async function connect(host: string, { runDir }: Where): Promise<void> {
  await new DaemonClient(runDir).post('/v1/connect', { host });
}

export async function forget(host: string, { runDir }: Where): Promise<void> {
  await new DaemonClient(runDir).post('/v1/forget', { host });
}
