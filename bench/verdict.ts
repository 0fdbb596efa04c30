// What a run is held against: kernel VXLAN for traffic, fixed limits for the daemon. Pure.

import type { Summary } from './statistics.ts';

/** A machine on which plain VXLAN loses more than this against no overlay is too small or too busy to compare anything on. */
const VXLAN_OF_BARE_MIN = 0.5;

export type Summaries = Readonly<Record<string, Summary>>;

/** Metrics by contender, and metrics of the daemon. */
export interface Measured {
  readonly contenders: Readonly<Record<string, Summaries>>;
  readonly startUp: Summaries;
}

export interface Goal {
  readonly what: string;
  readonly limit: number;
  readonly measured: number;
  readonly met: boolean;
}

/** Medians of each contender over VXLAN's, by contender and metric; nothing where VXLAN was not measured. */
export function ratiosToVxlan({ contenders }: Measured): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const vxlan = contenders.vxlan ?? {};
  const ratios = (summaries: Summaries) =>
    Object.fromEntries(
      Object.entries(summaries)
        .filter(([metric]) => vxlan[metric] !== undefined)
        .map(([metric, { median }]) => [metric, median / vxlan[metric]!.median]),
    );
  return Object.fromEntries(Object.entries(contenders).map(([name, summaries]) => [name, ratios(summaries)]));
}

/** Null when the run counts, else why it does not. A run without these two contenders can't tell, and counts. */
export function voidReason({ contenders }: Measured): string | null {
  const ratio = quotient(contenders.vxlan?.tcpGbps, contenders.bare?.tcpGbps);
  if (ratio === null || ratio >= VXLAN_OF_BARE_MIN) return null;
  return `kernel VXLAN reached ${ratio.toFixed(2)} of bare veth's TCP, below ${VXLAN_OF_BARE_MIN}: the machine was busy`;
}

/** Medians against the limits that the project has set itself: those for which the run has the figures. */
export function judge({ startUp, contenders }: Measured): readonly Goal[] {
  const { pcap, vxlan } = contenders;
  return [
    atLeast("pcap datapath's TCP, part of kernel VXLAN's", 0.025, quotient(pcap?.tcpGbps, vxlan?.tcpGbps)),
    atMost('launch to ready, ms', 1500, startUp.launchMs?.median),
    atMost('join to first ping, ms', 3000, startUp.joinToPingMs?.median),
    atMost('fabric status, ms', 150, startUp.statusMs?.median),
    atMost('idle daemon resident, MiB', 120, startUp.idleResidentMiB?.median),
  ].filter((goal) => goal !== null);
}

function quotient(of: Summary | undefined, by: Summary | undefined): number | null {
  return of === undefined || by === undefined ? null : of.median / by.median;
}

function atLeast(what: string, limit: number, measured: number | null | undefined): Goal | null {
  return measured == null ? null : { what, limit, measured, met: measured >= limit };
}

function atMost(what: string, limit: number, measured: number | null | undefined): Goal | null {
  return measured == null ? null : { what, limit, measured, met: measured <= limit };
}
