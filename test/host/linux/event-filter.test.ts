import { expect, it } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import { DEFAULT_VNI, type Mac } from '../../../src/base/ids.ts';
import type { OverlayNetworkConfig } from '../../../src/host/host-network.ts';
import { EventFilter } from '../../../src/host/linux/event-filter.ts';
import { KnownPorts } from '../../../src/host/linux/known-ports.ts';
import { networkInterfaces } from '../../../src/host/linux/names.ts';
import { type Link, type NetlinkEvent, ROUTE_PROTOCOL } from '../../../src/host/netlink/objects.ts';
import { linkNamed as link } from './links.ts';

const GATEWAY_MAC = '02:fa:b0:00:00:01' as Mac;
const CONTAINER_MAC = '02:00:00:00:00:05' as Mac;
const OTHER_MAC = '02:00:00:00:00:99' as Mac;
const ROUTE = { gateway: null, preferredSource: null, scope: 'link', table: 254, metric: 0, onlink: false } as const;
const BRIDGE = link(10, 'fabric0', { kind: 'bridge', mac: GATEWAY_MAC });
const ETH0 = link(2, 'eth0');

function linkEvent(what: Link, deleted = false): NetlinkEvent {
  return { kind: 'link', deleted, link: what };
}

function routeEvent(dst: string, protocol: number, deleted = true): NetlinkEvent {
  const route = {
    ...ROUTE,
    dst: parseCidr(dst)!,
    index: 10,
    mtu: null,
    protocol,
    type: 'unicast' as const,
    nextHops: [],
  };
  return { kind: 'route', deleted, route };
}

function fdbEvent(mac: Mac, deleted = true): NetlinkEvent {
  return { kind: 'fdb', deleted, entry: { index: 20, mac, master: 10, vlan: null, remote: null, state: 'static' } };
}

function portEvent(index: number, master = 10): NetlinkEvent {
  return { kind: 'bridge-port', deleted: true, index, master };
}

function addressEvent(index: number, deleted = true): NetlinkEvent {
  const flags = { noDad: false, noPrefixRoute: false, permanent: true, tentative: false, dadFailed: false };
  const rest = { deprecated: false, secondary: false, scope: 'global' as const };
  return { kind: 'address', deleted, address: { index, ip: parseIp('10.32.0.1')!, prefix: 32, ...flags, ...rest } };
}

const port = link(20, 'fbc1', { kind: 'veth', master: 10 });

const ROWS: readonly (readonly [string, NetlinkEvent, boolean])[] = [
  ['the bridge is gone', linkEvent(BRIDGE, true), true],
  ['the bridge is as it should be', linkEvent(BRIDGE), false],
  ['the bridge is down', linkEvent({ ...BRIDGE, up: false }), true],
  ['the bridge has another MAC', linkEvent({ ...BRIDGE, mac: OTHER_MAC }), true],
  ['a container port is as it should be', linkEvent(port), false],
  ['a container port left the bridge', linkEvent({ ...port, master: null }), true],
  ['a container port is gone', linkEvent(port, true), true],
  ['a port of a container that is being attached', linkEvent({ ...port, name: 'fbc2', up: false }), false],
  ['the datapath port left the bridge', linkEvent(link(11, 'fabric0p', { kind: 'veth' })), true],
  ['the far end is up', linkEvent(link(12, 'fabric0q', { kind: 'veth' })), false],
  ['host0 has another MTU', linkEvent(link(13, 'host0', { kind: 'veth', mtu: 1500 })), true],
  ['a known uplink changes', linkEvent({ ...ETH0, up: false }), false],
  ['a new uplink', linkEvent(link(3, 'eth1')), true],
  ['a new bridge of others', linkEvent(link(4, 'docker0', { kind: 'bridge' })), true],
  ['a new veth of others', linkEvent(link(5, 'veth1', { kind: 'veth' })), false],
  ['an address of ours is gone', addressEvent(10), true],
  ['an address of others is gone', addressEvent(2), false],
  ['an address came', addressEvent(10, false), false],
  ["a container's route is gone", routeEvent('10.32.0.5/32', ROUTE_PROTOCOL), true],
  ['the route of a container that left is gone', routeEvent('10.32.0.6/32', ROUTE_PROTOCOL), false],
  ['the prefix route is gone', routeEvent('10.32.0.0/12', 2), true],
  ['a route of others is gone', routeEvent('192.168.0.0/16', 2), false],
  ['a route came', routeEvent('10.32.0.5/32', ROUTE_PROTOCOL, false), false],
  ["a container's entry is gone", fdbEvent(CONTAINER_MAC), true],
  ["host0's entry is gone", fdbEvent('02:00:00:00:01:02' as Mac), true],
  ['an entry of others is gone', fdbEvent(OTHER_MAC), false],
  ['a port left the bridge', portEvent(20), true],
  ['a port left another bridge', portEvent(20, 4), false],
  ['events were lost', { kind: 'overrun' }, true],
];

const PORT = { hostIfname: 'fbc1', mac: CONTAINER_MAC, ips: ['10.32.0.5'] };
const PORTS = new KnownPorts();
PORTS.set({ network: DEFAULT_VNI, port: PORT, index: 20, live: true });
const CONFIG: OverlayNetworkConfig = {
  network: DEFAULT_VNI,
  internal: false,
  bridge: 'fabric0',
  range: parseCidr('10.32.0.0/12')!,
  range6: null,
  gateway: '10.32.0.1',
  gateway6: null,
  gatewayMac: GATEWAY_MAC,
  mtu: 1418,
};

function expecting(): EventFilter {
  const filter = new EventFilter();
  filter.expect({
    overlays: [{ names: networkInterfaces('fabric0'), bridge: BRIDGE, config: CONFIG }],
    access: { mac: '02:00:00:00:01:02' as Mac, ip: '10.32.0.2', ip6: null },
    foreign: [ETH0],
  });
  return filter;
}

it.each(ROWS)('%s', (_name, event, expected) => {
  expect(new EventFilter().isRelevant(event, PORTS), 'before anything is expected').toBe(false);
  expect(expecting().isRelevant(event, PORTS)).toBe(expected);
});

it('a port that departs by our doing is no news until it is gone', async () => {
  const filter = expecting();
  let over: () => void = () => undefined;
  filter.expectDeparture(
    20,
    new Promise((resolve) => {
      over = resolve;
    }),
  );
  expect([portEvent(20), portEvent(21)].map((event) => filter.isRelevant(event, PORTS))).toEqual([false, true]);
  over();
  await new Promise((resolve) => setImmediate(resolve));
  expect(filter.isRelevant(portEvent(20), PORTS)).toBe(true);
});

it('looks at the ports of each network in its own bridge', () => {
  const filter = new EventFilter();
  const blue = link(40, 'fabn7', { kind: 'bridge', mac: GATEWAY_MAC });
  const names = networkInterfaces('fabn7');
  filter.expect({
    overlays: [
      { names: networkInterfaces('fabric0'), bridge: BRIDGE, config: CONFIG },
      { names, bridge: blue, config: { ...CONFIG, network: 7 as typeof DEFAULT_VNI, bridge: 'fabn7' } },
    ],
    access: null,
    foreign: [ETH0],
  });
  const port = (master: number) => linkEvent(link(41, 'fabn7p', { kind: 'tun', master, mtu: 1418 }));
  expect(filter.isRelevant(port(40), new KnownPorts())).toBe(false);
  expect(filter.isRelevant(port(BRIDGE.index), new KnownPorts())).toBe(true);
});
