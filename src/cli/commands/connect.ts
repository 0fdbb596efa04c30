// `fabric connect HOST` and `fabric forget HOST`: which hosts the mesh dials.

import type { Status } from '../../daemon/status-types.ts';
import { DaemonClient } from '../client.ts';

interface Where {
  readonly runDir: string;
}

/** `replace`: whatever else was to be dialled is forgotten. What is linked stays linked. */
export async function connect(host: string, { runDir, replace = false }: Where & { replace?: boolean }): Promise<void> {
  const daemon = new DaemonClient(runDir);
  const before = replace ? (await daemon.get<Status>('/v1/status')).targets : [];
  for (const target of before) await daemon.post('/v1/forget', { host: target.host });
  await daemon.post('/v1/connect', { host });
}

export async function forget(host: string, { runDir }: Where): Promise<void> {
  await new DaemonClient(runDir).post('/v1/forget', { host });
}
