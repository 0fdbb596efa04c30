// `fabric doctor [PEER]`: reads this host, has the daemon examine the peers, and says what is wrong. Works without a daemon, too: then
// it says whether fabric could run here. Exit code 0: nothing to mend; 1: there is.

import { type Cidr, parseCidr } from '../../base/address.ts';
import type { Log } from '../../base/capabilities.ts';
import { MESH_PORT_DEFAULT } from '../../base/endpoint.ts';
import { FabricError } from '../../base/errors.ts';
import type { ExamineAnswer, ExaminedPeer } from '../../daemon/examine-routes.ts';
import { BRIDGE_DEFAULT, RANGE_DEFAULT } from '../../daemon/launch-options.ts';
import { STATUS_API_VERSION, type Status } from '../../daemon/status-types.ts';
import { diagnose } from '../../doctor/diagnose.ts';
import type { PeerReading, Readings, UnderlayReading } from '../../doctor/readings.ts';
import { readMachine } from '../../host/doctor/machine.ts';
import { readPacketFilter } from '../../host/doctor/packet-filter.ts';
import { readPath, tcpFault } from '../../host/doctor/path.ts';
import { readUnderlay } from '../../host/doctor/underlay.ts';
import { DaemonClient } from '../client.ts';
import { doctorText } from '../doctor-text.ts';
import { EXIT_FAILED, usageError } from '../exit.ts';

interface Options {
  readonly runDir: string;
  readonly port?: string;
  readonly range?: string;
  readonly json?: boolean;
}

const CONNECT_MS_MAX = 1_000;
/** Of an uplink that nobody knows. */
const UNDERLAY_MTU_DEFAULT = 1500;

export async function doctor(peer: string | undefined, options: Options): Promise<void> {
  const readings = await readAll(peer, options);
  const findings = diagnose(readings);
  const text = options.json
    ? JSON.stringify({ apiVersion: STATUS_API_VERSION, ok: findings.length === 0, findings, readings }, null, 2)
    : doctorText(findings, readings);
  process.stdout.write(`${text}\n`);
  if (findings.length > 0) process.exitCode = EXIT_FAILED;
}

async function readAll(peer: string | undefined, options: Options): Promise<Readings> {
  const wishes = { port: portOf(options.port), range: rangeOf(options.range) };
  const client = new DaemonClient(options.runDir);
  const { status, forbidden } = await statusIfAny(client);
  if (peer !== undefined && status === null) {
    throw new FabricError('daemon-unreachable', {
      what: `${peer} can not be examined`,
      why: 'no fabric daemon answers here',
      fix: 'Start one with fabric launch, or leave the peer out',
    });
  }
  const machine = await readMachine();
  const mayProbe = machine.missingCapabilities.length === 0;
  const joined = status !== null && status.self.clusterId !== null && status.networks.length > 0;
  const examined = joined ? await client.post<ExamineAnswer>('/v1/examine', { peer: peer ?? null }) : null;
  const port = examined?.port ?? wishes.port;
  const bridges = status === null || !joined ? [BRIDGE_DEFAULT] : bridgesOf(status);
  const ranges = status === null || !joined ? [wishes.range] : rangesOf(status);
  const underlay = await readUnderlay({ ranges, bridges, port: status === null && !forbidden ? port : null, mayProbe });
  const packetFilter = mayProbe && machine.nftFault === null ? await readPacketFilter({ bridges, port }, NO_LOG) : null;
  return {
    machine,
    underlay,
    packetFilter,
    daemon: status === null ? null : { status, port },
    peers: await readPeers(examined?.peers ?? [], status, underlay, mayProbe),
  };
}

/** Null without a daemon, and for those who may not ask it: `forbidden`, because one may be there. */
async function statusIfAny(client: DaemonClient): Promise<{ status: Status | null; forbidden: boolean }> {
  try {
    return { status: await client.get<Status>('/v1/status'), forbidden: false };
  } catch (error) {
    if (!(error instanceof FabricError) || (error.code !== 'daemon-unreachable' && error.code !== 'not-root'))
      throw error;
    return { status: null, forbidden: error.code === 'not-root' };
  }
}

function readPeers(
  peers: readonly ExaminedPeer[],
  status: Status | null,
  { interfaces }: UnderlayReading,
  mayProbe: boolean,
): Promise<readonly PeerReading[]> {
  const triedBytes = interfaces[0]?.mtu ?? UNDERLAY_MTU_DEFAULT;
  return Promise.all(
    peers.map(async ({ ip, port, tcpInFault, ...found }): Promise<PeerReading> => {
      const place = ip === null || port === null ? null : { ip, port };
      const unknown = { rttMs: null, triedBytes, verdict: 'unknown' as const, mtu: null };
      const [tcpOutFault, icmp] = await Promise.all([
        place === null ? undefined : tcpFault(place.ip, place.port, CONNECT_MS_MAX),
        place === null || !mayProbe ? unknown : readPath(place.ip, triedBytes),
      ]);
      const tunnel = status?.tunnels.find(({ peer }) => peer === found.id);
      const by = tunnel?.state === 'established' ? tunnel.relay : null;
      return {
        ...found,
        ip: ip ?? '',
        port: port ?? MESH_PORT_DEFAULT,
        tcpOutFault,
        tcpInFault,
        relay: by === null ? null : (status?.peers.find(({ id }) => id === by)?.nickname ?? by),
        tunnelMtu: tunnel?.relay === null ? tunnel.mtu : null,
        icmp,
      };
    }),
  );
}

/** An internal network is in no route of a host: its range may be anybody's. */
function rangesOf({ networks }: Status): readonly Cidr[] {
  const routed = networks.filter(({ internal }) => !internal);
  return routed.flatMap(({ range, range6 }) => [range, range6].flatMap((text) => parseCidr(text ?? '') ?? []));
}

/** Through which this host routes; the default network's first. */
function bridgesOf({ networks }: Status): readonly string[] {
  return networks.flatMap(({ bridge, up, internal }) => (up && !internal ? [bridge] : []));
}

function portOf(text: string | undefined): number {
  if (text === undefined) return MESH_PORT_DEFAULT;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw usageError(`--port ${text} is no port`);
}

function rangeOf(text = RANGE_DEFAULT): Cidr {
  const range = parseCidr(text);
  if (range === null) throw usageError(`--range ${text} is no block of addresses`);
  return range;
}

/** Reading tells nothing: what it finds is the result. */
const NO_LOG: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
