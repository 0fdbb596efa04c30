// What befalls a cluster, as data: when which host joins, attaches, crashes, is cut off. A schedule is drawn from a seed once
// and from then on stands by itself: written to a file it replays on changed code, and shrinking removes parts of it.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Mac } from '../../src/base/ids.ts';
import type { CutPlan } from './sim-disk.ts';
import type { NetworkConditions } from './sim-network.ts';

/** What a container keeps when it is made anew elsewhere. */
export interface ContainerFacts {
  readonly ip: string;
  readonly mac: Mac;
}

/** An action on a host that can't take it now (attach while it is down) does nothing. */
export type Action =
  | { readonly kind: 'launch' | 'crash' | 'cut-power' | 'pause' | 'resume' | 'stop' | 'leave'; readonly host: number }
  | {
      readonly kind: 'renumber' | 'copy-disk' | 'restore-copy' | 'lose-disk' | 'fill-disk' | 'free-disk';
      readonly host: number;
    }
  | ({ readonly kind: 'cut-at-write'; readonly host: number } & CutPlan)
  /** In the default network, unless one is named. */
  | { readonly kind: 'detach'; readonly host: number; readonly container: string; readonly network?: string }
  | {
      readonly kind: 'attach';
      readonly host: number;
      readonly container: string;
      readonly as?: ContainerFacts;
      readonly network?: string;
    }
  | { readonly kind: 'create-network'; readonly host: number; readonly network: string }
  /** From now on, and until it speaks elsewhere, a device behind a port of that host's bridge sends something every second. */
  | { readonly kind: 'device'; readonly host: number; readonly mac: Mac }
  /** An operator says at a host that what another machine was before it lost its disk is gone for good. */
  | { readonly kind: 'rmpeer' | 'revoke'; readonly host: number; readonly machine: number }
  | { readonly kind: 'rotate'; readonly host: number; readonly graceMs: number }
  /** A machine beyond the cluster's comes up with a copy of this host's disk. */
  | { readonly kind: 'clone'; readonly host: number; readonly as: number }
  | { readonly kind: 'path'; readonly from: number; readonly to: number; readonly passes: boolean }
  /** Hosts of different groups can't reach each other; who is in none reaches all. */
  | { readonly kind: 'partition'; readonly groups: readonly (readonly number[])[] }
  | { readonly kind: 'heal' }
  | { readonly kind: 'conditions'; readonly change: Partial<NetworkConditions> }
  | { readonly kind: 'bandwidth'; readonly host: number; readonly bytesPerMs: number | null }
  | { readonly kind: 'step-clock'; readonly host: number; readonly skewMs: number }
  /** A container's frame for a host. */
  | { readonly kind: 'frame'; readonly from: number; readonly to: number };

export interface Step {
  readonly atMs: number;
  readonly action: Action;
}

export interface Schedule {
  readonly version: 1;
  readonly seed: number;
  readonly hosts: number;
  readonly range: string;
  readonly range6: string | null;
  readonly leasePrefix: number;
  /** Absent: the product's own, a day. */
  readonly leaseTimeMs?: number;
  /** Wall clock skew and rate of each machine. */
  readonly clocks: readonly { readonly skewMs: number; readonly rate: number }[];
  readonly conditions: NetworkConditions;
  /** From here on nothing is broken any more, and views have to converge. */
  readonly faultsEndMs: number;
  readonly steps: readonly Step[];
}

export function readSchedule(path: string): Schedule {
  const schedule = JSON.parse(readFileSync(path, 'utf8')) as Schedule;
  if (schedule.version !== 1) throw new Error(`${path}: version ${schedule.version} of schedules is not known`);
  return schedule;
}

/** One step per line, so that two schedules can be compared. */
export function writeSchedule(path: string, { steps, ...head }: Schedule): void {
  const lines = steps.map((step) => `    ${JSON.stringify(step)}`);
  const text = JSON.stringify(head, null, 2).slice(0, -2);
  writeFileSync(path, `${text},\n  "steps": [\n${lines.join(',\n')}\n  ]\n}\n`);
}
