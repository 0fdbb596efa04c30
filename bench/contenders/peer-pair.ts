// Two hosts with one foreign program each: what the contenders of contenders/ that are programs by others have in common. A
// program with a TAP gets a container behind a bridge on each host, as fabric has it; one with a TUN is measured from host to
// host, which spares it bridge and veth.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../test/lab/exec.ts';
import type { LabHost } from '../../test/lab/host.ts';
import type { Lab } from '../../test/lab/lab.ts';
import type { Contender, Path, Place } from '../contender.ts';
import type { TrafficName } from '../traffic.ts';
import { lackOf } from './peer-program.ts';
import { CLIENT_IP, containerBehindBridge, SERVER_IP } from './segment.ts';

/** What is measured of a program by others. */
const PEER_METRICS: readonly TrafficName[] = ['tcpGbps', 'udpGbps', 'rttMs', 'cpuUsPer64KiB', 'cpuSecondsPerGbit'];
const FIRST_ANSWER_MAX_MS = 30_000;

/** One of the two hosts. */
export interface PeerHost {
  readonly host: LabHost;
  readonly role: 'a' | 'b';
  /** The other host's address on the underlay. */
  readonly remoteIp: string;
  /** The address in the overlay. */
  readonly ip: string;
  readonly remoteOverlayIp: string;
  /** For configuration and keys; seen by both hosts under this path, which is the same for both. */
  readonly directory: string;
}

export interface PeerSetup {
  readonly name: string;
  readonly title: string;
  readonly programs: readonly string[];
  /** As /proc/PID/stat has them; by default the base names of `programs`. */
  readonly processes?: readonly string[];
  /** The interface it makes. */
  readonly link: string;
  /** Bytes; null leaves what the program chose. */
  readonly mtu: number | null;
  /** Before either is started: keys that both sides need. */
  prepare?(ends: readonly PeerHost[]): Promise<void>;
  start(lab: Lab, end: PeerHost): Promise<void>;
}

export function peer(setup: PeerSetup): Contender {
  const { name, title, programs } = setup;
  return {
    name,
    title,
    isPeer: true,
    metrics: PEER_METRICS,
    lack: () => lackOf(...programs),
    open: (lab) => openPair(lab, setup),
  };
}

async function openPair(lab: Lab, setup: PeerSetup): Promise<Path> {
  const short = setup.name.slice(0, 6);
  const server = await lab.host(`${short}-a`);
  const client = await lab.host(`${short}-b`);
  const directory = join(lab.directory, `${setup.name}-shared`);
  mkdirSync(directory, { recursive: true });
  const ends: readonly PeerHost[] = [
    { host: server, role: 'a', remoteIp: client.ip, ip: SERVER_IP, remoteOverlayIp: CLIENT_IP, directory },
    { host: client, role: 'b', remoteIp: server.ip, ip: CLIENT_IP, remoteOverlayIp: SERVER_IP, directory },
  ];
  await setup.prepare?.(ends);
  for (const end of ends) await setup.start(lab, end);
  const [serverPlace, clientPlace] = await Promise.all(ends.map((end) => placeOf(setup, end)));
  await eventually(
    `${setup.name} carries a ping`,
    async () => (await clientPlace!.run(['ping', '-c', '1', '-W', '1', SERVER_IP], { mayFail: true })).status === 0,
    { timeoutMs: FIRST_ANSWER_MAX_MS },
  );
  return {
    client: clientPlace!,
    server: serverPlace!,
    serverIp: SERVER_IP,
    hosts: [server, client],
    daemons: [],
    carriers: setup.processes ?? setup.programs,
  };
}

/** Where traffic starts or ends: behind the program's TAP or at its TUN. */
async function placeOf({ link, mtu }: PeerSetup, { host, ip }: PeerHost): Promise<Place> {
  const [facts] = JSON.parse((await host.run(['ip', '-j', 'link', 'show', link])).stdout) as readonly LinkFacts[];
  const bytes = mtu ?? facts!.mtu;
  if (facts!.link_type === 'ether') return containerBehindBridge(host, { port: link, ip, mtu: bytes });
  await host.run(['ip', 'address', 'replace', `${ip}/24`, 'dev', link]);
  await host.run(['ip', 'link', 'set', link, 'mtu', String(bytes), 'up']);
  return host;
}

/** From `ip -j link`. */
interface LinkFacts {
  readonly mtu: number;
  /** `ether` for a TAP, `none` for a TUN. */
  readonly link_type: string;
}
