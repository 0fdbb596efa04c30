import { describe, expect, it } from 'vitest';
import { parseCidr, parseInterfaceAddress } from '../../../src/base/address.ts';
import { overlappingRoutes, rankUnderlay } from '../../../src/host/linux/underlay.ts';
import { type Address, type Link, ROUTE_PROTOCOL, type Route } from '../../../src/host/netlink/objects.ts';

function link(index: number, name: string, changes: Partial<Link> = {}): Link {
  return {
    index,
    name,
    mac: null,
    mtu: 1500,
    up: true,
    carrier: true,
    loopback: false,
    arp: true,
    kind: null,
    master: null,
    alias: '',
    peerIndex: null,
    peerNamespaceId: null,
    addressGeneration: true,
    txQueues: 1,
    rxQueues: 1,
    gsoIpv4BytesMax: null,
    port: null,
    portForwards: null,
    bridge: null,
    vxlan: null,
    ...changes,
  };
}

function address(index: number, text: string, changes: Partial<Address> = {}): Address {
  const flags = { noDad: false, noPrefixRoute: false, permanent: true, tentative: false, dadFailed: false };
  return {
    index,
    ...parseInterfaceAddress(text)!,
    scope: 'global',
    ...flags,
    deprecated: false,
    secondary: false,
    ...changes,
  };
}

function route(index: number, dst: string, changes: Partial<Route> = {}): Route {
  return {
    dst: parseCidr(dst)!,
    gateway: null,
    index,
    preferredSource: null,
    scope: 'global',
    table: 254,
    metric: 0,
    onlink: false,
    mtu: null,
    protocol: 4,
    type: 'unicast',
    nextHops: [],
    ...changes,
  };
}

const LINKS = [
  link(1, 'lo', { loopback: true, mtu: 65536 }),
  link(2, 'eth0', { mtu: 9000 }),
  link(3, 'eth1'),
  link(4, 'docker0', { kind: 'bridge' }),
  link(5, 'fabric0', { kind: 'bridge', alias: 'fabric: bridge of network 0' }),
  link(6, 'host0', { kind: 'veth', alias: 'fabric: this host in fabric0' }),
  link(7, 'tap-of-someone', { kind: 'tun', master: 5 }),
  link(8, 'wg0', { kind: 'wireguard', mtu: 1420 }),
];

describe('addresses that peers may reach', () => {
  const rows: readonly (readonly [string, readonly Address[], readonly Route[], readonly string[]])[] = [
    ['nothing', [], [], []],
    [
      'loopback and link-local never',
      [address(1, '127.0.0.1/8'), address(2, 'fe80::1/64'), address(2, '169.254.1.1/16')],
      [],
      [],
    ],
    ['ours never', [address(5, '10.32.0.1/32'), address(6, '10.32.0.2/12'), address(7, '10.32.0.9/12')], [], []],
    [
      'the interface of the default route first',
      [address(2, '192.0.2.1/24'), address(3, '198.51.100.1/24')],
      [route(3, '0.0.0.0/0')],
      ['198.51.100.1', '192.0.2.1'],
    ],
    [
      'any of several next hops',
      [address(2, '192.0.2.1/24'), address(3, '198.51.100.1/24')],
      [{ ...route(0, '0.0.0.0/0'), index: null, nextHops: [{ index: 3, gateway: null }] }],
      ['198.51.100.1', '192.0.2.1'],
    ],
    ['docker0 not beside something better', [address(4, '172.17.0.1/16'), address(8, '10.9.0.1/24')], [], ['10.9.0.1']],
    ['docker0 when there is nothing else', [address(4, '172.17.0.1/16')], [], ['172.17.0.1']],
    ['a bridge with the default route', [address(4, '192.0.2.7/24')], [route(4, '0.0.0.0/0')], ['192.0.2.7']],
    [
      'hardware before tunnels, IPv4 before IPv6, privacy addresses last',
      [
        address(8, '10.9.0.1/24'),
        address(2, '2001:db8::ffff/64', { secondary: true }),
        address(2, '2001:db8::1/64'),
        address(2, '192.0.2.1/24'),
      ],
      [],
      ['192.0.2.1', '2001:db8::1', '2001:db8::ffff', '10.9.0.1'],
    ],
    [
      'none that is not usable',
      [
        address(2, '2001:db8::1/64', { tentative: true }),
        address(2, '2001:db8::2/64', { dadFailed: true }),
        address(2, '2001:db8::3/64', { deprecated: true }),
      ],
      [],
      [],
    ],
  ];
  it.each(rows)('%s', (_name, addresses, routes, expected) => {
    expect(rankUnderlay({ links: LINKS, addresses, routes }).map(({ ip }) => ip)).toEqual(expected);
  });

  it('carry the MTU of their interface', () => {
    expect(rankUnderlay({ links: LINKS, addresses: [address(2, '192.0.2.1/24')], routes: [] })).toEqual([
      { ip: '192.0.2.1', mtu: 9000 },
    ]);
  });

  it('are none on an interface that is down', () => {
    const links = [link(2, 'eth0', { up: false })];
    expect(rankUnderlay({ links, addresses: [address(2, '192.0.2.1/24')], routes: [] })).toEqual([]);
  });

  it('are not endlessly many', () => {
    const addresses = Array.from({ length: 200 }, (_, i) => address(2, `192.0.2.${i + 1}/24`));
    expect(rankUnderlay({ links: LINKS, addresses, routes: [] })).toHaveLength(16);
  });
});

it.each([
  ['the default route', route(2, '0.0.0.0/0'), []],
  ['a part of the range', route(2, '10.40.0.0/16'), ['10.40.0.0/16 dev eth0']],
  ['more than the range', route(8, '10.0.0.0/8'), ['10.0.0.0/8 dev wg0']],
  ['elsewhere', route(2, '192.168.0.0/16'), []],
  ["ours by interface: the kernel's own route of host0", route(6, '10.32.0.0/12'), []],
  ['ours by protocol', route(5, '10.32.0.7/32', { protocol: ROUTE_PROTOCOL }), []],
  ['of the local table', route(2, '10.33.0.1/32', { table: 255 }), []],
  ['of another table', route(2, '10.33.0.0/16', { table: 1000 }), ['10.33.0.0/16 dev eth0']],
  ['without an interface', route(0, '10.33.0.0/16', { index: null, type: 'blackhole' }), ['10.33.0.0/16']],
])('a route that overlaps 10.32.0.0/12: %s', (_name, other, expected) => {
  expect(overlappingRoutes(parseCidr('10.32.0.0/12')!, LINKS, [other, other])).toEqual(expected);
});
