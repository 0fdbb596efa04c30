// What flows now: the difference of two looks at the same daemon, by its own clock. A daemon that started anew in between, or a
// counter that did, has no rate yet.

import type { Status, TunnelRow } from '../../daemon/status-types.ts';

/** Per second. */
export interface Rate {
  readonly txBytes: number;
  readonly rxBytes: number;
  readonly txFrames: number;
  readonly rxFrames: number;
  readonly drops: number;
}

export interface Rates {
  readonly total: Rate;
  /** By peer id. */
  readonly ofPeer: ReadonlyMap<string, Rate>;
}

type Counts = Pick<TunnelRow, 'txBytes' | 'rxBytes' | 'txFrames' | 'rxFrames'> & { readonly drops: number };

const NONE: Rate = { txBytes: 0, rxBytes: 0, txFrames: 0, rxFrames: 0, drops: 0 };

/** Null at the first look, and at the first one of another run of the daemon. */
export function ratesBetween(before: Status | null, now: Status): Rates | null {
  const elapsedMs = before === null ? 0 : now.self.uptimeMs - before.self.uptimeMs;
  if (before === null || elapsedMs <= 0) return null;
  const earlier = new Map(before.tunnels.map((tunnel) => [tunnel.peer, countsOf(tunnel)]));
  const ofPeer = new Map(
    now.tunnels.map((tunnel) => [tunnel.peer, perSecond(earlier.get(tunnel.peer), countsOf(tunnel), elapsedMs)]),
  );
  const total = [...ofPeer.values()].reduce(add, NONE);
  const others = Math.max(0, sum(now.datapath.drops) - sum(before.datapath.drops)) / (elapsedMs / 1000);
  return { total: { ...total, drops: total.drops + others }, ofPeer };
}

function countsOf({ txBytes, rxBytes, txFrames, rxFrames, drops }: TunnelRow): Counts {
  return { txBytes, rxBytes, txFrames, rxFrames, drops: sum(drops) };
}

function perSecond(before: Counts | undefined, now: Counts, elapsedMs: number): Rate {
  const rate = (field: keyof Counts): number => Math.max(0, now[field] - (before?.[field] ?? 0)) / (elapsedMs / 1000);
  return {
    txBytes: rate('txBytes'),
    rxBytes: rate('rxBytes'),
    txFrames: rate('txFrames'),
    rxFrames: rate('rxFrames'),
    drops: rate('drops'),
  };
}

function add(a: Rate, b: Rate): Rate {
  return {
    txBytes: a.txBytes + b.txBytes,
    rxBytes: a.rxBytes + b.rxBytes,
    txFrames: a.txFrames + b.txFrames,
    rxFrames: a.rxFrames + b.rxFrames,
    drops: a.drops + b.drops,
  };
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
