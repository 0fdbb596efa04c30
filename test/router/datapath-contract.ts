// The contract of every datapath (src/router/datapath.ts) as a list of cases that any test runner can run: against real UDP on
// loopback and a bridge port in the hands of the test bed. "Outsider" is a peer, or an attacker, written apart from the code
// under test. Where something must not happen, a later datagram on the same path shows that it had its chance.

import assert from 'node:assert/strict';
import { DEFAULT_VNI, type Mac, type Vni } from '../../src/base/ids.ts';
import { addressCases } from './contract-addresses.ts';
import {
  addSession,
  applyBasics,
  type ContractCase,
  connect,
  dropsOf,
  eventsOf,
  KIND,
  LOCAL_MAC,
  MTU,
  OTHER,
  OTHER_MAC,
  Outsider,
  PEER,
  PEER_MAC,
  until,
  withPeer,
} from './contract-host.ts';
import { networkCases } from './contract-networks.ts';
import { probeCases } from './contract-probes.ts';
import { relayCases } from './contract-relays.ts';
import { underlayCases } from './contract-underlay.ts';
import { BROADCAST, ethernet, referenceChecksum, udp4 } from './frames.ts';

const outgoing = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', 'fabric-marker-out');
const incoming = udp4({ from: PEER_MAC, to: LOCAL_MAC }, '10.0.0.11', '10.0.0.10', 'fabric-marker-in');
const broadcast = udp4({ from: LOCAL_MAC, to: BROADCAST }, '10.0.0.10', '10.0.0.255', 'to all');

/** A small frame that is told from others by its number. */
function numbered(number: number, from: Mac = PEER_MAC): Uint8Array {
  return ethernet(
    { from, to: from === PEER_MAC ? LOCAL_MAC : PEER_MAC },
    0x88b5,
    Uint8Array.of(number, ...new Array<number>(50).fill(7)),
  );
}

/** As virtio-net passes a UDP frame on whose checksum is left to the kernel: the field holds the pseudo header's sum. */
function withPseudoHeaderSum(frame: Uint8Array): Uint8Array {
  const [ip, udp] = [14, 14 + 20];
  const pseudo = Uint8Array.of(...frame.subarray(ip + 12, ip + 20), 0, 17, ...frame.subarray(udp + 4, udp + 6));
  const result = frame.slice();
  new DataView(result.buffer).setUint16(udp + 6, ~referenceChecksum(pseudo) & 0xffff);
  return result;
}

const numbersOf = (frames: readonly Uint8Array[]): (number | undefined)[] => frames.map((frame) => frame[14]);

