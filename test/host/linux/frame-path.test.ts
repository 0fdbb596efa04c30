import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import { portState, routeTo } from '../../../src/host/linux/frame-path.ts';
import type { Link, Route } from '../../../src/host/netlink/objects.ts';
import { linkNamed } from './links.ts';

const BRIDGE = linkNamed(1, 'fabric0', { kind: 'bridge' });
const PORT: Partial<Link> = { master: 1, portForwards: true };

describe('a port', () => {
  test.each([
    ['that works', PORT, null],
    ['that is down', { ...PORT, up: false }, 'fab1 is down'],
    ['without a carrier', { ...PORT, carrier: false }, 'fab1 has no carrier: its other end is down or gone'],
    ['in no bridge', { ...PORT, master: null }, 'fab1 is not in the bridge fabric0'],
    ['that is blocked', { ...PORT, portForwards: false }, 'the bridge does not forward on fab1'],
    ['of another name', { ...PORT, name: 'other' }, 'there is no interface fab1'],
  ])('%s', (_, change, fault) => {
    expect(portState([BRIDGE, linkNamed(2, 'fab1', change)], 'fab1', 'fabric0')).toEqual({ name: 'fab1', fault });
  });

  test('of a bridge that is down', () => {
    expect(portState([{ ...BRIDGE, up: false }, linkNamed(2, 'fab1', PORT)], 'fab1', 'fabric0').fault).toBe(
      'the bridge fabric0 is down',
    );
  });
});

describe('the route to an endpoint', () => {
  const eth0 = linkNamed(3, 'eth0', { mtu: 1500 });
  const route = (dst: string, change: Partial<Route> = {}): Route => ({
    dst: parseCidr(dst)!,
    gateway: null,
    index: 3,
    preferredSource: null,
    scope: 'global',
    table: 254,
    metric: 0,
    onlink: false,
    mtu: null,
    protocol: 3,
    type: 'unicast',
    nextHops: [],
    ...change,
  });
  const gateway = parseIp('192.0.2.1')!;
  const ip = parseIp('198.51.100.9')!;

  test.each([
    ['the longest', [route('0.0.0.0/0', { gateway }), route('198.51.100.0/24')], '198.51.100.0/24', null],
    ['the default', [route('0.0.0.0/0', { gateway }), route('203.0.113.0/24')], '0.0.0.0/0', '192.0.2.1'],
    [
      'the smaller metric',
      [route('0.0.0.0/0', { metric: 5 }), route('0.0.0.0/0', { metric: 2, gateway })],
      '0.0.0.0/0',
      '192.0.2.1',
    ],
    [
      'the first of several ways',
      [
        route('0.0.0.0/0', {
          index: null,
          nextHops: [
            { index: 3, gateway },
            { index: 4, gateway: null },
          ],
        }),
      ],
      '0.0.0.0/0',
      '192.0.2.1',
    ],
  ])('is %s', (_, routes, dst, via) => {
    expect(routeTo(ip, [eth0], routes)).toEqual({ dst, ifname: 'eth0', gateway: via, mtu: 1500 });
  });

  test.each([
    ['none matches', [route('203.0.113.0/24')]],
    ['it is of another table', [route('0.0.0.0/0', { table: 7 })]],
    ['it leads nowhere', [route('0.0.0.0/0', { type: 'unreachable' })]],
  ])('is none where %s', (_, routes) => {
    expect(routeTo(ip, [eth0], routes)).toBeNull();
  });
});
