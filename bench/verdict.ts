// What a run is held against: kernel VXLAN for traffic, fixed limits for the daemon. Pure.

import type { Summary } from './statistics.ts';

/** A machine on which plain VXLAN loses more than this against no overlay is too small or too busy to compare anything on. */
const VXLAN_OF_BARE_MIN = 0.5;

/**
 * What both daemons may spend on JavaScript while a gigabyte, 740,000 full frames, passes their engines: their idle rounds, and
 * not 100 ns a frame. One call into JavaScript costs more than that, let alone a frame (pcap: 13 µs a side).
 */
const DAEMON_MS_PER_GB_MAX = 70;

/** The program by others whose CPU time a goal names. */
export const REFERENCE_PEER = 'wireguard-go';

export type Summaries = Readonly<Record<string, Summary>>;

/** Metrics by contender, and metrics of the daemon. */
export interface Measured {
  readonly contenders: Readonly<Record<string, Summaries>>;
  readonly startUp: Summaries;
  readonly idle: Summaries;
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

/** Null when the run counts, else why it does not. What the run did not measure can't make it void. */
export function voidReason({ contenders }: Measured): string | null {
  const ratio = quotient(contenders.vxlan?.tcpGbps, contenders.bare?.tcpGbps);
  if (ratio !== null && ratio < VXLAN_OF_BARE_MIN) {
    const share = `kernel VXLAN reached ${ratio.toFixed(2)} of bare veth's TCP, below ${VXLAN_OF_BARE_MIN}`;
    return `${share}: the machine was busy`;
  }
  for (const [name, { unaccountedFrames }] of Object.entries(contenders)) {
    const lost = unaccountedFrames?.values.find((frames) => frames !== 0);
    if (lost !== undefined) return `${name}: ${lost} frames entered that were neither delivered nor counted as dropped`;
  }
  return null;
}

/**
 * Medians against the limits that the project has set itself: those for which the run has the figures. `peers` are the names of
 * the contenders that are programs by others.
 */
export function judge({ startUp, idle, contenders }: Measured, peers: readonly string[]): readonly Goal[] {
  const { engine, pcap, vxlan, 'fabric-vxlan': plain } = contenders;
  const wireguard = contenders[REFERENCE_PEER];
  const ofEngine = (metric: string, by = vxlan) => quotient(engine?.[metric], by?.[metric]);
  const toPeers = peers.map((name) => ofEngine('tcpGbps', contenders[name])).filter((value) => value !== null);
  return [
    atLeast('engine, TCP 1 stream, × kernel VXLAN', 0.85, ofEngine('tcpGbps')),
    atLeast('engine, TCP 8 streams, × kernel VXLAN', 0.85, ofEngine('tcp8Gbps')),
    atMost('engine, CPU per 64 KiB, × kernel VXLAN', 1.5, ofEngine('cpuUsPer64KiB')),
    atLeast('engine, UDP 1300 bytes, × kernel VXLAN', 1, ofEngine('udpGbps')),
    atLeast('engine, UDP 64 bytes, × kernel VXLAN', 0.7, ofEngine('udpPps')),
    atMost('engine, idle ping, × kernel VXLAN', 3, ofEngine('rttMs')),
    atLeast('engine, TCP with 1 % loss, × kernel VXLAN', 0.9, ofEngine('tcpLossGbps')),
    atMost(`engine, CPU per Gbit, × ${REFERENCE_PEER}`, 0.4, ofEngine('cpuSecondsPerGbit', wireguard)),
    atLeast('engine, TCP 1 stream, × the best peer', 3, toPeers.length === 0 ? null : Math.min(...toPeers)),
    atMost("engine, daemons' JavaScript, ms/GB", DAEMON_MS_PER_GB_MAX, engine?.daemonMsPerGB?.median),
    atMost('100 idle tunnels, % of a core', 0.5, idle.tunnelsCpuPercent?.median),
    atLeast('fabric-vxlan, TCP 1 stream, × kernel VXLAN', 0.97, quotient(plain?.tcpGbps, vxlan?.tcpGbps)),
    atLeast('pcap, TCP 1 stream, × kernel VXLAN', 0.025, quotient(pcap?.tcpGbps, vxlan?.tcpGbps)),
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
