// `fabric rmpeer PEER`: the operator's word that a host is off for good, and that its addresses may be used again.

import type { Removed } from '../../daemon/removals.ts';
import { DaemonClient } from '../client.ts';

export async function rmpeer(peer: string, { runDir }: { readonly runDir: string }): Promise<void> {
  const removed = await new DaemonClient(runDir).post<Removed>('/v1/rmpeer', { peer });
  process.stdout.write(`removed ${removedText(removed)}\n`);
}

/** Who it was, and what became of its addresses. */
export function removedText(removed: Removed): string {
  const name = removed.nickname === '' ? removed.peer : `${removed.nickname} (${removed.peer})`;
  const blocks =
    removed.blocks.length === 0 ? 'it owned no address' : `this host took over ${removed.blocks.join(' ')}`;
  return `${name}: ${blocks}`;
}
