// The part of the datapath contract that is about addresses: neighbour answers, gateway, spoofing, foreign devices, packets that
// are too large, and the end of a datapath's life.

import assert from 'node:assert/strict';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import {
  addSession,
  type ContractBed,
  type ContractCase,
  connect,
  dropsOf,
  eventsOf,
  GATEWAY_MAC,
  LOCAL_MAC,
  MTU,
  OTHER,
  Outsider,
  PEER,
  PEER_MAC,
  until,
} from './contract-host.ts';
import { arp, BROADCAST, discovery, ethernet, udp4 } from './frames.ts';

const KIND_FRAME = 1;
const MOVING_MAC = '02:00:00:00:00:0d' as Mac;
const STRANGER = '02:00:00:00:00:99' as Mac;

function question(senderIp: string, targetIp: string): Uint8Array {
  return arp({ from: LOCAL_MAC, to: BROADCAST }, { operation: 1, senderMac: LOCAL_MAC, senderIp, targetIp });
}

/** A frame that certainly crosses: shows that what was entered before it had its chance. */
const marker = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', 'marker');

async function crossing(bed: ContractBed, frames: readonly Uint8Array[]) {
  const host = await bed.host();
  const peer = await Outsider.open();
  const { speaker } = connect(host, peer);
  for (const frame of frames) await host.enter(frame);
  await host.enter(marker);
  const bodies = (): Buffer[] => peer.heard.map((datagram) => speaker.hear(datagram).body);
  await until('the marker arrives', () => bodies().some((body) => body.equals(marker)));
  peer.close();
  return { host, crossed: bodies().slice(0, -1) };
}

