// The contract's cases about relays: what is sent by one, what one brings, and what this host passes on between others. The outsider
// PEER is the relay, or whose datagrams this host relays; OTHER is the far end.

import assert from 'node:assert/strict';
import { DEFAULT_VNI, type PeerId } from '../../src/base/ids.ts';
import {
  addSession,
  type ContractBed,
  type ContractCase,
  type ContractHost,
  connect,
  dropsOf,
  eventsOf,
  KIND,
  LOCAL_MAC,
  MTU,
  OTHER,
  OTHER_MAC,
  Outsider,
  type OutsiderSession,
  PEER,
  PEER_MAC,
  SELF,
  until,
} from './contract-host.ts';
import { ethernet, udp4 } from './frames.ts';

const STRANGER = '3'.repeat(32) as PeerId;
const BY_RELAY = { relay: PEER, peer: OTHER };
/** Outer header 16, inner header 8, two ids, tag 16. */
const RELAY_BYTES = 72;
const HANDSHAKE = Uint8Array.of(0x11, 0, 0, 0, 1, 2, 3, 4);
const outgoing = udp4({ from: LOCAL_MAC, to: OTHER_MAC }, '10.0.0.10', '10.0.0.12', 'out');
const incoming = udp4({ from: OTHER_MAC, to: LOCAL_MAC }, '10.0.0.12', '10.0.0.10', 'in');
const large = ethernet({ from: LOCAL_MAC, to: OTHER_MAC }, 0x0800, new Uint8Array(MTU));

function relayed(destination: PeerId, source: PeerId, datagram: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(destination, 'hex'), Buffer.from(source, 'hex'), datagram]);
}

interface Triangle {
  readonly bed: ContractBed;
  readonly host: ContractHost;
  /** PEER: has a direct session with the host. */
  readonly peer: Outsider;
  readonly near: OutsiderSession;
  /** The host's session with OTHER, in use; its path is not set yet. */
  readonly far: OutsiderSession;
  /** Counts up: the next of PEER's datagrams. */
  say(body: Uint8Array, hopLimit?: number): Promise<void>;
  /** A frame of PEER: whatever was sent before it had its chance. */
  marker(): Promise<void>;
}

function triangle(name: string, run: (on: Triangle) => Promise<void>): ContractCase {
  return {
    name,
    async run(bed) {
      const host = await bed.host();
      const peer = await Outsider.open();
      const near = connect(host, peer);
      const far = addSession(host, OTHER);
      host.datapath.useSession(far.localIndex);
      host.datapath.applyTables([{ kind: 'mac', network: DEFAULT_VNI, mac: OTHER_MAC, to: OTHER }]);
      let counter = 0;
      const say = (body: Uint8Array, hopLimit = 8): Promise<void> =>
        peer.send(near.speaker.say(counter++, { kind: KIND.relay, hopLimit }, body), host);
      const marker = async (): Promise<void> => {
        const before = host.left.length;
        const frame = udp4({ from: PEER_MAC, to: LOCAL_MAC }, '10.0.0.11', '10.0.0.10', '');
        await peer.send(near.speaker.say(counter++, { kind: KIND.frame }, frame), host);
        await until('the marker arrives', () => host.left.length > before);
      };
      try {
        await run({ bed, host, peer, near, far, say, marker });
      } finally {
        peer.close();
      }
    },
  };
}

async function statsOf(host: ContractHost, peer: PeerId) {
  await host.settled();
  const counters = host.datapath.stats().peers.find((one) => one.peer === peer);
  assert.ok(counters !== undefined);
  return counters;
}

