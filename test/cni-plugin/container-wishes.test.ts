import { describe, expect, test } from 'vitest';
import { formatCidr } from '../../src/base/address.ts';
import type { AttachRequest } from '../../src/cni-plugin/backend.ts';
import { addEnv, type CniJson, CONFIG, FakeBackend, run } from './fake-backend.ts';

async function requested(config: object, args = ''): Promise<AttachRequest> {
  const backend = new FakeBackend();
  const { outcome } = await run(backend, addEnv({ CNI_ARGS: args }), { ...CONFIG, ...config });
  expect(outcome.stdout).not.toContain('"code"');
  return backend.requests[0]!;
}

async function refused(config: object, args = ''): Promise<CniJson> {
  const backend = new FakeBackend();
  const { json } = await run(backend, addEnv({ CNI_ARGS: args }), { ...CONFIG, ...config });
  expect(backend.requests).toEqual([]);
  return json;
}

describe('C2 C10 MAC precedence: CNI_ARGS < args.cni.mac < runtimeConfig.mac', () => {
  const args = 'MAC=02:00:00:00:00:0A';
  const cni = { args: { cni: { mac: '02-00-00-00-00-0b' } } };
  const runtime = { runtimeConfig: { mac: '02:00:00:00:00:0c' } };
  test.each([
    ['none', {}, '', null],
    ['CNI_ARGS', {}, args, '02:00:00:00:00:0a'],
    ['args.cni over CNI_ARGS', cni, args, '02:00:00:00:00:0b'],
    ['runtimeConfig over both', { ...cni, ...runtime }, args, '02:00:00:00:00:0c'],
  ])('%s', async (_, config, cniArgs, mac) => {
    expect((await requested(config, cniArgs)).mac).toBe(mac);
  });

  test.each(['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '00:00:00:00:00:00', 'x'])(
    '%s is refused: code 7',
    async (mac) => {
      expect((await refused({ runtimeConfig: { mac } })).code).toBe(7);
    },
  );
});

describe('addresses', () => {
  test('C1 of all three ways add up, canonical and without repeats', async () => {
    const { addresses } = await requested(
      { args: { cni: { ips: ['10.32.0.8/12', 'FD00:0::8'] } }, runtimeConfig: { ips: ['fd00::8', '10.32.0.9/32'] } },
      'IP=10.32.0.8',
    );
    expect(addresses.ips).toEqual(['10.32.0.8/12', 'fd00::8', '10.32.0.9']);
  });

  test.each(['', '10.32.0', '10.32.0.1/33', 'fd00::/x', 'name'])('%j is none: code 7', async (ip) => {
    expect((await refused({ runtimeConfig: { ips: [ip] } })).code).toBe(7);
  });

  test('more than 32 are refused', async () => {
    const ips = Array.from({ length: 33 }, (_, index) => `10.32.1.${index}`);
    expect((await refused({ runtimeConfig: { ips } })).code).toBe(7);
  });
});

describe('C7 name', () => {
  test.each([
    ['K8S_POD_NAME', {}, 'K8S_POD_NAME=web', 'web'],
    ['the first alias', { aliases: ['db', 'db2'] }, '', 'db'],
    ["podman's aliases by network", { aliases: { other: ['x'], fabric: ['pod', 'abc123'] } }, '', 'pod'],
    ['K8S_POD_NAME before aliases', { aliases: ['db'] }, 'K8S_POD_NAME=web', 'web'],
    ['what is no name is passed over', { aliases: ['-x', 'a b', 'ok'] }, 'K8S_POD_NAME=_', 'ok'],
    ['none', {}, '', ''],
  ])('from %s', async (_, runtimeConfig, args, name) => {
    expect((await requested({ runtimeConfig }, args)).name).toBe(name);
  });
});

describe('runtimeConfig', () => {
  test('C8 portMappings, bandwidth and cgroupPath are left to the plugins chained behind', async () => {
    const runtimeConfig = { portMappings: [{ HostPort: 1 }], bandwidth: { ingressRate: 1 }, cgroupPath: '/x' };
    expect(await requested({ runtimeConfig })).toMatchObject({ addresses: { ips: [], ranges: [] }, mac: null });
  });

  test.each([
    ['runtimeConfig.ipRanges', { runtimeConfig: { ipRanges: [[{ subnet: '10.33.1.0/24' }]] } }, [['10.33.1.0/24']]],
    ['ipam.subnet', { ipam: { subnet: '10.33.1.7/24' } }, [['10.33.1.0/24']]],
    [
      'ipam.ranges, rangeStart and rangeEnd, keys in any case',
      { ipam: { ranges: [[{ Subnet: '10.33.1.0/24', RangeStart: '10.33.1.5', RangeEnd: '10.33.1.8' }]] } },
      [['10.33.1.5/32', '10.33.1.6/31', '10.33.1.8/32']],
    ],
    [
      'a set of two ranges and one of IPv6',
      {
        ipam: { ranges: [[{ subnet: '10.33.1.0/24' }, { subnet: '10.33.4.0/23' }]] },
        runtimeConfig: { ipRanges: [[{ subnet: 'fd00::/120' }]] },
      },
      [['10.33.1.0/24', '10.33.4.0/23'], ['fd00::/120']],
    ],
    ['empty ones are none', { runtimeConfig: { ipRanges: [[], []] }, ipam: { ranges: [] } }, []],
  ])('C5 ranges: %s', async (_, config, expected) => {
    const { ranges } = (await requested(config)).addresses;
    expect(ranges.map((set) => set.map(formatCidr))).toEqual(expected);
  });

  test.each([
    [{ subnet: 'x' }],
    [{ subnet: '10.33.1.0' }],
    [{ subnet: '10.33.1.0/24', rangeStart: '10.34.0.1' }],
    [{ subnet: '10.33.1.0/24', rangeStart: '10.33.1.9', rangeEnd: '10.33.1.8' }],
    [{}],
    [7],
  ])('a range %j is none: code 7', async (range) => {
    expect((await refused({ runtimeConfig: { ipRanges: [[range]] } })).code).toBe(7);
  });

  test('a set of both families, and more than 16 sets: code 7', async () => {
    const mixed = [[{ subnet: '10.33.1.0/24' }, { subnet: 'fd00::/120' }]];
    expect((await refused({ runtimeConfig: { ipRanges: mixed } })).code).toBe(7);
    const many = Array.from({ length: 17 }, () => [{ subnet: '10.33.1.0/24' }]);
    expect((await refused({ runtimeConfig: { ipRanges: many } })).code).toBe(7);
  });

  test('C6 dns replaces what it gives', async () => {
    const { json } = await run(new FakeBackend(), addEnv(), {
      ...CONFIG,
      dns: { nameservers: ['10.0.0.1'], domain: 'd.example', search: ['s.example'], options: ['ndots:2'] },
      runtimeConfig: { dns: { servers: ['10.0.0.2'], searches: ['t.example'] } },
    });
    expect(json.dns).toEqual({
      nameservers: ['10.0.0.2'],
      domain: 'd.example',
      search: ['t.example'],
      options: ['ndots:2'],
    });
  });
});

describe('names', () => {
  test.each<[string, object, string, object]>([
    ['a pod', {}, 'K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=prod', { name: 'web-0', aliases: ['web-0.prod'] }],
    ['aliases', { runtimeConfig: { aliases: ['web', 'db'] } }, '', { name: 'web', aliases: ['db'] }],
    [
      'podman: by network, and the same name twice',
      { runtimeConfig: { aliases: { fabric: ['web', '0123456789ab'] } } },
      'K8S_POD_NAME=web',
      { name: 'web', aliases: ['0123456789ab'] },
    ],
    ['what is no name is left out', { runtimeConfig: { aliases: ['-x', '', 'a b', 'ok'] } }, '', { name: 'ok' }],
  ])('%s', async (_name, config, args, expected) => {
    expect(await requested(config, args)).toMatchObject(expected);
  });

  test('one name needs no aliases, and there are no more than 32', async () => {
    expect(await requested({ runtimeConfig: { aliases: ['web'] } })).not.toHaveProperty('aliases');
    const aliases = Array.from({ length: 50 }, (_, i) => `n${i}`);
    expect((await requested({ runtimeConfig: { aliases } })).aliases).toHaveLength(32);
  });
});

describe('routes', () => {
  test('of ipam.routes, with and without gateway', async () => {
    const routes = [{ dst: '192.0.2.0/24' }, { dst: '2001:db8::/32', gw: 'FD00::5' }];
    expect((await requested({ ipam: { routes } })).routes).toEqual([
      { dst: '192.0.2.0/24', gw: null },
      { dst: '2001:db8::/32', gw: 'fd00::5' },
    ]);
  });

  test("O6 of ipam.routes, with their attributes; what is 0 is the kernel's to choose", async () => {
    const attributes = { mtu: 1300, advmss: 1260, priority: 7, table: 100, scope: 0 };
    const routes = [
      { dst: '192.0.2.0/24', Priority: 0, mtu: 0 },
      { dst: '198.51.100.0/24', gw: '10.32.0.5', ...attributes },
    ];
    expect((await requested({ ipam: { routes } })).routes).toEqual([
      { dst: '192.0.2.0/24', gw: null },
      { dst: '198.51.100.0/24', gw: '10.32.0.5', ...attributes },
    ]);
  });

  test.each([
    { dst: '192.0.2.0/24', mtu: -1 },
    { dst: '192.0.2.0/24', advmss: '1260' },
    { dst: '192.0.2.0/24', priority: 2 ** 32 },
    { dst: '192.0.2.0/24', table: 1.5 },
    { dst: '192.0.2.0/24', scope: 256 },
    { dst: 'x' },
    { dst: '192.0.2.1/24' },
    { dst: '192.0.2.0/24', gw: 'fd00::1' },
    { dst: '192.0.2.0/24', gw: 'x' },
    {},
  ])('%j is none: code 7', async (route) => {
    expect((await refused({ ipam: { routes: [route] } })).code).toBe(7);
  });

  test('defaultRoute false is handed on', async () => {
    expect((await requested({ defaultRoute: false })).defaultRoute).toBe(false);
  });
});
