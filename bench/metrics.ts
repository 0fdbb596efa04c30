// What each figure of the benchmark means, in which unit, and how it is written for people. Keys are those of the JSON.

import type { IdleTunnelsFigures } from './idle-tunnels.ts';
import type { StartUpFigures } from './start-up.ts';
import type { TrafficName } from './traffic.ts';

export interface Metric<Name extends string> {
  readonly name: Name;
  readonly title: string;
  readonly unit: string;
  /** Digits behind the point. */
  readonly digits: number;
  readonly better: 'more' | 'less';
}

/** Of each contender. */
export const TRAFFIC_METRICS: readonly Metric<TrafficName>[] = [
  { name: 'tcpGbps', title: 'TCP, 1 stream', unit: 'Gbit/s', digits: 3, better: 'more' },
  { name: 'tcp8Gbps', title: 'TCP, 8 streams', unit: 'Gbit/s', digits: 3, better: 'more' },
  { name: 'tcpLossGbps', title: 'TCP, 1 stream, 1 % loss below', unit: 'Gbit/s', digits: 3, better: 'more' },
  { name: 'udpGbps', title: 'UDP 1300 bytes, delivered', unit: 'Gbit/s', digits: 3, better: 'more' },
  { name: 'udpPps', title: 'UDP 64 bytes, delivered', unit: 'packets/s', digits: 0, better: 'more' },
  { name: 'rttMs', title: 'idle ping, average', unit: 'ms', digits: 3, better: 'less' },
  {
    name: 'cpuUsPer64KiB',
    title: 'CPU of the machine per 64 KiB (TCP, 1 stream)',
    unit: 'µs',
    digits: 0,
    better: 'less',
  },
  {
    name: 'cpuSecondsPerGbit',
    title: 'CPU of the carrying processes (TCP, 1 stream)',
    unit: 's/Gbit',
    digits: 3,
    better: 'less',
  },
  { name: 'daemonMsPerGB', title: "daemons' JavaScript (TCP, 1 stream)", unit: 'ms/GB', digits: 2, better: 'less' },
  {
    name: 'daemonCollections',
    title: "daemons' garbage collections (TCP, 1 stream)",
    unit: 'a run',
    digits: 0,
    better: 'less',
  },
];

/** Of the daemon. */
export const START_UP_METRICS: readonly Metric<keyof StartUpFigures>[] = [
  { name: 'launchMs', title: 'fabric launch --detach, until ready', unit: 'ms', digits: 0, better: 'less' },
  {
    name: 'joinToPingMs',
    title: 'join, attach, until the first ping came back',
    unit: 'ms',
    digits: 0,
    better: 'less',
  },
  { name: 'statusMs', title: 'fabric status', unit: 'ms', digits: 0, better: 'less' },
  { name: 'idleResidentMiB', title: 'idle daemon, resident', unit: 'MiB', digits: 1, better: 'less' },
  { name: 'idleCpuPercent', title: 'idle daemon, CPU of one core', unit: '%', digits: 2, better: 'less' },
];

/** Of a daemon with many tunnels and nothing to carry. */
export const IDLE_METRICS: readonly Metric<keyof IdleTunnelsFigures>[] = [
  { name: 'tunnelsCpuPercent', title: '100 idle tunnels, CPU of one core', unit: '%', digits: 3, better: 'less' },
  { name: 'tunnelsKeepPercent', title: '  of that: keepalives, timers', unit: '%', digits: 3, better: 'less' },
  { name: 'tunnelsRekeyPercent', title: '  of that: new keys every 120 s', unit: '%', digits: 3, better: 'less' },
];

/** Of a fabric pair, beside its traffic. */
export const PAIR_METRICS: readonly Metric<string>[] = [
  { name: 'daemonResidentMiB', title: 'daemon after traffic, resident', unit: 'MiB', digits: 1, better: 'less' },
  { name: 'engineResidentMiB', title: 'engine after traffic, resident', unit: 'MiB', digits: 1, better: 'less' },
  { name: 'lostInSocketsFrames', title: 'frames lost in full socket buffers', unit: '', digits: 0, better: 'less' },
  { name: 'unaccountedFrames', title: 'frames neither delivered nor counted', unit: '', digits: 0, better: 'less' },
];
