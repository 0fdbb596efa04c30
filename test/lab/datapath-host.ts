// A process with one datapath in a namespace of datapath-pair.ts: keys and tables are preset, commands come by stdin.
// Arguments: side, underlay, and the datapath as JSON.

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI } from '../../src/base/ids.ts';
import type { Datapath, DatapathOptions } from '../../src/router/datapath.ts';
import { EngineDatapath } from '../../src/router/engine/engine-datapath.ts';
import { PcapDatapath } from '../../src/router/pcap/pcap-datapath.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { CHECKOUT } from './checkout.ts';
import {
  CONTAINER,
  type DatapathChoice,
  GATEWAY_MAC,
  HOST,
  type HostCommand,
  OTHER,
  OVERLAY_MTU,
  PORT_NAME,
  type Side,
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

function makeDatapath({ name, without = [] }: DatapathChoice): Datapath {
  const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
  const log = new RecordingLog();
  if (name === 'pcap') return new PcapDatapath(OPTIONS, { clock, log });
  const executable = join(CHECKOUT, 'native/build/Release/fabric-engine');
  return new EngineDatapath(OPTIONS, { log, executable, without });
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function serve(side: Side, underlay: Underlay, datapath: Datapath): Promise<void> {
  const peer = HOST[OTHER[side]];
  await datapath.start({
    handshake: () => {},
    sessionWanted: () => {},
    sessionConfirmed: () => {},
    roamed: () => {},
    sessionExhausted: () => {},
    learned: () => {},
    failed: (reason) => say({ failed: reason }),
  });
  const key = (from: Side): Uint8Array => new Uint8Array(32).fill(from === 'a' ? 1 : 2);
  datapath.addSession({
    peer: peer.peer,
    localIndex: HOST[side].index,
    remoteIndex: peer.index,
    cipher: 'aes-256-gcm',
    sendKey: key(side),
    receiveKey: key(OTHER[side]),
  });
  datapath.setEndpoint(peer.peer, { ip: peer[underlay], port: TUNNEL_PORT });
  const remote = CONTAINER[OTHER[side]];
  datapath.applyTables([
    { kind: 'mac', network: DEFAULT_VNI, mac: CONTAINER[side].mac, to: 'local' },
    { kind: 'mac', network: DEFAULT_VNI, mac: remote.mac, to: peer.peer },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip4, mac: remote.mac },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip6, mac: remote.mac },
    { kind: 'flood', network: DEFAULT_VNI, peers: [peer.peer] },
  ]);
  datapath.useSession(HOST[side].index);
  say({ ready: true, enginePid: datapath instanceof EngineDatapath ? datapath.pid : null });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as HostCommand;
    if (command.pathMtu !== undefined) datapath.setPathMtu(peer.peer, command.pathMtu);
    if (command.stop === true) break;
    if (datapath instanceof EngineDatapath) await datapath.settle();
    say(command.stats === true ? datapath.stats() : { done: true });
  }
  await datapath.stop();
  process.stdin.destroy();
  say({ done: true });
}

const [side, underlay, choice] = process.argv.slice(2) as [Side, Underlay, string];
await serve(side, underlay, makeDatapath(JSON.parse(choice) as DatapathChoice));