const sessionCases: readonly ContractCase[] = [
  withPeer('a frame crosses encrypted, whole, and counted', async ({ host, peer, session }) => {
    await host.enter(outgoing);
    await until('the datagram arrives', () => peer.heard.length === 1);
    assert.equal(peer.heard[0]!.includes('fabric-marker'), false);
    const { counter, inner, body } = session.speaker.hear(peer.heard[0]!);
    assert.deepEqual(body, Buffer.from(outgoing));
    assert.equal(counter, 0n);
    assert.deepEqual(
      { kind: inner.kind, network: inner.network, flags: inner.flags },
      { kind: KIND.frame, network: 0, flags: 0 },
    );
    assert.equal(peer.heard[0]!.length, outgoing.length + 40);
    await peer.send(session.speaker.say(0, { kind: KIND.frame }, incoming), host);
    await until('the frame leaves', () => host.left.length === 1);
    assert.deepEqual(Buffer.from(host.left[0]!), Buffer.from(incoming));
    await host.settled();
    const stats = host.datapath.stats();
    const { txFrames, txBytes, rxFrames, rxBytes } = stats.peers.find((counters) => counters.peer === PEER)!;
    assert.deepEqual([txFrames, txBytes, rxFrames, rxBytes], [1, outgoing.length, 1, incoming.length]);
    assert.deepEqual([stats.framesIn, stats.framesOut], [1, 1]);
  }),

  {
    name: 'both ciphers are spoken',
    async run(bed) {
      for (const cipher of ['aes-256-gcm', 'chacha20-poly1305'] as const) {
        const host = await bed.host();
        const peer = await Outsider.open();
        const { speaker } = connect(host, peer, cipher);
        await host.enter(outgoing);
        await peer.send(speaker.say(0, { kind: KIND.frame }, incoming), host);
        await until('both arrive', () => peer.heard.length === 1 && host.left.length === 1);
        assert.deepEqual(speaker.hear(peer.heard[0]!).body, Buffer.from(outgoing));
        peer.close();
      }
    },
  },

  withPeer('counters never repeat, across kinds and pieces', async ({ host, peer, session }) => {
    host.datapath.setPathMtu(PEER, 600);
    for (let i = 0; i < 20; i++) {
      await host.enter(
        i % 2 === 0 ? outgoing : ethernet({ from: LOCAL_MAC, to: PEER_MAC }, 0x0800, new Uint8Array(MTU)),
      );
      host.datapath.sendKeepalive(PEER);
    }
    await until('all arrive', () => peer.heard.length === 10 + 10 * 3 + 20);
    const counters = peer.heard.map((datagram) => session.speaker.hear(datagram).counter);
    assert.deepEqual(
      counters,
      counters.map((_, i) => BigInt(i)),
    );
  }),

  {
    name: 'frames wait for a session, few of them, and it is asked for once a second',
    async run(bed) {
      const host = await bed.host();
      const peer = await Outsider.open();
      applyBasics(host);
      host.datapath.setPath(PEER, peer.endpoint);
      for (let i = 0; i < 70; i++) await host.enter(numbered(i, LOCAL_MAC));
      await until('a session is asked for', () => eventsOf(host, 'sessionWanted').length > 0);
      bed.clock.advance(999);
      await host.enter(numbered(70, LOCAL_MAC));
      bed.clock.advance(2);
      await host.enter(numbered(71, LOCAL_MAC));
      await until('it is asked for again', () => eventsOf(host, 'sessionWanted').length > 1);
      assert.deepEqual(eventsOf(host, 'sessionWanted'), [[PEER], [PEER]]);
      const { localIndex, speaker } = addSession(host, PEER);
      host.datapath.useSession(localIndex);
      await until('the waiting frames leave', () => peer.heard.length === 64);
      const bodies = peer.heard.map((datagram) => speaker.hear(datagram).body);
      assert.deepEqual(
        numbersOf(bodies),
        Array.from({ length: 64 }, (_, i) => i + 8),
      );
      assert.equal((await dropsOf(host, PEER))['waiting-overflow'], 8);
      peer.close();
    },
  },

  withPeer(
    'a replayed datagram is delivered once; reordered ones all are; old ones are not',
    async ({ host, peer, session }) => {
      const say = (counter: number): Buffer =>
        session.speaker.say(counter, { kind: KIND.frame }, numbered(counter % 251));
      for (const counter of [3, 1, 1, 2, 3, 0]) await peer.send(say(counter), host);
      await peer.send(say(9000), host);
      await peer.send(say(9000 - 8192), host);
      await peer.send(say(9000 - 8191), host);
      await until('the last arrives', () => host.left.length === 6);
      assert.deepEqual(numbersOf(host.left), [3, 1, 2, 0, 9000 % 251, 809 % 251]);
      assert.deepEqual(await dropsOf(host, PEER), { replayed: 2, 'too-old': 1 });
    },
  ),

  withPeer('a forgery moves neither window nor endpoint', async ({ host, peer, session }) => {
    const attacker = await Outsider.open();
    const forged = session.speaker.say(5000, { kind: KIND.frame }, incoming);
    forged[40]! ^= 1;
    await attacker.send(forged, host);
    const header = session.speaker.say(0, { kind: KIND.frame }, incoming);
    header[15]! = 77; // another counter than the one that was sealed
    await attacker.send(header, host);
    await peer.send(session.speaker.say(0, { kind: KIND.frame }, numbered(1)), host);
    await peer.send(session.speaker.say(5000, { kind: KIND.frame }, numbered(2)), host);
    await until('the true ones arrive', () => host.left.length === 2);
    await host.enter(outgoing);
    await until('we still send to the peer', () => peer.heard.length === 1);
    assert.equal(attacker.heard.length, 0);
    assert.deepEqual(eventsOf(host, 'roamed'), []);
    assert.deepEqual(await dropsOf(host, PEER), { 'authentication-failed': 2 });
    attacker.close();
  }),

  withPeer('the endpoint follows the highest counter, and only that', async ({ host, peer, session }) => {
    const moved = await Outsider.open();
    await peer.send(session.speaker.say(5, { kind: KIND.keepalive }, new Uint8Array(0)), host);
    await until('it arrives', () => eventsOf(host, 'sessionConfirmed').length === 1);
    await moved.send(session.speaker.say(4, { kind: KIND.frame }, numbered(1)), host);
    await until('the late one is delivered', () => host.left.length === 1);
    assert.deepEqual(eventsOf(host, 'roamed'), []);
    await moved.send(session.speaker.say(6, { kind: KIND.keepalive }, new Uint8Array(0)), host);
    await until('the peer moves', () => eventsOf(host, 'roamed').length === 1);
    assert.deepEqual(eventsOf(host, 'roamed'), [[PEER, moved.endpoint]]);
    await host.enter(outgoing);
    await until('we send there', () => moved.heard.length === 1);
    moved.close();
  }),

  withPeer('a session is confirmed by its first valid datagram, once', async ({ host, peer }) => {
    const next = addSession(host, PEER);
    await host.enter(outgoing);
    await until('the old one sends', () => peer.heard.length === 1);
    for (const counter of [0, 1])
      await peer.send(next.speaker.say(counter, { kind: KIND.frame }, numbered(counter)), host);
    await until('both are delivered', () => host.left.length === 2);
    assert.deepEqual(eventsOf(host, 'sessionConfirmed'), [[next.localIndex]]);
    host.datapath.useSession(next.localIndex);
    await host.enter(outgoing);
    await until('the new one sends', () => peer.heard.length === 2);
    assert.deepEqual(next.speaker.hear(peer.heard[1]!).body, Buffer.from(outgoing));
  }),

  withPeer('a removed session, and a removed peer, are gone', async ({ host, peer, session }) => {
    const next = addSession(host, PEER);
    host.datapath.useSession(next.localIndex);
    host.datapath.removeSession(session.localIndex);
    await peer.send(session.speaker.say(0, { kind: KIND.frame }, numbered(1)), host);
    await peer.send(next.speaker.say(0, { kind: KIND.frame }, numbered(2)), host);
    await until('the living one delivers', () => host.left.length === 1);
    assert.equal((await dropsOf(host))['session-unknown'], 1);
    host.datapath.removePeer(PEER);
    await peer.send(next.speaker.say(1, { kind: KIND.frame }, numbered(3)), host);
    await host.enter(outgoing);
    await host.enter(broadcast);
    await until('all are dropped', async () => {
      const drops = await dropsOf(host);
      return drops['session-unknown'] === 2 && drops['no-members'] === 2;
    });
    assert.equal(peer.heard.length, 0);
  }),

  withPeer('keepalives are empty, authentic, and no data', async ({ bed, host, peer, session }) => {
    bed.clock.advance(10);
    host.datapath.sendKeepalive(PEER);
    host.datapath.sendKeepalive(OTHER);
    await until('it arrives', () => peer.heard.length === 1);
    const { inner, body } = session.speaker.hear(peer.heard[0]!);
    assert.deepEqual([inner.kind, body.length], [KIND.keepalive, 0]);
    await peer.send(session.speaker.say(0, { kind: KIND.keepalive }, new Uint8Array(0)), host);
    await until('ours arrives', () => eventsOf(host, 'sessionConfirmed').length === 1);
    await host.settled();
    const counters = host.datapath.stats().peers[0]!;
    assert.deepEqual(
      [counters.lastDataSentMs, counters.lastDataReceivedMs, counters.lastReceivedMs],
      [null, null, bed.clock.monotonicMs()],
    );
  }),

  withPeer('without an endpoint frames are dropped and counted', async ({ host, peer }) => {
    host.datapath.setPath(PEER, null);
    await host.enter(outgoing);
    host.datapath.setPath(PEER, peer.endpoint);
    await host.enter(outgoing);
    await until('the second arrives', () => peer.heard.length === 1);
    assert.equal((await dropsOf(host, PEER))['no-endpoint'], 1);
  }),
];

