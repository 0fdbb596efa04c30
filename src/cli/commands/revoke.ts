// `fabric revoke PEER`: the operator's word that a host is in wrong hands. It is shut out everywhere, alive or not, and the token,
// which it may know, is replaced.

import type { Removed } from '../../daemon/removals.ts';
import { DaemonClient } from '../client.ts';
import { removedText } from './rmpeer.ts';

export async function revoke(peer: string, { runDir }: { readonly runDir: string }): Promise<void> {
  const removed = await new DaemonClient(runDir).post<Removed>('/v1/revoke', { peer });
  process.stdout.write(
    `revoked ${removedText(removed)}; the token was replaced: new hosts need what 'fabric token' prints now\n`,
  );
}
