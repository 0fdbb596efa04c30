// A process with one datapath in a namespace of datapath-pair.ts: keys and tables are preset, commands come by stdin.
// Arguments: side or `relay`, underlay, and the datapath as JSON.

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI, type Mac, macFromBytes, type PeerId } from '../../src/base/ids.ts';
import { boottimeMs, peerCredentials } from '../../src/host/native.ts';
import type { Datapath, DatapathOptions, LastingSession, TableChange } from '../../src/router/datapath.ts';
import { EngineDatapath } from '../../src/router/engine/engine-datapath.ts';
import { enginePlace } from '../../src/router/engine/left-engine.ts';
import { PcapDatapath } from '../../src/router/pcap/pcap-datapath.ts';
import { RELAY_OVERHEAD_BYTES } from '../../src/router/relay-message.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { CHECKOUT } from './checkout.ts';
import {
  CONTAINER,
  type DatapathChoice,
  type EngineBuild,
  GATEWAY_MAC,
  HOST,
  type HostCommand,
  indexOf,
  legKey,
  OTHER,
  OVERLAY_MTU,
  type Place,
  PORT_NAME,
  RELAY,
  SIDES,
  type Side,
  sessionKey,
  TUNNEL_PORT,
  type Underlay,
} from './datapath-facts.ts';

const PATH_MTU = 1500;

const OPTIONS: Omit<DatapathOptions, 'self'> = {
  portName: PORT_NAME,
  network: DEFAULT_VNI,
  listen: { ip: '::', port: TUNNEL_PORT },
  mtu: OVERLAY_MTU,
  pathMtu: PATH_MTU,
  gatewayMac: GATEWAY_MAC,
  gatewayIps: ['10.32.0.1', 'fd00::1'],
};

const ENGINE: Readonly<Record<EngineBuild, string>> = {
  release: 'native/build/Release/fabric-engine',
  tsan: 'native/build/sanitized/fabric-engine-tsan',
  asan: 'native/build/sanitized/fabric-engine-asan',
};

/** Local indexes, in the order of the events. */
const confirmed: number[] = [];

/** Of the type and about the size of message 1. */
const NO_HANDSHAKE = Uint8Array.of(0x11, ...new Uint8Array(399));
const NO_HANDSHAKE_SHORT = Uint8Array.of(0x11);

function makeDatapath(self: PeerId, choice: DatapathChoice): Datapath {
  const { name, without = [], build = 'release', runDir, sessionLifeMs, threads } = choice;
  const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
  const log = new RecordingLog();
  const options = { ...OPTIONS, self };
  if (name === 'pcap') return new PcapDatapath(options, { clock, log });
  const place = runDir === undefined ? {} : { place: enginePlace(runDir, peerCredentials) };
  const life = sessionLifeMs === undefined ? {} : { sessionLifeMs };
  const crew = threads === undefined ? {} : { threads };
  const executable = join(CHECKOUT, ENGINE[build]);
  return new EngineDatapath(options, { log, executable, without, ...place, ...life, ...crew });
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
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

/** What one end of a leg needs to speak to the other. */
function addLeg(datapath: Datapath, side: Side, end: 'side' | 'relay'): void {
  const { index, ...addresses } = RELAY.legs[side];
  const far = end === 'side' ? 'relay' : 'side';
  const peer = end === 'side' ? RELAY.peer : HOST[side].peer;
  datapath.addSession({
    peer,
    localIndex: index,
    remoteIndex: index,
    cipher: 'aes-256-gcm',
    sendKey: legKey(side, end),
    receiveKey: legKey(side, far),
    facts: { initiator: end === 'side', createdMs: boottimeMs(), pathMtu: PATH_MTU, capabilities: 0 },
  });
  datapath.setPath(peer, { ip: addresses[far], port: TUNNEL_PORT });
  datapath.useSession(index);
}

async function started(self: PeerId, choice: DatapathChoice): Promise<Datapath> {
  const datapath = makeDatapath(self, choice);
  await datapath.start({
    handshake: () => {},
    sessionWanted: () => {},
    relayWanted: () => {},
    sessionConfirmed: (localIndex) => void confirmed.push(localIndex),
    roamed: () => {},
    probeAnswered: () => {},
    sessionExhausted: () => {},
    learned: () => {},
    failed: (reason) => say({ failed: reason }),
  });
  return datapath;
}

/** Once all that it was told so far has taken effect: it may be killed at any time from now on. */
async function greet(datapath: Datapath, adopted: readonly LastingSession[]): Promise<void> {
  await datapath.settle();
  say({ ready: true, enginePid: datapath.pid ?? null, adopted });
}

/** Until it is told to stop. */
async function obey(datapath: Datapath, act: (command: HostCommand) => void): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as HostCommand;
    act(command);
    if (command.stop === true) break;
    await datapath.settle();
    if (command.confirmed === true) say({ confirmed });
    else say(command.stats === true ? datapath.stats() : { done: true });
  }
  await datapath.stop();
  process.stdin.destroy();
  say({ done: true });
}