const wireCases: readonly ContractCase[] = [
  withPeer('handshake datagrams go up as they are, and down as they are', async ({ host, peer }) => {
    const datagrams = [1, 2, 3].map((type) => Buffer.from([0x10 | type, 0, 0, 0, 1, 2, 3, type]));
    for (const datagram of datagrams) await peer.send(datagram, host);
    await until('all are handed on', () => eventsOf(host, 'handshake').length === 3);
    assert.deepEqual(
      eventsOf(host, 'handshake').map(([bytes, from]) => [Buffer.from(bytes as Uint8Array), from]),
      datagrams.map((datagram) => [datagram, peer.endpoint]),
    );
    host.datapath.sendRaw(datagrams[0]!, peer.endpoint);
    await until('ours arrives', () => peer.heard.length === 1);
    assert.deepEqual(peer.heard[0], datagrams[0]);
  }),

  withPeer('what is no datagram of ours is dropped by reason, and nothing answers', async ({ host, peer, session }) => {
    const valid = session.speaker.say(0, { kind: KIND.frame }, incoming);
    const edit = (at: number, value: number): Buffer => {
      const copy = Buffer.from(valid);
      copy[at] = value;
      return copy;
    };
    const bad = [
      Buffer.alloc(0),
      Buffer.from([0x14]),
      valid.subarray(0, 39),
      edit(0, 0x24),
      edit(0, 0x17),
      edit(1, 1),
      edit(4, 99),
    ];
    for (const datagram of bad) await peer.send(datagram, host);
    const random = Array.from({ length: 200 }, (_, i) =>
      Buffer.from(valid.map((byte, at) => (at > 15 && at % 7 === i % 7 ? byte ^ i : byte))),
    );
    for (const datagram of random) await peer.send(datagram, host);
    await peer.send(session.speaker.say(1, { kind: KIND.frame }, numbered(1)), host);
    await until('the good one arrives', () => numbersOf(host.left).includes(1));
    const drops = await dropsOf(host);
    assert.deepEqual(
      [drops['datagram-malformed'], drops['datagram-version'], drops['datagram-type'], drops['session-unknown']],
      [3, 2, 1, 1],
    );
    assert.equal(peer.heard.length, 0);
  }),

  withPeer('authentic but unusable datagrams are dropped by reason', async ({ host, peer, session }) => {
    let counter = 0;
    const { speaker } = session;
    await peer.send(speaker.say(counter++, { kind: KIND.frame, flags: 0x80 }, incoming), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame, index: 1, count: 1 }, incoming), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame, network: 5 as Vni }, incoming), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame, hopLimit: 0 }, incoming), host);
    await peer.send(speaker.say(counter++, { kind: KIND.probe }, Uint8Array.of(1)), host);
    await peer.send(speaker.say(counter++, { kind: KIND.probeAnswer }, new Uint8Array(0)), host);
    await peer.send(speaker.say(counter++, { kind: 15 }, incoming), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame }, new Uint8Array(13)), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame, flags: 1 }, numbered(9)), host);
    await peer.send(speaker.say(counter++, { kind: KIND.frame }, numbered(1)), host);
    await until('the good one arrives', () => host.left.length === 1);
    assert.deepEqual(await dropsOf(host, PEER), {
      'inner-malformed': 4,
      'network-unknown': 1,
      'hop-limit': 1,
      'kind-unsupported': 1,
      'frame-short': 1,
      'checksum-impossible': 1,
    });
  }),

  withPeer('segments arrive as frames, and partial checksums are completed', async ({ bed, host, peer, session }) => {
    const partial = incoming.slice();
    partial.set([0xde, 0xad], 14 + 20 + 6);
    const whole = bed.completesChecksums ? incoming : withPseudoHeaderSum(incoming);
    for (let index = 0; index < 3; index++) {
      await peer.send(
        session.speaker.say(index, { kind: KIND.segment, flags: 1, index, count: 3, headerLength: 42 }, partial),
        host,
      );
    }
    await until('all arrive', () => host.left.length === 3);
    for (const frame of host.left) assert.deepEqual(Buffer.from(frame), Buffer.from(whole));
    assert.equal(referenceChecksum(incoming.subarray(14, 34)), 0);
  }),

  withPeer(
    'a frame larger than the path leaves in pieces that fit, with consecutive counters',
    async ({ host, peer, session }) => {
      const frame = ethernet(
        { from: LOCAL_MAC, to: PEER_MAC },
        0x0800,
        Uint8Array.from({ length: MTU }, (_, i) => i),
      );
      host.datapath.setPathMtu(PEER, 700);
      await host.enter(frame);
      await until('the pieces arrive', () => peer.heard.length === 3);
      const pieces = peer.heard.map((datagram) => session.speaker.hear(datagram));
      for (const datagram of peer.heard) assert.ok(datagram.length + 28 <= 700);
      assert.deepEqual(
        pieces.map(({ inner }) => [inner.kind, inner.index, inner.count]),
        [0, 1, 2].map((i) => [KIND.fragment, i, 3]),
      );
      assert.deepEqual(
        pieces.map(({ counter, inner }) => Number(counter) - inner.index),
        [0, 0, 0],
      );
      assert.deepEqual(Buffer.concat(pieces.map(({ body }) => body)), Buffer.from(frame));
    },
  ),

  withPeer(
    'pieces are put together in any order; incomplete frames are given up',
    async ({ bed, host, peer, session }) => {
      const piece = (first: number, index: number, body: Uint8Array): Buffer =>
        session.speaker.say(first + index, { kind: KIND.fragment, index, count: 3 }, body);
      const third = Math.ceil(incoming.length / 3);
      const bodies = [0, 1, 2].map((i) => incoming.subarray(i * third, (i + 1) * third));
      for (const index of [2, 0, 1]) await peer.send(piece(10, index, bodies[index]!), host);
      await until('the frame arrives', () => host.left.length === 1);
      assert.deepEqual(Buffer.from(host.left[0]!), Buffer.from(incoming));
      await peer.send(piece(20, 0, bodies[0]!), host);
      await peer.send(session.speaker.say(30, { kind: KIND.frame }, numbered(1)), host);
      await until('a later one arrives', () => host.left.length === 2);
      bed.clock.advance(60_000);
      assert.equal((await dropsOf(host, PEER))['fragment-incomplete'], 1);
    },
  ),

  {
    name: 'broadcast reaches each peer of the flood list once, and nothing returns to the overlay',
    async run(bed) {
      const host = await bed.host();
      const peers = [await Outsider.open(), await Outsider.open()] as const;
      const sessions = [connect(host, peers[0]), addSession(host, OTHER)] as const;
      host.datapath.setPath(OTHER, peers[1].endpoint);
      host.datapath.useSession(sessions[1].localIndex);
      host.datapath.applyTables([
        { kind: 'mac', network: DEFAULT_VNI, mac: OTHER_MAC, to: OTHER },
        { kind: 'flood', network: DEFAULT_VNI, peers: [PEER, OTHER, PEER] },
      ]);
      await host.enter(broadcast);
      const fromPeer = udp4({ from: PEER_MAC, to: BROADCAST }, '10.0.0.11', '10.0.0.255', 'to all');
      await peers[0].send(sessions[0].speaker.say(0, { kind: KIND.frame }, fromPeer), host);
      await until('the broadcast of the peer leaves', () => host.left.length === 1);
      await host.enter(outgoing);
      await until('unicast goes to one', () => peers[0].heard.length === 2);
      await until('the other had the broadcast', () => peers[1].heard.length === 1);
      for (const [i, peer] of peers.entries()) {
        assert.deepEqual(sessions[i]!.speaker.hear(peer.heard[0]!).body, Buffer.from(broadcast));
        peer.close();
      }
    },
  },
];

export const datapathContract: readonly ContractCase[] = [
  ...sessionCases,
  ...wireCases,
  ...probeCases,
  ...underlayCases,
  ...relayCases,
  ...addressCases,
  ...networkCases,
];
