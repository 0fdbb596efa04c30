// Measures one path: ping, TCP and UDP by iperf3 from client to server, and the CPU time that the whole machine spends on it.
// Whatever iperf3 itself costs is the same on every path.

import type { Lab } from '../test/lab/lab.ts';
import type { Path, Place } from './contender.ts';
import { machineBusyUs } from './cpu-time.ts';
import { withLoss } from './loss.ts';
import { mainThreadUs, processesUs } from './process-time.ts';

export interface TrafficOptions {
  readonly tcpSeconds: number;
  readonly udpSeconds: number;
  readonly pings: number;
}

/** The names are the keys of the JSON (metrics.ts says what they mean). */
export type TrafficName =
  | 'tcpGbps'
  | 'tcp8Gbps'
  | 'tcpLossGbps'
  | 'udpGbps'
  | 'udpPps'
  | 'rttMs'
  | 'cpuUsPer64KiB'
  | 'cpuSecondsPerGbit'
  | 'daemonMsPerGB'
  | 'daemonCollections';

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

export interface WantedTraffic extends TrafficOptions {
  readonly wanted: (metric: TrafficName) => boolean;
}

/** What comes out of one run of a single TCP stream. */
const OF_ONE_STREAM = ['tcpGbps', 'cpuUsPer64KiB', 'cpuSecondsPerGbit', 'daemonMsPerGB', 'daemonCollections'] as const;

/** Makes only the traffic that the wanted metrics need; leaves out those that the path has no figure for. */
export async function measureTraffic(path: Path, options: WantedTraffic): Promise<TrafficFigures> {
  const { pings, tcpSeconds, udpSeconds, wanted } = options;
  const figures: TrafficFigures = {};
  if (wanted('rttMs')) figures.rttMs = await ping(path, pings);
  if (OF_ONE_STREAM.some(wanted)) {
    const measured = await measureOneStream(path, tcpSeconds);
    for (const name of OF_ONE_STREAM) if (wanted(name) && measured[name] !== undefined) figures[name] = measured[name];
  }
  if (wanted('tcp8Gbps')) figures.tcp8Gbps = gbps(await tcp(path, { streams: STREAMS, seconds: tcpSeconds }));
  if (wanted('udpGbps')) figures.udpGbps = gbps(await udp(path, { bytes: UDP_BYTES, seconds: udpSeconds }));
  if (wanted('udpPps')) {
    const { bytes, seconds } = await udp(path, { bytes: UDP_SMALL_BYTES, seconds: udpSeconds });
    figures.udpPps = bytes / UDP_SMALL_BYTES / seconds;
  }
  return figures;
}

/** The same single stream over an underlay that loses; apart, because what it loses is in nobody's books. */
export async function measureLoss(
  lab: Lab,
  path: Path,
  { wanted, tcpSeconds }: WantedTraffic,
): Promise<TrafficFigures> {
  if (!wanted('tcpLossGbps')) return {};
  const received = await withLoss(lab, path.hosts, () => tcp(path, { streams: 1, seconds: tcpSeconds }));
  return { tcpLossGbps: gbps(received) };
}

/** The stream itself, and what machine, carriers and daemons spend on it. */
async function measureOneStream(path: Path, seconds: number): Promise<TrafficFigures> {
  const before = await spentOn(path);
  await settle();
  const beforeUs = machineBusyUs();
  const received = await iperf(path, seconds, ['--parallel', '1']);
  const busyUs = machineBusyUs() - beforeUs;
  const after = await spentOn(path);
  const figures: TrafficFigures = {
    tcpGbps: gbps(received),
    cpuUsPer64KiB: busyUs / (received.bytes / 65_536),
  };
  if (path.carriers.length > 0)
    figures.cpuSecondsPerGbit = (after.carriersUs - before.carriersUs) / 1e6 / ((received.bytes * 8) / 1e9);
  if (path.daemons.length > 0)
    figures.daemonMsPerGB = (after.daemonsUs - before.daemonsUs) / 1e3 / (received.bytes / 1e9);
  if (path.collections !== undefined) figures.daemonCollections = after.collections - before.collections;
  return figures;
}

interface Spent {
  readonly carriersUs: number;
  readonly daemonsUs: number;
  readonly collections: number;
}

async function spentOn({ hosts, carriers, daemons, collections }: Path): Promise<Spent> {
  const ofDaemons = await Promise.all(daemons.map(async (host) => mainThreadUs(host, await host.daemonPid())));
  return {
    carriersUs: carriers.length === 0 ? 0 : await processesUs(hosts, carriers),
    daemonsUs: ofDaemons.reduce((sum, us) => sum + us, 0),
    collections: collections?.() ?? 0,
  };
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
  { streams, seconds }: { readonly streams: number; readonly seconds: number },
): Promise<Received> {
  await settle();
  return iperf(path, seconds, ['--parallel', String(streams)]);
}

/** As fast as the sender can; what counts is what arrives. */
async function udp(
  path: Path,
  { bytes, seconds }: { readonly bytes: number; readonly seconds: number },
): Promise<Received> {
  await settle();
  return iperf(path, seconds, ['--udp', '--bitrate', '0', '--length', String(bytes)]);
}

function gbps({ bits_per_second }: Received): number {
  return bits_per_second / 1e9;
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