async function serveRelay(choice: DatapathChoice): Promise<void> {
  const datapath = await started(RELAY.peer, choice);
  const adopted = datapath.lasting?.adoptable() ?? [];
  if (adopted.length === 0) for (const side of SIDES) addLeg(datapath, side, 'relay');
  await greet(datapath, adopted);
  await obey(datapath, () => undefined);
}

async function serve(side: Side, underlay: Underlay, choice: DatapathChoice): Promise<void> {
  const peer = HOST[OTHER[side]];
  const datapath = await started(HOST[side].peer, choice);
  const endpoint = { ip: peer[underlay], port: TUNNEL_PORT };
  let hasLeg = false;
  const addKeys = (generation: number): void => {
    datapath.addSession({
      peer: peer.peer,
      localIndex: indexOf(side, generation),
      remoteIndex: indexOf(OTHER[side], generation),
      cipher: generation % 2 === 0 ? 'aes-256-gcm' : 'chacha20-poly1305',
      sendKey: sessionKey(side, generation),
      receiveKey: sessionKey(OTHER[side], generation),
      facts: { initiator: side === 'a', createdMs: boottimeMs(), pathMtu: PATH_MTU, capabilities: 0 },
    });
  };
  const adopted = datapath.lasting?.adoptable() ?? [];
  if (adopted.length === 0) {
    addKeys(0);
    datapath.setPath(peer.peer, endpoint);
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
  const setRelayed = (relayed: boolean): void => {
    if (!hasLeg) addLeg(datapath, side, 'side');
    hasLeg = true;
    datapath.setPath(peer.peer, relayed ? { relay: RELAY.peer, peer: peer.peer } : endpoint);
    datapath.setPathMtu(peer.peer, relayed ? PATH_MTU - RELAY_OVERHEAD_BYTES : PATH_MTU);
  };
  await greet(datapath, adopted);
  await obey(datapath, (command) => {
    if (command.relayed !== undefined) setRelayed(command.relayed);
    if (command.pathMtu !== undefined) datapath.setPathMtu(peer.peer, command.pathMtu);
    const handshake = command.short === true ? NO_HANDSHAKE_SHORT : NO_HANDSHAKE;
    for (let sent = 0; sent < (command.handshakes ?? 0); sent++) datapath.sendRaw(handshake, endpoint);
    if (command.addKeys !== undefined) addKeys(command.addKeys);
    if (command.useKeys !== undefined) datapath.useSession(indexOf(side, command.useKeys));
    if (command.removeKeys !== undefined) datapath.removeSession(indexOf(side, command.removeKeys));
    if (command.churn !== undefined) churn(datapath, peer.peer, command.churn);
  });
}

const [place, underlay, argument] = process.argv.slice(2) as [Place, Underlay, string];
const choice = JSON.parse(argument) as DatapathChoice;
if (place === 'relay') await serveRelay(choice);
else await serve(place, underlay, choice);