export const relayCases: readonly ContractCase[] = [
  triangle('a frame for a relayed peer leaves sealed twice', async ({ bed, host, peer, near, far }) => {
    bed.clock.advance(10);
    host.datapath.setPath(OTHER, BY_RELAY);
    await host.enter(outgoing);
    await until('it arrives at the relay', () => peer.heard.length === 1);
    const { inner, body } = near.speaker.hear(peer.heard[0]!);
    assert.deepEqual(inner, {
      kind: KIND.relay,
      hopLimit: 8,
      flags: 0,
      network: 0,
      index: 0,
      count: 1,
      headerLength: 0,
    });
    assert.deepEqual(body.subarray(0, 32), relayed(OTHER, SELF, new Uint8Array(0)));
    assert.deepEqual(far.speaker.hear(body.subarray(32)).body, Buffer.from(outgoing));
    assert.equal(peer.heard[0]!.length, outgoing.length + 40 + RELAY_BYTES);
    const [carrier, end] = [await statsOf(host, PEER), await statsOf(host, OTHER)];
    assert.deepEqual([end.txFrames, end.txBytes, end.lastDataSentMs], [1, outgoing.length, bed.clock.monotonicMs()]);
    assert.deepEqual([carrier.txFrames, carrier.lastDataSentMs], [0, bed.clock.monotonicMs()]);
    const { sentDatagrams, sentBytes, forwardedDatagrams } = host.datapath.stats().relayed;
    assert.deepEqual([sentDatagrams, sentBytes, forwardedDatagrams], [1, outgoing.length + 40, 0]);
  }),

  triangle('what a relay brings is taken as from its source, and moves no path', async (on) => {
    const { bed, host, peer, near, far, say } = on;
    const end = await Outsider.open();
    host.datapath.setPath(OTHER, BY_RELAY);
    bed.clock.advance(10);
    await say(relayed(SELF, OTHER, HANDSHAKE), 7);
    await say(relayed(SELF, OTHER, far.speaker.say(0, { kind: KIND.frame }, incoming)), 7);
    await until('the frame leaves', () => host.left.length === 1);
    assert.deepEqual(Buffer.from(host.left[0]!), Buffer.from(incoming));
    await until('its session is confirmed', () => eventsOf(host, 'sessionConfirmed').length === 2);
    assert.deepEqual(eventsOf(host, 'handshake'), [[HANDSHAKE, BY_RELAY]]);
    const [carrier, counters] = [await statsOf(host, PEER), await statsOf(host, OTHER)];
    assert.deepEqual([counters.rxFrames, counters.lastDataReceivedMs], [1, bed.clock.monotonicMs()]);
    assert.deepEqual([carrier.rxFrames, carrier.lastDataReceivedMs], [0, bed.clock.monotonicMs()]);
    const { receivedDatagrams, receivedBytes } = host.datapath.stats().relayed;
    assert.deepEqual([receivedDatagrams, receivedBytes], [2, HANDSHAKE.length + incoming.length + 40]);
    await end.send(far.speaker.say(1, { kind: KIND.frame }, incoming), host);
    await until('a direct one is delivered', () => host.left.length === 2);
    await host.enter(outgoing);
    await until('we go on by the relay', () => peer.heard.length === 1);
    assert.equal(near.speaker.hear(peer.heard[0]!).inner.kind, KIND.relay);
    host.datapath.setPath(OTHER, end.endpoint);
    await say(relayed(SELF, OTHER, far.speaker.say(2, { kind: KIND.frame }, incoming)), 7);
    await until('a relayed one is delivered', () => host.left.length === 3);
    await host.enter(outgoing);
    await until('we go on directly', () => end.heard.length === 1);
    assert.deepEqual(eventsOf(host, 'roamed'), []);
    end.close();
  }),

  triangle('handshake datagrams leave by a relay as they are', async ({ host, peer, near }) => {
    host.datapath.sendRaw(HANDSHAKE, BY_RELAY);
    await until('it arrives', () => peer.heard.length === 1);
    assert.deepEqual(near.speaker.hear(peer.heard[0]!).body, relayed(OTHER, SELF, HANDSHAKE));
    host.datapath.sendRaw(HANDSHAKE, { relay: STRANGER, peer: OTHER });
    await until('the relay is asked for', () => eventsOf(host, 'relayWanted').length === 1);
    assert.deepEqual([eventsOf(host, 'relayWanted'), await dropsOf(host)], [[[STRANGER]], { 'relay-unreachable': 1 }]);
  }),

  triangle('datagrams between others are passed on, their hop limit counted down', async ({ host, far, say }) => {
    const end = await Outsider.open();
    host.datapath.setPath(OTHER, end.endpoint);
    const bodies = [relayed(OTHER, PEER, HANDSHAKE), relayed(OTHER, STRANGER, Uint8Array.of(0x14, 9, 9))];
    await say(bodies[0]!, 8);
    await say(bodies[1]!, 1);
    await until('both arrive', () => end.heard.length === 2);
    const heard = end.heard.map((datagram) => far.speaker.hear(datagram));
    assert.deepEqual(
      heard.map(({ inner, body }) => [inner.kind, inner.hopLimit, body]),
      [
        [KIND.relay, 7, bodies[0]],
        [KIND.relay, 0, bodies[1]],
      ],
    );
    assert.equal(heard[0]!.inner.count, 1);
    await host.settled();
    const { forwardedDatagrams, forwardedBytes, sentDatagrams } = host.datapath.stats().relayed;
    assert.deepEqual([forwardedDatagrams, forwardedBytes, sentDatagrams], [2, HANDSHAKE.length + 3, 0]);
    assert.deepEqual([(await statsOf(host, OTHER)).txFrames, host.left.length], [0, 0]);
    end.close();
  }),

  triangle('what is for a peer behind a relay of ours goes to that relay', async ({ host, far, say }) => {
    const end = await Outsider.open();
    host.datapath.setPath(OTHER, end.endpoint);
    host.datapath.setPath(STRANGER, { relay: OTHER, peer: STRANGER });
    await say(relayed(STRANGER, PEER, HANDSHAKE));
    await until('it arrives', () => end.heard.length === 1);
    assert.deepEqual(far.speaker.hear(end.heard[0]!).body, relayed(STRANGER, PEER, HANDSHAKE));
    end.close();
  }),

  triangle('what cannot be relayed is dropped by reason', async ({ host, far, say, marker }) => {
    const frame = far.speaker.say(0, { kind: KIND.frame }, incoming);
    host.datapath.setPath(OTHER, BY_RELAY);
    await say(relayed(OTHER, PEER, new Uint8Array(0)));
    await say(relayed(OTHER, PEER, HANDSHAKE).subarray(0, 20));
    await say(relayed(OTHER, PEER, Uint8Array.of(0x15)));
    await say(relayed(OTHER, PEER, Uint8Array.of(0x21)));
    await say(relayed(OTHER, OTHER, HANDSHAKE), 9);
    await say(relayed(OTHER, SELF, HANDSHAKE), 7);
    await say(relayed(SELF, OTHER, HANDSHAKE), 8);
    await say(relayed(STRANGER, OTHER, HANDSHAKE), 0);
    await say(relayed(PEER, STRANGER, HANDSHAKE), 5);
    await say(relayed(OTHER, STRANGER, HANDSHAKE), 5);
    await say(relayed(SELF, STRANGER, frame), 7);
    await say(relayed(SELF, OTHER, far.speaker.say(1, { kind: KIND.relay }, relayed(SELF, OTHER, HANDSHAKE))), 7);
    await marker();
    assert.deepEqual(await dropsOf(host, PEER), {
      'inner-malformed': 5,
      'relay-source': 2,
      'hop-limit': 1,
      'relay-unreachable': 2,
    });
    assert.deepEqual(await dropsOf(host, OTHER), { 'relay-source': 1, 'relay-nested': 1 });
    assert.deepEqual([eventsOf(host, 'handshake'), eventsOf(host, 'relayWanted')], [[], []]);
  }),

  triangle('a session that relaying lacks is asked for, once a second', async ({ bed, host, say, marker }) => {
    host.datapath.removePeer(OTHER);
    host.datapath.setPath(OTHER, null);
    for (let i = 0; i < 3; i++) await say(relayed(OTHER, PEER, HANDSHAKE));
    await marker();
    assert.deepEqual(eventsOf(host, 'relayWanted'), [[OTHER]]);
    bed.clock.advance(1001);
    await say(relayed(OTHER, PEER, HANDSHAKE));
    await marker();
    assert.deepEqual(eventsOf(host, 'relayWanted'), [[OTHER], [OTHER]]);
    for (let i = 0; i < 20; i++) await say(relayed(i.toString(16).padStart(32, 'a') as PeerId, PEER, HANDSHAKE));
    await marker();
    assert.equal(eventsOf(host, 'relayWanted').length, 2 + 10, 'of peers that nobody named: ten a second');
    assert.deepEqual(await dropsOf(host, PEER), { 'relay-unreachable': 24 });
    assert.deepEqual(
      host.datapath
        .stats()
        .peers.map(({ peer }) => peer)
        .sort(),
      [PEER, OTHER],
    );
  }),

  triangle('a relayed peer whose relay is not reached directly gets nothing', async ({ host, marker }) => {
    host.datapath.setPath(OTHER, { relay: STRANGER, peer: OTHER });
    await host.enter(outgoing);
    await until('the relay is asked for', () => eventsOf(host, 'relayWanted').length === 1);
    host.datapath.setPath(OTHER, BY_RELAY);
    host.datapath.setPath(PEER, { relay: STRANGER, peer: PEER });
    await host.enter(outgoing);
    await until('it is asked for', () => eventsOf(host, 'relayWanted').length === 2);
    await marker();
    assert.deepEqual(eventsOf(host, 'relayWanted'), [[STRANGER], [PEER]]);
    assert.deepEqual(await dropsOf(host, OTHER), { 'relay-unreachable': 2 });
  }),

  triangle('what does not fit the relay is dropped, and goes in pieces that do', async (on) => {
    const { host, peer, near, far, say, marker } = on;
    host.datapath.setPath(OTHER, BY_RELAY);
    host.datapath.setPathMtu(PEER, 700);
    await host.enter(large);
    assert.deepEqual(await dropsOf(host, OTHER), { 'relay-too-large': 1 });
    host.datapath.setPathMtu(OTHER, 700 - RELAY_BYTES);
    await host.enter(large);
    await until('the pieces arrive', () => peer.heard.length === 3);
    for (const datagram of peer.heard) assert.ok(datagram.length + 28 <= 700);
    const pieces = peer.heard.map((datagram) => far.speaker.hear(near.speaker.hear(datagram).body.subarray(32)));
    assert.deepEqual(Buffer.concat(pieces.map(({ body }) => body)), Buffer.from(large));
    host.datapath.setPath(OTHER, peer.endpoint);
    host.datapath.setPathMtu(OTHER, 700);
    const inside = Buffer.alloc(700 - 28 - RELAY_BYTES + 1, 0x11);
    await say(relayed(OTHER, PEER, inside));
    await say(relayed(OTHER, PEER, inside.subarray(1)));
    await marker();
    await until('the smaller one arrives', () => peer.heard.length === 4);
    assert.deepEqual(await dropsOf(host, PEER), { 'relay-too-large': 1 });
  }),

  triangle('probes and keepalives travel end to end by the relay', async ({ bed, host, peer, near, far, say }) => {
    host.datapath.setPath(OTHER, BY_RELAY);
    host.datapath.sendProbe(OTHER, 1000);
    await until('it arrives', () => peer.heard.length === 1);
    assert.equal(peer.heard[0]!.length + 28, 1000 + RELAY_BYTES);
    const probe = far.speaker.hear(near.speaker.hear(peer.heard[0]!).body.subarray(32));
    assert.deepEqual([probe.inner.kind, probe.body.readUInt16BE(0)], [KIND.probe, 1000]);
    await say(relayed(SELF, OTHER, far.speaker.say(0, { kind: KIND.probeAnswer }, probe.body.subarray(0, 2))), 7);
    await say(relayed(SELF, OTHER, far.speaker.say(1, { kind: KIND.probe }, probe.body)), 7);
    await until('the answer is reported', () => eventsOf(host, 'probeAnswered').length === 1);
    assert.deepEqual(eventsOf(host, 'probeAnswered'), [[OTHER, 1000]]);
    await until('the question is answered', () => peer.heard.length === 2);
    const answer = far.speaker.hear(near.speaker.hear(peer.heard[1]!).body.subarray(32));
    assert.deepEqual([answer.inner.kind, answer.body.readUInt16BE(0)], [KIND.probeAnswer, 1000]);
    bed.clock.advance(10_000);
    host.datapath.sendKeepalive(OTHER);
    const [carrier, end] = [await statsOf(host, PEER), await statsOf(host, OTHER)];
    assert.deepEqual([carrier.lastDataSentMs, end.lastDataSentMs], [bed.clock.monotonicMs(), null]);
  }),
];