export const addressCases: readonly ContractCase[] = [
  {
    name: 'ARP and ND questions for remote addresses are answered on the spot',
    async run(bed) {
      const solicitation = discovery(
        { from: LOCAL_MAC, to: '33:33:ff:00:00:0b' as Mac },
        { type: 135, from: 'fd00::a', to: 'ff02::1:ff00:b', target: 'fd00::b', option: { type: 1, mac: LOCAL_MAC } },
      );
      const { host, crossed } = await crossing(bed, [question('10.0.0.10', '10.0.0.11'), solicitation]);
      assert.deepEqual(crossed, []);
      const reply = arp(
        { from: PEER_MAC, to: LOCAL_MAC },
        { operation: 2, senderMac: PEER_MAC, senderIp: '10.0.0.11', targetMac: LOCAL_MAC, targetIp: '10.0.0.10' },
      );
      assert.deepEqual(Buffer.from(host.left[0]!), Buffer.from(reply));
      assert.deepEqual([host.left.length, host.left[1]![14 + 40]], [2, 136]);
    },
  },
  {
    name: 'probes, announcements and unknown targets are carried, never answered',
    async run(bed) {
      const frames = [
        question('0.0.0.0', '10.0.0.11'),
        question('10.0.0.10', '10.0.0.10'),
        question('10.0.0.10', '10.0.0.77'),
        discovery(
          { from: LOCAL_MAC, to: '33:33:ff:00:00:0b' as Mac },
          { type: 135, from: '::', to: 'ff02::1:ff00:b', target: 'fd00::b' },
        ),
      ];
      const { host, crossed } = await crossing(bed, frames);
      assert.deepEqual(
        crossed,
        frames.map((frame) => Buffer.from(frame)),
      );
      assert.equal(host.left.length, 0);
    },
  },
  {
    name: 'TM21 TM22 gateway, link-local protocols, spoofs and routers never cross',
    async run(bed) {
      const data = new Uint8Array(46);
      const { host, crossed } = await crossing(bed, [
        ethernet({ from: GATEWAY_MAC, to: PEER_MAC }, 0x0800, data),
        ethernet({ from: LOCAL_MAC, to: GATEWAY_MAC }, 0x0800, data),
        question('10.0.0.10', '10.0.0.254'),
        ethernet({ from: LOCAL_MAC, to: '01:80:c2:00:00:00' as Mac }, 0x0800, data),
        ethernet({ from: PEER_MAC, to: BROADCAST }, 0x0800, data),
        arp(
          { from: LOCAL_MAC, to: BROADCAST },
          { operation: 2, senderMac: LOCAL_MAC, senderIp: '10.0.0.11', targetIp: '10.0.0.11' },
        ),
        discovery(
          { from: LOCAL_MAC, to: '33:33:00:00:00:01' as Mac },
          { type: 134, from: 'fe80::1', to: 'ff02::1', target: '::' },
        ),
        ...(bed.frameBytesMin > 13 ? [] : [new Uint8Array(13)]),
      ]);
      assert.deepEqual(crossed, []);
      assert.deepEqual(await dropsOf(host), {
        'gateway-mac': 2,
        'gateway-neighbour': 1,
        'reserved-group': 1,
        'source-elsewhere': 1,
        'neighbour-spoof': 1,
        'router-advertisement': 1,
        ...(bed.frameBytesMin > 13 ? {} : { 'frame-short': 1 }),
      });
    },
  },
  {
    name: 'a peer cannot speak for local or foreign MACs, nor send more than the MTU',
    async run(bed) {
      const host = await bed.host();
      const peer = await Outsider.open();
      const { speaker } = connect(host, peer);
      const frames = [
        ethernet({ from: LOCAL_MAC, to: LOCAL_MAC }, 0x0800, new Uint8Array(46)),
        ethernet({ from: GATEWAY_MAC, to: LOCAL_MAC }, 0x0800, new Uint8Array(46)),
        ethernet({ from: PEER_MAC, to: LOCAL_MAC }, 0x0800, new Uint8Array(MTU + 1)),
        ethernet({ from: PEER_MAC, to: LOCAL_MAC }, 0x0800, new Uint8Array(MTU)),
      ];
      for (const [counter, frame] of frames.entries()) {
        await peer.send(speaker.say(counter, { kind: KIND_FRAME }, frame), host);
      }
      await until('the last leaves', () => host.left.length === 1);
      assert.equal(host.left[0]!.length, 14 + MTU);
      assert.deepEqual(await dropsOf(host, PEER), { 'source-elsewhere': 1, 'gateway-mac': 1, 'frame-too-large': 1 });
      peer.close();
    },
  },
  {
    name: 'a packet above the overlay MTU is answered with ICMP',
    async run(bed) {
      const large = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', new Uint8Array(MTU));
      const { host, crossed } = await crossing(bed, [large]);
      assert.deepEqual(crossed, []);
      const [answer] = host.left;
      assert.deepEqual([answer![14 + 9], answer![34], answer![35], answer![40]! * 256 + answer![41]!], [1, 3, 4, MTU]);
      assert.deepEqual(await dropsOf(host), { 'frame-too-large': 1 });
    },
  },
  {
    name: 'foreign devices are reported, at most ten a second',
    async run(bed) {
      const claim = arp(
        { from: STRANGER, to: BROADCAST },
        { operation: 1, senderMac: STRANGER, senderIp: '10.0.0.50', targetIp: '10.0.0.50' },
      );
      const flood = Array.from({ length: 50 }, (_, i) =>
        ethernet({ from: `02:00:00:00:02:${(16 + i).toString(16)}` as Mac, to: PEER_MAC }, 0x0800, new Uint8Array(46)),
      );
      const { host, crossed } = await crossing(bed, [claim, claim, ...flood]);
      assert.equal(crossed.length, 52);
      const learned = eventsOf(host, 'learned');
      assert.deepEqual(learned[0], [DEFAULT_VNI, STRANGER, '10.0.0.50']);
      assert.equal(learned.length, 10);
    },
  },
  {
    name: 'a MAC that moves is believed from where the tables have it, at every moment',
    async run(bed) {
      const host = await bed.host();
      const [here, there] = [await Outsider.open(), await Outsider.open()];
      const sessions = [connect(host, here), addSession(host, OTHER)];
      const speakers = [here, there].map((outsider, i) => ({ outsider, speaker: sessions[i]!.speaker, counter: 0 }));
      const arrives = async (from: 0 | 1, text: string): Promise<boolean> => {
        const said = speakers[from]!;
        const left = host.left.length;
        const frame = udp4({ from: MOVING_MAC, to: LOCAL_MAC }, '10.0.0.12', '10.0.0.10', text);
        const dropped = async (): Promise<number> =>
          (await dropsOf(host, [PEER, OTHER][from]))['source-elsewhere'] ?? 0;
        const before = await dropped();
        await said.outsider.send(said.speaker.say(said.counter++, { kind: KIND_FRAME }, frame), host);
        await until(`${text} is dealt with`, async () => host.left.length > left || (await dropped()) > before);
        return host.left.length > left;
      };
      const place = (to: PeerId | null): void =>
        host.datapath.applyTables([
          to === null
            ? { kind: 'mac-gone', network: DEFAULT_VNI, mac: MOVING_MAC }
            : { kind: 'mac', network: DEFAULT_VNI, mac: MOVING_MAC, to },
        ]);
      assert.deepEqual([await arrives(0, 'first'), await arrives(1, 'second')], [true, true], 'in no table: both');
      place(PEER);
      assert.deepEqual([await arrives(0, 'third'), await arrives(1, 'fourth')], [true, false]);
      place(OTHER);
      assert.deepEqual([await arrives(0, 'in flight'), await arrives(1, 'at the new place')], [false, true]);
      place(null);
      assert.deepEqual([await arrives(0, 'fifth'), await arrives(1, 'sixth')], [true, true], 'released: both again');
      here.close();
      there.close();
    },
  },
  {
    name: 'a device that the tables have at a peer is reported when it speaks here, once, and not believed yet',
    async run(bed) {
      const frame = udp4({ from: PEER_MAC, to: BROADCAST }, '10.0.0.11', '10.0.0.255', 'I moved');
      const { host, crossed } = await crossing(bed, [frame, frame]);
      assert.deepEqual(crossed, []);
      assert.deepEqual(eventsOf(host, 'learned'), [[DEFAULT_VNI, PEER_MAC, null]]);
      assert.deepEqual(await dropsOf(host), { 'source-elsewhere': 2 });
    },
  },
  {
    name: 'an address that moves to another MAC is announced to the bridge',
    async run(bed) {
      const { host } = await crossing(bed, []);
      const mac = '02:00:00:00:00:0e' as Mac;
      host.datapath.applyTables([
        { kind: 'mac', network: DEFAULT_VNI, mac, to: PEER },
        { kind: 'neighbour', network: DEFAULT_VNI, ip: '10.0.0.11', mac },
      ]);
      await until('it is announced', () => host.left.length === 1);
      const want = arp(
        { from: mac, to: BROADCAST },
        { operation: 1, senderMac: mac, senderIp: '10.0.0.11', targetIp: '10.0.0.11' },
      );
      assert.deepEqual(Buffer.from(host.left[0]!), Buffer.from(want));
    },
  },
  {
    name: 'after stop there are no events, no datagrams, and stopping again is harmless',
    async run(bed) {
      const { host } = await crossing(bed, []);
      const outsider = await Outsider.open();
      const said = host.events.said.length;
      await host.datapath.stop();
      await outsider.send(Buffer.from([0x11, 0, 0, 0]), host);
      await host.enter(marker);
      host.datapath.sendKeepalive(PEER);
      host.datapath.sendRaw(Buffer.from([0x11]), outsider.endpoint);
      await host.datapath.stop();
      const again = await bed.host();
      await outsider.send(Buffer.from([0x11, 0, 0, 0]), again);
      await until('another datapath hears', () => eventsOf(again, 'handshake').length === 1);
      assert.equal(host.events.said.length, said);
      assert.equal(outsider.heard.length, 0);
      outsider.close();
    },
  },
];
