// A process with one datapath in a namespace of datapath-pair.ts: keys and tables are preset, commands come by stdin.
// Arguments: side, underlay, and the datapath as JSON.

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI, type Mac, macFromBytes, type PeerId } from '../../src/base/ids.ts';
import { boottimeMs, peerCredentials } from '../../src/host/native.ts';
import type { Datapath, DatapathOptions, TableChange } from '../../src/router/datapath.ts';
import { EngineDatapath } from '../../src/router/engine/engine-datapath.ts';
import { enginePlace } from '../../src/router/engine/left-engine.ts';
import { PcapDatapath } from '../../src/router/pcap/pcap-datapath.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { CHECKOUT } from './checkout.ts';
import {
  CONTAINER,
  type DatapathChoice,
  type EngineBuild,
  GATEWAY_MAC,
  HOST,
  type HostCommand,
  OTHER,
  OVERLAY_MTU,
  PORT_NAME,
  type Side,
  sessionKey,
  TUNNEL_PORT,
  type Underlay,
} from './datapath-facts.ts';

const OPTIONS: DatapathOptions = {
  portName: PORT_NAME,
  network: DEFAULT_VNI,
  listen: { ip: '::', port: TUNNEL_PORT },
  mtu: OVERLAY_MTU,
  pathMtu: 1500,
  gatewayMac: GATEWAY_MAC,
  gatewayIps: ['10.32.0.1', 'fd00::1'],
};

const ENGINE: Readonly<Record<EngineBuild, string>> = {
  release: 'native/build/Release/fabric-engine',
  tsan: 'native/build/sanitized/fabric-engine-tsan',
  asan: 'native/build/sanitized/fabric-engine-asan',
};

/** Of the type and about the size of message 1. */
const NO_HANDSHAKE = Uint8Array.of(0x11, ...new Uint8Array(399));

function makeDatapath(choice: DatapathChoice): Datapath {
  const { name, without = [], build = 'release', runDir, sessionLifeMs, threads } = choice;
  const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
  const log = new RecordingLog();
  if (name === 'pcap') return new PcapDatapath(OPTIONS, { clock, log });
  const place = runDir === undefined ? {} : { place: enginePlace(runDir, peerCredentials) };
  const life = sessionLifeMs === undefined ? {} : { sessionLifeMs };
  const crew = threads === undefined ? {} : { threads };
  const executable = join(CHECKOUT, ENGINE[build]);
  return new EngineDatapath(OPTIONS, { log, executable, without, ...place, ...life, ...crew });
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Receiver index of the keys of a generation. */
function indexOf(side: Side, generation: number): number {
  return HOST[side].index + 100 * generation;
}

function churn(datapath: Datapath, peer: PeerId, entries: number): void {
  const numbers = Array.from({ length: entries }, (_, number) => number);
  const macOf = (number: number): Mac => macFromBytes(Uint8Array.of(2, 0, 1, 0, number >> 8, number & 0xff));
  const ipOf = (number: number): string => `10.40.${number >> 8}.${number & 0xff}`;
  const network = DEFAULT_VNI;
  datapath.applyTables([
    ...numbers.flatMap((number): TableChange[] => [
      { kind: 'mac', network, mac: macOf(number), to: number % 2 === 0 ? peer : 'local' },
      { kind: 'neighbour', network, ip: ipOf(number), mac: macOf(number) },
    ]),
    { kind: 'flood', network, peers: [peer] },
    ...numbers.flatMap((number): TableChange[] => [
      { kind: 'neighbour-gone', network, ip: ipOf(number) },
      { kind: 'mac-gone', network, mac: macOf(number) },
    ]),
  ]);
}

async function serve(side: Side, underlay: Underlay, choice: DatapathChoice): Promise<void> {
  const datapath = makeDatapath(choice);
  const peer = HOST[OTHER[side]];
  await datapath.start({
    handshake: () => {},
    sessionWanted: () => {},
    sessionConfirmed: () => {},
    roamed: () => {},
    probeAnswered: () => {},
    sessionExhausted: () => {},
    learned: () => {},
    failed: (reason) => say({ failed: reason }),
  });
  const addKeys = (generation: number): void => {
    datapath.addSession({
      peer: peer.peer,
      localIndex: indexOf(side, generation),
      remoteIndex: indexOf(OTHER[side], generation),
      cipher: generation % 2 === 0 ? 'aes-256-gcm' : 'chacha20-poly1305',
      sendKey: sessionKey(side, generation),
      receiveKey: sessionKey(OTHER[side], generation),
      facts: { initiator: side === 'a', createdMs: boottimeMs(), pathMtu: 1500, capabilities: 0 },
    });
  };
  const adopted = datapath.lasting?.adoptable() ?? [];
  if (adopted.length === 0) {
    addKeys(0);
    datapath.setEndpoint(peer.peer, { ip: peer[underlay], port: TUNNEL_PORT });
  }
  const remote = CONTAINER[OTHER[side]];
  const tables: readonly TableChange[] = [
    { kind: 'mac', network: DEFAULT_VNI, mac: CONTAINER[side].mac, to: 'local' },
    { kind: 'mac', network: DEFAULT_VNI, mac: remote.mac, to: peer.peer },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip4, mac: remote.mac },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip6, mac: remote.mac },
    { kind: 'flood', network: DEFAULT_VNI, peers: [peer.peer] },
  ];
  if (datapath.lasting === undefined) datapath.applyTables(tables);
  else datapath.lasting.replaceTables(choice.emptyTables === true ? [] : tables);
  if (adopted.length === 0) datapath.useSession(indexOf(side, 0));
  say({ ready: true, enginePid: datapath instanceof EngineDatapath ? datapath.pid : null, adopted });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as HostCommand;
    if (command.pathMtu !== undefined) datapath.setPathMtu(peer.peer, command.pathMtu);
    for (let sent = 0; sent < (command.handshakes ?? 0); sent++) {
      datapath.sendRaw(NO_HANDSHAKE, { ip: peer[underlay], port: TUNNEL_PORT });
    }
    if (command.addKeys !== undefined) addKeys(command.addKeys);
    if (command.useKeys !== undefined) datapath.useSession(indexOf(side, command.useKeys));
    if (command.removeKeys !== undefined) datapath.removeSession(indexOf(side, command.removeKeys));
    if (command.churn !== undefined) churn(datapath, peer.peer, command.churn);
    if (command.stop === true) break;
    if (datapath instanceof EngineDatapath) await datapath.settle();
    say(command.stats === true ? datapath.stats() : { done: true });
  }
  await datapath.stop();
  process.stdin.destroy();
  say({ done: true });
}

const [side, underlay, choice] = process.argv.slice(2) as [Side, Underlay, string];
await serve(side, underlay, JSON.parse(choice) as DatapathChoice);
