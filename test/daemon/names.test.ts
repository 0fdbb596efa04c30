import { describe, expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import { keptByAll } from '../../src/daemon/claim-keepers.ts';
import { checkDnsFlags, type DnsOptions, mergeDnsSettings } from '../../src/daemon/dns-options.ts';
import { createGenesis, namedNetworkFacts, networkFacts } from '../../src/daemon/genesis.ts';
import { checkLaunchFlags } from '../../src/daemon/launch-options.ts';
import type { SocketHandler } from '../../src/daemon/name-server.ts';
import { Names } from '../../src/daemon/names.ts';
import { OwnRecords } from '../../src/daemon/own-records.ts';
import { NAME_PREFIX } from '../../src/gossip/record-codec.ts';
import { generateHostKeys } from '../../src/host/identity-file.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { queryBytes, seen } from '../dns/messages.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { attachmentRecord, lonelyGossip, SELF } from './own-map.ts';

const MAC = '02:00:00:00:00:01' as Mac;
const OTHER_MAC = '02:00:00:00:00:02' as Mac;
const OTHER = 'bb'.repeat(16) as PeerId;
const BLUE = 7 as Vni;
const BLUE_RECORD = {
  network: BLUE,
  name: 'blue',
  range: '10.200.0.0/16',
  range6: null,
  leasePrefix: 24,
  leasePrefix6: 64,
  internal: false,
};
const RESOLVER = makeEndpoint('192.0.2.53', 53)!;

function setUp(dns: Partial<DnsOptions> = {}, hostServers = [RESOLVER]) {
  const timers = new ManualTimers();
  const random = new SeededRandom(1);
  const keys = generateHostKeys(random, nodeCrypto);
  const creation = {
    options: checkLaunchFlags({ stateDir: '/s', runDir: '/r', range6: 'off' }, null),
    clusterId: '50'.repeat(16) as never,
    keys,
    mtu: 1418,
  };
  const facts = networkFacts(createGenesis(creation, random, nodeCrypto), nodeCrypto);
  const blue = namedNetworkFacts(BLUE_RECORD, { creator: OTHER, gatewayMac: facts.gatewayMac })!;
  /** Where this host is, and the container that asks from 10.32.0.9. */
  const isIn = { blue: false, both: [DEFAULT_VNI] };
  const gossip = lonelyGossip();
  const dead = new Set<PeerId>();
  const servers = new Map<string, SocketHandler>();
  const names = new Names({
    self: SELF,
    networks: {
      served: () => [facts, ...(isIn.blue ? [blue] : [])],
      named: (name) => [facts, blue].find(({ id }) => id === (name === 'blue' ? BLUE : DEFAULT_VNI))!,
      get: (network) => [facts, blue].find(({ id }) => id === network) ?? null,
      ofContainer: (network, ip) => (ip === '10.32.0.9' && network === DEFAULT_VNI ? [...isIn.both] : null),
    },
    settings: mergeDnsSettings({ ...checkDnsFlags({}), ...dns }, undefined),
    sockets: {
      open: async (ip, handler) => {
        servers.set(ip, handler);
        return { close: async () => void servers.delete(ip) };
      },
      holderOf: async () => null,
      exchange: () => () => undefined,
      hostServers: () => hostServers,
    },
    clock: timers.clock,
    timers,
    random,
    log: new RecordingLog(),
    records: new OwnRecords(gossip, SELF, { wrote: () => undefined, failed: () => undefined }),
    holderOf: () => (dead.has(OTHER) ? null : OTHER),
    isAlive: (peer) => !dead.has(peer),
    rttMs: () => null,
  });
  const attach = (name: string, change = {}) => names.zones.claim(OTHER, { ...attachmentRecord(MAC), name, ...change });
  const resolve = (name: string, { from = '10.32.0.9', server = '10.32.0.1', type = 'A' } = {}) => {
    let answer: Uint8Array | null = null;
    servers.get(server)!(queryBytes(name, { type }), { ip: from, transport: 'udp' }, (bytes) => {
      answer = bytes;
    });
    return answer === null ? null : seen(answer);
  };
  return { names, gossip, attach, resolve, dead, isIn, servers };
}

describe('names of containers', () => {
  test('come and go with claims', async () => {
    const { names, attach, resolve } = setUp();
    await names.start();
    attach('web', { aliases: ['db'] });
    expect(resolve('db.fabric.internal')!.answers).toEqual(['db.fabric.internal A 10.32.0.5']);
    expect(names.rows().map(({ name }) => name)).toEqual(['db.fabric.internal', 'web.fabric.internal']);
    names.zones.withdraw(OTHER, DEFAULT_VNI, MAC);
    expect(resolve('db.fabric.internal')!.rcode).toBe('NXDOMAIN');
  });

  test('a host has no name, but what is added to its address', () => {
    const { names, attach } = setUp();
    attach('one', { kind: 'host' });
    expect(names.rows()).toEqual([]);
    names.add('fabric', 'backup', ['10.32.0.5']);
    expect(names.lookup('fabric', 'backup')).toEqual(['10.32.0.5']);
  });
});

describe('names of several networks', () => {
  const inBlue = { network: BLUE, ips: ['10.200.0.5'] };
  const blueServer = { from: '10.200.0.9', server: '10.200.0.1' };

  test('each is answered at its own gateway, while this host is in it', async () => {
    const { names, attach, resolve, isIn, servers } = setUp();
    await names.start();
    attach('web', inBlue);
    expect([...servers.keys()]).toEqual(['10.32.0.1']);
    expect(names.serviceFacts(BLUE)).toBeNull();
    isIn.blue = true;
    await names.networksChanged();
    expect(names.serviceFacts(BLUE)).toEqual({ nameservers: ['10.200.0.1'], search: ['fabric.internal'] });
    expect(resolve('web.fabric.internal', blueServer)!.answers).toEqual(['web.fabric.internal A 10.200.0.5']);
    expect(resolve('5.0.200.10.in-addr.arpa', { ...blueServer, type: 'PTR' })!.answers).toEqual([
      '5.0.200.10.in-addr.arpa PTR web.fabric.internal',
    ]);
    expect(resolve('web.fabric.internal')!.rcode).toBe('NXDOMAIN');
    isIn.blue = false;
    await names.networksChanged();
    expect([...servers.keys()]).toEqual(['10.32.0.1']);
  });

  test('who is on another network is refused', async () => {
    const { names, attach, resolve, isIn } = setUp();
    isIn.blue = true;
    await names.start();
    attach('web', inBlue);
    expect(resolve('web.fabric.internal', { from: '10.32.0.9', server: '10.200.0.1' })!.rcode).toBe('REFUSED');
    expect(names.status().counters.strangers).toBe(1);
  });

  test('a container in two networks finds the names of both; those of the network that it asks go before', async () => {
    const { names, attach, resolve, isIn } = setUp();
    isIn.both.push(BLUE);
    await names.start();
    attach('web', inBlue);
    expect(resolve('web.fabric.internal')!.answers).toEqual(['web.fabric.internal A 10.200.0.5']);
    expect(resolve('5.0.200.10.in-addr.arpa', { type: 'PTR' })!.answers).toHaveLength(1);
    attach('web', { mac: OTHER_MAC });
    expect(resolve('web.fabric.internal')!.answers).toEqual(['web.fabric.internal A 10.32.0.5']);
    expect(resolve('nobody.fabric.internal')!.rcode).toBe('NXDOMAIN');
  });

  test('one name may be added in each, and goes there alone', () => {
    const { names } = setUp();
    names.add('fabric', 'printer', ['192.0.2.7']);
    names.add('blue', 'printer', ['192.0.2.8']);
    expect(names.lookup('fabric', 'printer')).toEqual(['192.0.2.7']);
    expect(names.lookup('blue', '192.0.2.8')).toEqual(['printer.fabric.internal']);
    expect(names.rows().map(({ network, ips }) => [network, ips])).toEqual([
      [DEFAULT_VNI, ['192.0.2.7']],
      [BLUE, ['192.0.2.8']],
    ]);
    names.remove('blue', 'printer', []);
    expect(names.rows().map(({ network }) => network)).toEqual([DEFAULT_VNI]);
    expect(() => names.add('blue', 'x', ['10.200.7.7'])).toThrow(/no container has 10\.200\.7\.7/);
  });

  test('of a network that is not known here nothing is said', () => {
    const { names, attach } = setUp();
    attach('web', { network: 9 as Vni });
    expect(names.rows()).toEqual([]);
  });
});

describe('names that are added', () => {
  test('are published, grow, shrink and go', () => {
    const { names, gossip } = setUp();
    names.add('fabric', 'Printer.fabric.internal', ['192.0.2.7']);
    names.add('fabric', 'printer', ['2001:DB8::7']);
    expect(names.lookup('fabric', 'printer')).toEqual(['192.0.2.7', '2001:db8::7']);
    expect(gossip.entries(SELF, NAME_PREFIX).map(([key]) => key)).toEqual(['name/0/printer']);
    expect(names.lookup('fabric', '192.0.2.7')).toEqual(['printer.fabric.internal']);
    names.remove('fabric', 'printer', ['192.0.2.7']);
    expect(names.lookup('fabric', 'printer')).toEqual(['2001:db8::7']);
    names.remove('fabric', 'printer', []);
    expect(() => names.lookup('fabric', 'printer')).toThrow(expect.objectContaining({ code: 'name-unknown' }));
    expect(gossip.entries(SELF, NAME_PREFIX)).toEqual([]);
  });

  test('hang on the container that has the address', () => {
    const { names, attach } = setUp();
    attach('');
    names.add('fabric', 'front', ['10.32.0.5']);
    expect(names.lookup('fabric', 'front')).toEqual(['10.32.0.5']);
    names.zones.withdraw(OTHER, DEFAULT_VNI, MAC);
    expect(() => names.lookup('fabric', 'front')).toThrow(/no container is called front/);
  });

  test.each<[string, (names: Names) => void, string]>([
    ['no address', (names) => names.add('fabric', 'x', ['nowhere']), 'address-invalid'],
    [
      'an address of the network that nobody has',
      (names) => names.add('fabric', 'x', ['10.32.7.7']),
      'address-invalid',
    ],
    ['no name', (names) => names.add('fabric', 'x y', ['192.0.2.1']), 'usage'],
    ['the domain itself', (names) => names.add('fabric', 'fabric.internal', ['192.0.2.1']), 'usage'],
    [
      'a name that fits into no key',
      (names) => names.add('fabric', `${'x'.repeat(60)}.${'y'.repeat(60)}`, ['192.0.2.1']),
      'usage',
    ],
    ['removing what was not added here', (names) => names.remove('fabric', 'x', []), 'name-unknown'],
    [
      'more addresses than a record holds',
      (names) =>
        names.add(
          'fabric',
          'x',
          Array.from({ length: 513 }, (_, i) => `198.51.${i >> 8}.${i & 255}`),
        ),
      'limit',
    ],
  ])('%s is refused', (_name, work, code) => {
    const { names } = setUp();
    expect(() => work(names)).toThrow(expect.objectContaining({ code }));
  });

  test('removing an address that it does not have changes nothing', () => {
    const { names } = setUp();
    names.add('fabric', 'x', ['192.0.2.1']);
    expect(() => names.remove('fabric', 'x', ['192.0.2.2'])).toThrow(expect.objectContaining({ code: 'name-unknown' }));
    expect(names.lookup('fabric', 'x')).toEqual(['192.0.2.1']);
  });

  test('of another host come and go with gossip', () => {
    const { names } = setUp();
    const record = { network: DEFAULT_VNI, name: 'far', targets: [{ ip: '192.0.2.9', mac: null }] };
    names.zones.added(OTHER, record);
    expect(names.lookup('fabric', 'far')).toEqual(['192.0.2.9']);
    names.zones.gone(OTHER, record);
    expect(names.rows()).toEqual([]);
  });
});

describe('what others are told', () => {
  test('containers hear of the server while it serves', async () => {
    const { names } = setUp({ domain: 'cluster.example' });
    expect(names.serviceFacts(DEFAULT_VNI)).toBeNull();
    await names.start();
    expect(names.serviceFacts(DEFAULT_VNI)).toEqual({ nameservers: ['10.32.0.1'], search: ['cluster.example'] });
    await names.stop();
    expect(names.serviceFacts(DEFAULT_VNI)).toBeNull();
  });

  test('with --no-dns nothing is served, and names are still known', async () => {
    const { names, attach } = setUp({ enabled: false });
    await names.start();
    attach('web');
    expect(names.serviceFacts(DEFAULT_VNI)).toBeNull();
    expect(names.status()).toMatchObject({ state: 'off', fault: null });
    expect(names.lookup('fabric', 'web')).toEqual(['10.32.0.5']);
  });

  test('a resolv.conf that names this very server is a loop, unless it names another, too', () => {
    const ourselves = makeEndpoint('10.32.0.1', 53)!;
    expect(setUp({}, [ourselves]).names.status()).toMatchObject({
      upstreams: [],
      loop: expect.stringMatching('10.32.0.1:53'),
    });
    expect(setUp({}, [ourselves, RESOLVER]).names.status()).toMatchObject({ upstreams: ['192.0.2.53:53'], loop: null });
  });

  test('--dns-upstream goes before the host’s own', () => {
    const { names } = setUp({ upstreams: [makeEndpoint('198.51.100.1', 5353)!] });
    expect(names.upstreams().usable).toEqual([{ ip: '198.51.100.1', port: 5353 }]);
  });
});

test('a claim reaches all who keep tables, in one order', () => {
  const heard: string[] = [];
  const keeper = (name: string) => ({
    claim: (_author: PeerId, { mac }: { mac: Mac }) => void heard.push(`${name} ${mac}`),
    withdraw: (_author: PeerId, _network: number, mac: Mac) => void heard.push(`${name} without ${mac}`),
  });
  const all = keptByAll(keeper('routes'), keeper('names'));
  all.claim(SELF, attachmentRecord(MAC));
  all.withdraw(SELF, DEFAULT_VNI, MAC);
  expect(heard).toEqual([`routes ${MAC}`, `names ${MAC}`, `routes without ${MAC}`, `names without ${MAC}`]);
});
