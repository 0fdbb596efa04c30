// Measures one path: ping, TCP and UDP by iperf3 from client to server, and the CPU time that the whole machine spends on it.
// Whatever iperf3 itself costs is the same on every path.

import type { Path, Place } from './contender.ts';
import { machineBusyUs } from './cpu-time.ts';

export interface TrafficOptions {
  readonly tcpSeconds: number;
  readonly udpSeconds: number;
  readonly pings: number;
}

/** The names are the keys of the JSON (metrics.ts says what they mean). */
export type TrafficName = 'tcpGbps' | 'tcp8Gbps' | 'udpGbps' | 'udpPps' | 'rttMs' | 'cpuUsPer64KiB';

/** One figure per metric that was wanted. */
export type TrafficFigures = Partial<Record<TrafficName, number>>;

const STREAMS = 8;
const UDP_BYTES = 1300;
const UDP_SMALL_BYTES = 64;
const PING_INTERVAL_S = 0.01;
/** What iperf3 may need beyond its time: its control connection shares the path with a blast. */
const GRACE_MS = 20_000;
/** Lets queues run empty before something else is measured. */
const SETTLE_MS = 300;

/** A server in the background; it ends with the lab. */
export async function serve(place: Place): Promise<void> {
  await place.run(['iperf3', '--server', '--daemon']);
}

/** Makes only the traffic that the wanted metrics need. */
export async function measureTraffic(
  path: Path,
  options: TrafficOptions & { readonly wanted: (metric: TrafficName) => boolean },
): Promise<TrafficFigures> {
  const { pings, tcpSeconds, udpSeconds, wanted } = options;
  const figures: TrafficFigures = {};
  if (wanted('rttMs')) figures.rttMs = await ping(path, pings);
  if (wanted('tcpGbps') || wanted('cpuUsPer64KiB')) {
    const { gbps, cpuUsPer64KiB } = await tcp(path, { streams: 1, seconds: tcpSeconds });
    figures.tcpGbps = gbps;
    figures.cpuUsPer64KiB = cpuUsPer64KiB;
  }
  if (wanted('tcp8Gbps')) figures.tcp8Gbps = (await tcp(path, { streams: STREAMS, seconds: tcpSeconds })).gbps;
  if (wanted('udpGbps')) figures.udpGbps = (await udp(path, { bytes: UDP_BYTES, seconds: udpSeconds })).gbps;
  if (wanted('udpPps'))
    figures.udpPps = (await udp(path, { bytes: UDP_SMALL_BYTES, seconds: udpSeconds })).packetsPerSecond;
  return figures;
}

/** Average of an idle path. */
async function ping({ client, serverIp }: Path, count: number): Promise<number> {
  await settle();
  const command = ['ping', '-q', '-c', String(count), '-i', String(PING_INTERVAL_S), '-W', '1', serverIp];
  return averageOfPing((await client.run(command)).stdout);
}

/** From `rtt min/avg/max/mdev = 0.010/0.018/0.066/0.006 ms`. */
export function averageOfPing(output: string): number {
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  if (average === undefined) throw new Error(`ping says no average: ${output}`);
  return Number(average);
}

async function tcp(
  path: Path,
  { streams, seconds }: { streams: number; seconds: number },
): Promise<{ gbps: number; cpuUsPer64KiB: number }> {
  await settle();
  const beforeUs = machineBusyUs();
  const { bytes, bits_per_second } = await iperf(path, seconds, ['--parallel', String(streams)]);
  const busyUs = machineBusyUs() - beforeUs;
  return { gbps: bits_per_second / 1e9, cpuUsPer64KiB: busyUs / (bytes / 65_536) };
}

/** As fast as the sender can; what counts is what arrives. */
async function udp(
  path: Path,
  { bytes, seconds }: { bytes: number; seconds: number },
): Promise<{ gbps: number; packetsPerSecond: number }> {
  await settle();
  const received = await iperf(path, seconds, ['--udp', '--bitrate', '0', '--length', String(bytes)]);
  const packetsPerSecond = received.bytes / bytes / received.seconds;
  return { gbps: received.bits_per_second / 1e9, packetsPerSecond };
}

/** What iperf3 reports that its server received (`end.sum_received`). */
interface Received {
  readonly bytes: number;
  readonly seconds: number;
  readonly bits_per_second: number;
}

async function iperf({ client, serverIp }: Path, seconds: number, flags: readonly string[]): Promise<Received> {
  const command = ['iperf3', '--client', serverIp, '--time', String(seconds), '--json', ...flags];
  const { stdout } = await client.run(command, { timeoutMs: seconds * 1000 + GRACE_MS });
  const report = JSON.parse(stdout) as { error?: string; end: { sum_received?: Received } };
  const received = report.end.sum_received;
  if (report.error !== undefined || received === undefined) throw new Error(`iperf3: ${report.error ?? 'no result'}`);
  return received;
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}
