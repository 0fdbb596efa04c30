// The part of the datapath contract about several networks: each has a port, tables and flood list of its own, and frames of
// one never reach another, also where MACs and addresses are the same.

import assert from 'node:assert/strict';
import type { Vni } from '../../src/base/ids.ts';
import type { TableChange } from '../../src/router/datapath.ts';
import {
  type ContractCase,
  type ContractPort,
  dropsOf,
  eventsOf,
  GATEWAY_MAC,
  KIND,
  LOCAL_MAC,
  OTHER_MAC,
  PEER,
  PEER_MAC,
  until,
  withPeer,
} from './contract-host.ts';
import { BROADCAST, udp4 } from './frames.ts';

const BLUE = 0x0a0b0c as Vni;
const outgoing = udp4({ from: LOCAL_MAC, to: PEER_MAC }, '10.0.0.10', '10.0.0.11', 'out by one of the networks');
const incoming = udp4({ from: PEER_MAC, to: LOCAL_MAC }, '10.0.0.11', '10.0.0.10', 'in by one of the networks');
const broadcast = udp4({ from: LOCAL_MAC, to: BROADCAST }, '10.0.0.10', '10.0.0.255', 'to all of one network');

function blue({ portName }: Pick<ContractPort, 'portName'>): TableChange {
  return { kind: 'network', network: BLUE, portName, gatewayMac: GATEWAY_MAC, gatewayIps: ['10.0.0.254'] };
}

/** The same MACs as in the main network. */
const BLUE_TABLES: readonly TableChange[] = [
  { kind: 'mac', network: BLUE, mac: LOCAL_MAC, to: 'local' },
  { kind: 'mac', network: BLUE, mac: PEER_MAC, to: PEER },
  { kind: 'flood', network: BLUE, peers: [PEER] },
];

export const networkCases: readonly ContractCase[] = [
  withPeer('frames of each network cross under its id, by its port and no other', async ({ host, peer, session }) => {
    const port = await host.openPort();
    host.datapath.applyTables([blue(port), ...BLUE_TABLES]);
    await port.enter(outgoing);
    await host.enter(outgoing);
    await port.enter(broadcast);
    await until('all are sent', () => peer.heard.length === 3);
    const heard = peer.heard.map((datagram) => session.speaker.hear(datagram));
    assert.deepEqual(
      heard.map(({ inner }) => inner.network),
      [BLUE, 0, BLUE],
    );
    assert.deepEqual(heard[2]!.body, Buffer.from(broadcast));
    await peer.send(session.speaker.say(0, { kind: KIND.frame, network: BLUE }, incoming), host);
    await until('it leaves by the port of its network', () => port.left.length === 1);
    assert.deepEqual(Buffer.from(port.left[0]!), Buffer.from(incoming));
    assert.equal(host.left.length, 0);
    await peer.send(session.speaker.say(1, { kind: KIND.frame }, incoming), host);
    await until('one of the main network by the main port', () => host.left.length === 1);
    assert.equal(port.left.length, 1);
  }),

  withPeer('what one network knows counts in no other', async ({ host, peer, session }) => {
    const port = await host.openPort();
    host.datapath.applyTables([
      blue(port),
      { kind: 'mac', network: BLUE, mac: LOCAL_MAC, to: 'local' },
      { kind: 'mac', network: BLUE, mac: OTHER_MAC, to: PEER },
    ]);
    await port.enter(outgoing);
    await port.enter(broadcast);
    assert.equal((await dropsOf(host))['no-members'], 2, 'nobody else is in that network');
    const stranger = udp4({ from: PEER_MAC, to: BROADCAST }, '10.0.0.11', '10.0.0.255', 'a MAC of the main network');
    host.datapath.applyTables([{ kind: 'flood', network: BLUE, peers: [PEER] }]);
    await port.enter(stranger);
    await until('it is a stranger there', () => eventsOf(host, 'learned').length === 1);
    assert.deepEqual(eventsOf(host, 'learned')[0]!.slice(0, 2), [BLUE, PEER_MAC]);
    await until('and goes to the members', () => peer.heard.length === 1);
    assert.equal(session.speaker.hear(peer.heard[0]!).inner.network, BLUE);
  }),

  withPeer('a frame of a network that this host has no part in is dropped', async ({ host, peer, session }) => {
    const port = await host.openPort();
    host.datapath.applyTables([...BLUE_TABLES]);
    await peer.send(session.speaker.say(0, { kind: KIND.frame, network: BLUE }, incoming), host);
    await until('it is counted', async () => (await dropsOf(host, PEER))['network-unknown'] === 1);
    host.datapath.applyTables([blue(port), ...BLUE_TABLES]);
    await peer.send(session.speaker.say(1, { kind: KIND.frame, network: BLUE }, incoming), host);
    await until('as a member it takes them', () => port.left.length === 1);
    host.datapath.applyTables([{ kind: 'network-gone', network: BLUE }]);
    await host.settled();
    await peer.send(session.speaker.say(2, { kind: KIND.frame, network: BLUE }, incoming), host);
    await until('and no more after it left', async () => (await dropsOf(host, PEER))['network-unknown'] === 2);
    assert.equal(host.left.length, 0);
  }),

  withPeer('a network that was left is joined again, by another port', async ({ host, peer, session }) => {
    for (const round of [0, 1, 2]) {
      const port = await host.openPort();
      host.datapath.applyTables([blue(port), ...BLUE_TABLES]);
      await peer.send(session.speaker.say(round, { kind: KIND.frame, network: BLUE }, incoming), host);
      await until('a frame arrives', () => port.left.length === 1);
      await port.enter(outgoing);
      await until('a frame leaves', () => peer.heard.length === round + 1);
      host.datapath.applyTables([{ kind: 'network-gone', network: BLUE }]);
      await host.datapath.settle();
      await port.delete();
    }
    assert.deepEqual(eventsOf(host, 'failed'), []);
    await host.enter(outgoing);
    await until('the main network goes on', () => peer.heard.length === 4);
  }),

  withPeer('a network that was left is joined again, by the same port', async ({ host, peer, session }) => {
    const port = await host.openPort();
    const gone: TableChange = { kind: 'network-gone', network: BLUE };
    host.datapath.applyTables([blue(port), ...BLUE_TABLES]);
    for (const [round, isSettled] of [false, true, true].entries()) {
      host.datapath.applyTables([gone]);
      if (isSettled) await host.settled();
      host.datapath.applyTables([blue(port), ...BLUE_TABLES]);
      await port.enter(outgoing);
      await until('a frame leaves', () => peer.heard.length === round + 1);
      assert.equal(session.speaker.hear(peer.heard[round]!).inner.network, BLUE);
      await peer.send(session.speaker.say(round, { kind: KIND.frame, network: BLUE }, incoming), host);
      await until('a frame arrives', () => port.left.length === round + 1);
    }
    assert.deepEqual(eventsOf(host, 'failed'), []);
  }),
];
