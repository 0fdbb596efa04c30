// Which peers get time series of their own. Each series costs a Prometheus server memory, and every host of N has one for every
// other: N² in all. So only that many have their own, chosen by nothing that changes by itself; the sums over all peers, which
// have no label, are always complete, and GET /v1/status has every tunnel.

import type { TunnelRow } from '../status-types.ts';

export const LABELLED_MAX = 100;

export function labelled(tunnels: readonly TunnelRow[], labelledMax = LABELLED_MAX): readonly TunnelRow[] {
  return [...tunnels].sort((a, b) => (a.peer < b.peer ? -1 : 1)).slice(0, labelledMax);
}
