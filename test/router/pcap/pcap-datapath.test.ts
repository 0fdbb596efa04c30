// The pcap datapath without root: its port is replaced by one in memory, the UDP is real. Runs the contract, and what only this
// implementation promises.

import { afterEach, describe, expect, it } from 'vitest';
import { FabricError } from '../../../src/base/errors.ts';
import { type PcapCapabilities, PcapDatapath } from '../../../src/router/pcap/pcap-datapath.ts';
import { SEND_COUNTER_MAX, Session } from '../../../src/router/session.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import {
  addSession,
  applyBasics,
  CONTRACT_OPTIONS,
  connect,
  dropsOf,
  eventsOf,
  LOCAL_MAC,
  Outsider,
  PEER,
  PEER_MAC,
  recordEvents,
  until,
} from '../contract-host.ts';
import { datapathContract } from '../datapath-contract.ts';
import { udp4 } from '../frames.ts';
import { MemoryPort, PcapBed } from './pcap-bed.ts';

const frame = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', 'x');
let bed = new PcapBed();
afterEach(async () => {
  await bed.close();
  bed = new PcapBed();
});

describe('the datapath contract', () => {
  for (const { name, run } of datapathContract) it(name, () => run(bed));
});

describe('the pcap datapath', () => {
  it('carries a frame between two of its kind, in pieces too', async () => {
    const [a, b] = [await bed.host(), await bed.host()];
    const keys = { cipher: 'aes-256-gcm', peer: PEER } as const;
    const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
    a.datapath.addSession({ ...keys, localIndex: 1, remoteIndex: 2, sendKey: key(1), receiveKey: key(2) });
    b.datapath.addSession({ ...keys, localIndex: 2, remoteIndex: 1, sendKey: key(2), receiveKey: key(1) });
    a.datapath.setPath(PEER, b.endpoint);
    a.datapath.setPathMtu(PEER, 700);
    a.datapath.useSession(1);
    applyBasics(a);
    const sent = [frame, udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', new Uint8Array(1372))];
    for (const one of sent) await a.enter(one);
    await until('both arrive', () => b.left.length === 2);
    expect(b.left.map((one) => Buffer.from(one))).toEqual(sent.map((one) => Buffer.from(one)));
    expect(eventsOf(b, 'roamed')).toEqual([[PEER, a.endpoint]]);
  });

  it('TM5 stops sending before a key is used up, and asks for another', async () => {
    const makeSession: PcapCapabilities['makeSession'] = (keys, aead) =>
      new Session({ ...keys, aead, firstCounter: SEND_COUNTER_MAX - 2 });
    const host = await bed.host({ makeSession });
    const peer = await Outsider.open();
    const { localIndex, speaker } = connect(host, peer);
    for (let i = 0; i < 5; i++) await host.enter(frame);
    expect(eventsOf(host, 'sessionExhausted')).toEqual([[localIndex]]);
    expect(eventsOf(host, 'sessionWanted')).toEqual([[PEER]]);
    await until('two went out', () => peer.heard.length === 2);
    expect(speaker.hear(peer.heard[1]!).counter).toBe(BigInt(SEND_COUNTER_MAX - 1));
    const next = addSession(host, PEER);
    host.datapath.useSession(localIndex);
    host.datapath.useSession(next.localIndex);
    await until('the rest follows on the next session', () => peer.heard.length === 4);
    peer.close();
  });

  it('TM7 zeroes keys when a session ends', async () => {
    const host = await bed.host();
    const sendKey = new Uint8Array(32).fill(1);
    const receiveKey = new Uint8Array(32).fill(2);
    host.datapath.addSession({ peer: PEER, localIndex: 9, remoteIndex: 8, cipher: 'aes-256-gcm', sendKey, receiveKey });
    await host.datapath.stop();
    expect([...sendKey, ...receiveKey].every((byte) => byte === 0)).toBe(true);
  });

  it('says who has the port', async () => {
    const { endpoint } = await bed.host();
    const options = { ...CONTRACT_OPTIONS, listen: endpoint, portName: 'memory' };
    const second = new PcapDatapath(options, {
      clock: bed.clock,
      log: new RecordingLog(),
      makePort: () => new MemoryPort(),
    });
    await expect(second.start(recordEvents())).rejects.toMatchObject({ code: 'port-in-use' });
  });

  it('closes its socket when the port cannot be opened', async () => {
    const port = new MemoryPort();
    port.open = () => {
      throw new FabricError('kernel-feature-missing', { what: 'no such interface' });
    };
    const options = { ...CONTRACT_OPTIONS, listen: { ip: '127.0.0.1', port: 0 }, portName: 'memory' };
    const datapath = new PcapDatapath(options, { clock: bed.clock, log: new RecordingLog(), makePort: () => port });
    await expect(datapath.start(recordEvents())).rejects.toMatchObject({ code: 'kernel-feature-missing' });
    expect(datapath.udpPort).toBe(0);
  });

  it('stops itself when the port fails', async () => {
    const host = await bed.host();
    host.port.events?.failed('gone');
    await until('it says so', () => eventsOf(host, 'failed').length === 1);
    expect(host.datapath.udpPort).toBe(0);
  });

  it('counts what the port refused, cut off or lost', async () => {
    const host = await bed.host();
    const peer = await Outsider.open();
    const { speaker } = connect(host, peer);
    host.port.refuse = true;
    await peer.send(
      speaker.say(0, { kind: 1 }, udp4({ from: PEER_MAC, to: LOCAL_MAC }, '10.0.0.11', '10.0.0.10', 'x')),
      host,
    );
    await until('it is counted', async () => (await dropsOf(host, PEER))['inject-failed'] === 1);
    host.port.events?.frame(frame, frame.length + 1);
    host.port.overload = 2;
    expect(await dropsOf(host)).toMatchObject({ 'frame-truncated': 1, overload: 2 });
    peer.close();
  });

  it('bounds the flood of unknown unicast', async () => {
    const host = await bed.host();
    applyBasics(host);
    const lost = udp4({ from: LOCAL_MAC, to: '02:00:00:00:00:77' as typeof LOCAL_MAC }, '10.0.0.10', '10.0.0.77', 'x');
    for (let i = 0; i < 1100; i++) await host.enter(lost);
    expect((await dropsOf(host))['unknown-unicast-limit']).toBe(100);
  });
});
