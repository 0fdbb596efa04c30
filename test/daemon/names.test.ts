import { describe, expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { keptByAll } from '../../src/daemon/claim-keepers.ts';
import { type DnsOptions, mergeDnsSettings, NO_DNS_OPTIONS } from '../../src/daemon/dns-options.ts';
import { createGenesis, networkFacts } from '../../src/daemon/genesis.ts';
import { checkLaunchFlags } from '../../src/daemon/launch-options.ts';
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
const OTHER = 'bb'.repeat(16) as PeerId;
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
  const gossip = lonelyGossip();
  const dead = new Set<PeerId>();
  let ask: ((bytes: Uint8Array, reply: (answer: Uint8Array) => void) => void) | null = null;
  const names = new Names({
    self: SELF,
    facts: networkFacts(createGenesis(creation, random, nodeCrypto), nodeCrypto),
    settings: mergeDnsSettings({ ...NO_DNS_OPTIONS, ...dns }, undefined),
    sockets: {
      open: async (_ip, handler) => {
        ask = (bytes, reply) => handler(bytes, { ip: '10.32.0.9', transport: 'udp' }, reply);
        return { close: async () => undefined };
      },
      holderOf: async () => null,
      exchange: () => () => undefined,
      hostServers: () => hostServers,
    },
    clock: timers.clock,
    timers,
    random,
    log: new RecordingLog(),
    records: new OwnRecords(gossip, SELF, () => undefined),
    holderOf: () => (dead.has(OTHER) ? null : OTHER),
    isAlive: (peer) => !dead.has(peer),
    rttMs: () => null,
    localAddresses: () => new Set(),
  });
  const attach = (name: string, change = {}) => names.claim(OTHER, { ...attachmentRecord(MAC), name, ...change });
  const resolve = (name: string) => {
    let answer: Uint8Array | null = null;
    ask!(queryBytes(name), (bytes) => {
      answer = bytes;
    });
    return answer === null ? null : seen(answer);
  };
  return { names, gossip, attach, resolve, dead };
}

describe('names of containers', () => {
  test('come and go with claims', async () => {
    const { names, attach, resolve } = setUp();
    await names.start();
    attach('web', { aliases: ['db'] });
    expect(resolve('db.fabric.internal')!.answers).toEqual(['db.fabric.internal A 10.32.0.5']);
    expect(names.rows().map(({ name }) => name)).toEqual(['db.fabric.internal', 'web.fabric.internal']);
    names.withdraw(OTHER, DEFAULT_VNI, MAC);
    expect(resolve('db.fabric.internal')!.rcode).toBe('NXDOMAIN');
  });

  test('a host has no name, but what is added to its address', () => {
    const { names, attach } = setUp();
    attach('one', { kind: 'host' });
    expect(names.rows()).toEqual([]);
    names.add('backup', ['10.32.0.5']);
    expect(names.lookup('backup')).toEqual(['10.32.0.5']);
  });
});

describe('names that are added', () => {
  test('are published, grow, shrink and go', () => {
    const { names, gossip } = setUp();
    names.add('Printer.fabric.internal', ['192.0.2.7']);
    names.add('printer', ['2001:DB8::7']);
    expect(names.lookup('printer')).toEqual(['192.0.2.7', '2001:db8::7']);
    expect(gossip.entries(SELF, NAME_PREFIX).map(([key]) => key)).toEqual(['name/0/printer']);
    expect(names.lookup('192.0.2.7')).toEqual(['printer.fabric.internal']);
    names.remove('printer', ['192.0.2.7']);
    expect(names.lookup('printer')).toEqual(['2001:db8::7']);
    names.remove('printer', []);
    expect(() => names.lookup('printer')).toThrow(expect.objectContaining({ code: 'name-unknown' }));
    expect(gossip.entries(SELF, NAME_PREFIX)).toEqual([]);
  });

  test('hang on the container that has the address', () => {
    const { names, attach } = setUp();
    attach('');
    names.add('front', ['10.32.0.5']);
    expect(names.lookup('front')).toEqual(['10.32.0.5']);
    names.withdraw(OTHER, DEFAULT_VNI, MAC);
    expect(() => names.lookup('front')).toThrow(/no container is called front/);
  });

  test.each<[string, (names: Names) => void, string]>([
    ['no address', (names) => names.add('x', ['nowhere']), 'address-invalid'],
    ['an address of the network that nobody has', (names) => names.add('x', ['10.32.7.7']), 'address-invalid'],
    ['no name', (names) => names.add('x y', ['192.0.2.1']), 'usage'],
    ['the domain itself', (names) => names.add('fabric.internal', ['192.0.2.1']), 'usage'],
    [
      'a name that fits into no key',
      (names) => names.add(`${'x'.repeat(60)}.${'y'.repeat(60)}`, ['192.0.2.1']),
      'usage',
    ],
    ['removing what was not added here', (names) => names.remove('x', []), 'name-unknown'],
    [
      'more addresses than a record holds',
      (names) =>
        names.add(
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
    names.add('x', ['192.0.2.1']);
    expect(() => names.remove('x', ['192.0.2.2'])).toThrow(expect.objectContaining({ code: 'name-unknown' }));
    expect(names.lookup('x')).toEqual(['192.0.2.1']);
  });

  test('of another host come and go with gossip', () => {
    const { names } = setUp();
    const record = { network: DEFAULT_VNI, name: 'far', targets: [{ ip: '192.0.2.9', mac: null }] };
    names.nameAdded(OTHER, record);
    expect(names.lookup('far')).toEqual(['192.0.2.9']);
    names.nameGone(OTHER, record);
    expect(names.rows()).toEqual([]);
  });
});

describe('what others are told', () => {
  test('containers hear of the server while it serves', async () => {
    const { names } = setUp({ domain: 'cluster.example' });
    expect(names.serviceFacts()).toBeNull();
    await names.start();
    expect(names.serviceFacts()).toEqual({ nameservers: ['10.32.0.1'], search: ['cluster.example'] });
    await names.stop();
    expect(names.serviceFacts()).toBeNull();
  });

  test('with --no-dns nothing is served, and names are still known', async () => {
    const { names, attach } = setUp({ enabled: false });
    await names.start();
    attach('web');
    expect(names.serviceFacts()).toBeNull();
    expect(names.status()).toMatchObject({ state: 'off', fault: null });
    expect(names.lookup('web')).toEqual(['10.32.0.5']);
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
