import { describe, expect, test } from 'vitest';
import { addEnv, CONFIG, FakeBackend, run } from './fake-backend.ts';

async function result(changes: object): Promise<object> {
  return (await run(new FakeBackend(), addEnv(), { ...CONFIG, ...changes })).json;
}

const IP4 = { interface: 2, address: '10.32.0.2/12', gateway: '10.47.255.254' };
const IP6 = { interface: 2, address: 'fd00::2/48', gateway: 'fd00::1' };
const ROUTES = [
  { dst: '0.0.0.0/0', gw: '10.47.255.254' },
  { dst: '::/0', gw: 'fd00::1' },
];
const INTERFACES = [
  { name: 'fabric0', mac: '02:00:00:00:00:01' },
  { name: 'fab0123456789a', mac: '02:00:00:00:00:03' },
  { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/c1' },
];
const dns = { nameservers: ['10.0.0.1'], search: ['example'] };

describe('our name server', () => {
  const names = { nameservers: ['10.32.0.1'], search: ['fabric.internal'] };
  const dnsOf = async (changes: object) => {
    const backend = new FakeBackend();
    backend.names = names;
    return (await run(backend, addEnv(), { ...CONFIG, ...changes })).json.dns;
  };
  const chained = (dns: object) => ({ prevResult: { cniVersion: '1.0.0', dns } });

  test.each<[string, object, object]>([
    ['stands where nobody says anything', {}, names],
    ['also for old versions', { cniVersion: '0.2.0' }, names],
    [
      'gives way to a server of the configuration',
      { dns: { nameservers: ['192.0.2.1'] } },
      { nameservers: ['192.0.2.1'] },
    ],
    [
      'gives way to a server of the runtime',
      { runtimeConfig: { dns: { servers: ['192.0.2.1'] } } },
      { nameservers: ['192.0.2.1'] },
    ],
    [
      'gives way to a server of a plugin before',
      chained({ nameservers: ['192.0.2.1'] }),
      { nameservers: ['192.0.2.1'] },
    ],
    ['leaves a search list alone', { dns: { search: ['a.example'] } }, { ...names, search: ['a.example'] }],
    ['leaves a search list of before alone', chained({ search: ['b.example'] }), { ...names, search: ['b.example'] }],
  ])('%s', async (_name, changes, expected) => {
    expect(await dnsOf(changes)).toEqual(expected);
  });

  test('is not told while names are not served', async () => {
    expect(await result({ cniVersion: '1.0.0' })).toMatchObject({ dns: {} });
  });
});

describe('result by cniVersion', () => {
  test.each(['0.1.0', '0.2.0'])('O1 %s: ip4 and ip6 with routes, dns, no interfaces', async (cniVersion) => {
    expect(await result({ cniVersion, dns })).toEqual({
      cniVersion,
      ip4: { ip: '10.32.0.2/12', gateway: '10.47.255.254', routes: [ROUTES[0]] },
      ip6: { ip: 'fd00::2/48', gateway: 'fd00::1', routes: [ROUTES[1]] },
      dns,
    });
  });

  test('O1 0.2.0: the first IP of each family', async () => {
    const runtimeConfig = { ips: ['10.32.0.8/12', '10.32.0.9/12'] };
    expect(await result({ cniVersion: '0.2.0', runtimeConfig })).toMatchObject({ ip4: { ip: '10.32.0.8/12' } });
  });

  test.each(['0.3.0', '0.3.1', '0.4.0'])('O2 O5 %s: ips with version', async (cniVersion) => {
    expect(await result({ cniVersion, dns })).toEqual({
      cniVersion,
      interfaces: INTERFACES,
      ips: [
        { version: '4', ...IP4 },
        { version: '6', ...IP6 },
      ],
      routes: ROUTES,
      dns,
    });
  });

  test('O3 O5 1.0.0: ips without version', async () => {
    expect(await result({ cniVersion: '1.0.0' })).toEqual({
      cniVersion: '1.0.0',
      interfaces: INTERFACES,
      ips: [IP4, IP6],
      routes: ROUTES,
      dns: {},
    });
  });

  test('O4 1.1.0: interfaces with mtu', async () => {
    const [bridge, host, container] = INTERFACES;
    expect(await result({ cniVersion: '1.1.0' })).toEqual({
      cniVersion: '1.1.0',
      interfaces: [bridge, { ...host, mtu: 1418 }, { ...container, mtu: 1418 }],
      ips: [IP4, IP6],
      routes: ROUTES,
      dns: {},
    });
  });
});

describe('prevResult', () => {
  test('A4 is passed through: its elements first and unchanged, ours with shifted indices', async () => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'wlan9', sandbox: '/run/netns/c1', odd: true }],
      ips: [{ address: '192.0.2.7/24', gateway: '192.0.2.1', interface: 0 }],
      routes: [{ dst: '198.51.100.0/24', priority: 7 }],
      dns: { nameservers: ['192.0.2.53'], domain: 'before.example' },
      extra: { a: 1 },
    };
    expect(await result({ prevResult, dns: { search: ['s.example'] } })).toEqual({
      cniVersion: '1.0.0',
      interfaces: [...prevResult.interfaces, ...INTERFACES],
      ips: [...prevResult.ips, { ...IP4, interface: 3 }, { ...IP6, interface: 3 }],
      routes: [...prevResult.routes, ...ROUTES],
      dns: { nameservers: ['192.0.2.53'], domain: 'before.example', search: ['s.example'] },
      extra: { a: 1 },
    });
  });

  test('O4 A4 1.1.0: what only it knows stays', async () => {
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'vf0', pciID: '0000:00:1f.6', socketPath: '/run/vhost.sock', mtu: 9000 }],
      ips: [],
      routes: [{ dst: '198.51.100.0/24', mtu: 1400, advmss: 1360, priority: 7, table: 100, scope: 253 }],
    };
    expect(await result({ cniVersion: '1.1.0', prevResult })).toMatchObject({
      interfaces: [prevResult.interfaces[0], {}, {}, {}],
      routes: [prevResult.routes[0], ...ROUTES],
    });
  });

  test.each([
    ['0.2.0', {}],
    ['1.0.0', {}],
    ['1.1.0', { mtu: 1300, priority: 7 }],
  ])('O6 %s: a route of ipam.routes has the attributes that this version knows', async (cniVersion, attributes) => {
    const route = { dst: '192.0.2.0/24', gw: '10.32.0.9' };
    const ipam = { routes: [{ ...route, mtu: 1300, priority: 7 }] };
    const routes = [...ROUTES, { ...route, ...attributes }];
    const ofIpv4 = routes.filter(({ dst }) => !dst.includes(':'));
    const expected = cniVersion === '0.2.0' ? { ip4: { routes: ofIpv4 } } : { routes };
    expect(await result({ cniVersion, ipam })).toMatchObject(expected);
  });

  test('that can not be read fails the ADD before anything is attached', async () => {
    const backend = new FakeBackend();
    const { json } = await run(backend, addEnv(), { ...CONFIG, prevResult: { ips: [{}] } });
    expect(json.code).toBe(7);
    expect(backend.requests).toEqual([]);
  });
});
