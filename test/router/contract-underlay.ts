// The contract's cases about what comes from the underlay, or goes there, and is none of a session: addresses that the socket
// cannot reach, and handshake datagrams that no host of this version makes.

import assert from 'node:assert/strict';
import { HANDSHAKE_BYTES_MAX } from '../../src/router/handshake-message.ts';
import {
  type ContractCase,
  dropsOf,
  eventsOf,
  KIND,
  LOCAL_MAC,
  PEER,
  PEER_MAC,
  SELF,
  until,
  withPeer,
} from './contract-host.ts';
import { udp4 } from './frames.ts';

const outgoing = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', 'to where the peer is');
/** Of the type of an initiation, with nothing in it. */
const handshakeOf = (bytes: number): Uint8Array => Uint8Array.of(0x11, ...new Uint8Array(bytes - 1));

export const underlayCases: readonly ContractCase[] = [
  withPeer('an address of a family that the socket has not is a counted drop', async ({ host, peer, session }) => {
    // Its first four bytes are those of the loopback address that the outsider has.
    const endpoint = { ip: '7f00:1::', port: peer.endpoint.port };
    host.datapath.sendRaw(handshakeOf(200), endpoint);
    host.datapath.setPath(PEER, endpoint);
    await host.enter(outgoing);
    host.datapath.setPath(PEER, peer.endpoint);
    await host.enter(outgoing);
    await until('a datagram arrives', () => peer.heard.length > 0);
    assert.deepEqual(
      peer.heard.map((datagram) => datagram.readBigUInt64BE(8)),
      [1n],
      'the second frame, and nothing else',
    );
    assert.deepEqual(session.speaker.hear(peer.heard[0]!).body, Buffer.from(outgoing));
    assert.deepEqual([await dropsOf(host), await dropsOf(host, PEER)], [{ 'send-failed': 1 }, { 'send-failed': 1 }]);
  }),

  withPeer('a handshake datagram that is longer than any is dropped here', async ({ host, peer, session }) => {
    const relayed = (datagram: Uint8Array): Buffer =>
      Buffer.concat([Buffer.from(SELF, 'hex'), Buffer.from(PEER, 'hex'), datagram]);
    await peer.send(handshakeOf(HANDSHAKE_BYTES_MAX + 1), host);
    await peer.send(
      session.speaker.say(0, { kind: KIND.relay, hopLimit: 8 }, relayed(handshakeOf(HANDSHAKE_BYTES_MAX + 1))),
      host,
    );
    await peer.send(handshakeOf(HANDSHAKE_BYTES_MAX), host);
    await until('the longest is reported', () => eventsOf(host, 'handshake').length > 0);
    const reported = eventsOf(host, 'handshake').map(([datagram, from]) => [(datagram as Uint8Array).length, from]);
    assert.deepEqual(reported, [[HANDSHAKE_BYTES_MAX, peer.endpoint]]);
    assert.deepEqual(await dropsOf(host), { 'datagram-malformed': 2 });
  }),
];
