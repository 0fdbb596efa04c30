import { describe, expect, it } from 'vitest';
import { formatCidr, formatIp, parseCidr, parseIp } from '../../../src/base/address.ts';
import { DEFAULT_VNI, type Mac } from '../../../src/base/ids.ts';
import type { OverlayNetworkConfig } from '../../../src/host/host-network.ts';
import { wantedRoutes } from '../../../src/host/linux/container-side.ts';
import type { Route } from '../../../src/host/netlink/objects.ts';

const NETWORK: OverlayNetworkConfig = {
  network: DEFAULT_VNI,
  internal: false,
  bridge: 'fabric0',
  range: parseCidr('10.32.0.0/12')!,
  range6: parseCidr('fd00:1::/48')!,
  gateway: '10.32.0.1',
  gateway6: 'fd00:1::1',
  gatewayMac: '02:fa:b0:00:00:01' as Mac,
  mtu: 1418,
};
const BOTH = ['10.32.0.5', 'fd00:1::5'];

function present(dst: string): Route {
  const rest = { preferredSource: null, scope: 'global' as const, table: 254, metric: 0, onlink: false, mtu: null };
  return { dst: parseCidr(dst)!, gateway: null, index: 9, protocol: 3, type: 'unicast', nextHops: [], ...rest };
}

describe('routes of a container', () => {
  const rows: readonly (readonly [
    string,
    readonly string[],
    Parameters<typeof wantedRoutes>[1],
    readonly Route[],
    readonly string[],
  ])[] = [
    ['none asked for', BOTH, { defaultRoute: false, foreign: [], routes: [] }, [], []],
    [
      'a default route per family',
      BOTH,
      { defaultRoute: true, foreign: [], routes: [] },
      [],
      ['0.0.0.0/0 10.32.0.1', '::/0 fd00:1::1'],
    ],
    [
      'none for a family without address',
      ['10.32.0.5'],
      { defaultRoute: true, foreign: [], routes: [] },
      [],
      ['0.0.0.0/0 10.32.0.1'],
    ],
    [
      'none where there is one',
      BOTH,
      { defaultRoute: true, foreign: [], routes: [] },
      [present('0.0.0.0/0')],
      ['::/0 fd00:1::1'],
    ],
    [
      'a default route of the configuration takes its place',
      BOTH,
      { defaultRoute: true, foreign: [], routes: [{ dst: '0.0.0.0/0', gw: '10.32.0.9' }] },
      [],
      ['0.0.0.0/0 10.32.0.9', '::/0 fd00:1::1'],
    ],
    [
      "no gateway means a foreign IPAM plugin's, where it named one",
      ['198.51.100.5', 'fd00:1::5'],
      {
        defaultRoute: true,
        foreign: [{ ip: '198.51.100.5', prefix: 24, gateway: '198.51.100.254' }],
        routes: [{ dst: '192.0.2.0/24', gw: null }],
      },
      [],
      ['192.0.2.0/24 198.51.100.254', '0.0.0.0/0 198.51.100.254', '::/0 fd00:1::1'],
    ],
    [
      'a default route in another table takes no place',
      ['10.32.0.5'],
      { defaultRoute: true, foreign: [], routes: [{ dst: '0.0.0.0/0', gw: '10.32.0.9', table: 100 }] },
      [],
      ['0.0.0.0/0 10.32.0.9', '0.0.0.0/0 10.32.0.1'],
    ],
    [
      'no gateway means ours',
      BOTH,
      {
        defaultRoute: false,
        foreign: [],
        routes: [
          { dst: '192.0.2.0/24', gw: null },
          { dst: '2001:db8::/32', gw: null },
        ],
      },
      [],
      ['192.0.2.0/24 10.32.0.1', '2001:db8::/32 fd00:1::1'],
    ],
  ];
  it.each(rows)('%s', (_name, ips, config, there, expected) => {
    const addresses = ips.map((text) => parseIp(text)!);
    const routes = wantedRoutes(NETWORK, config, addresses, there);
    expect(routes.map(({ dst, gateway }) => `${formatCidr(dst)} ${formatIp(gateway)}`)).toEqual(expected);
  });

  it.each([
    ['no prefix', '192.0.2.0', null],
    ['host bits', '192.0.2.1/24', null],
    ['two families', '192.0.2.0/24', 'fd00:1::1'],
    ['a gateway that is none', '192.0.2.0/24', 'gw'],
  ])('are refused: %s', (_name, dst, gw) => {
    const config = { defaultRoute: false, foreign: [], routes: [{ dst, gw }] };
    expect(() => wantedRoutes(NETWORK, config, [], [])).toThrow(expect.objectContaining({ code: 'address-invalid' }));
  });

  it('are refused for IPv6 where the network has none', () => {
    const config = { defaultRoute: false, foreign: [], routes: [{ dst: '2001:db8::/32', gw: null }] };
    expect(() => wantedRoutes({ ...NETWORK, gateway6: null, range6: null }, config, [], [])).toThrow(/2001:db8/);
  });
});
