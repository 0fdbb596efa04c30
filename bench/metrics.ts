// What each figure of the benchmark means, in which unit, and how it is written for people. Keys are those of the JSON.

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
