import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { checkLaunchFlags, type LaunchFlags, type LaunchOptions } from '../../src/daemon/launch-options.ts';
import { wantsVxlan } from '../../src/daemon/open-vxlan.ts';
import {
  loadSettings,
  mergeSettings,
  refuseContradictoryFlags,
  type Settings,
  saveSettings,
} from '../../src/daemon/settings.ts';
import { MemoryStore } from '../fakes/memory-store.ts';

const check = (flags: Partial<LaunchFlags> = {}, token: string | null = null): LaunchOptions =>
  checkLaunchFlags({ stateDir: '/s', runDir: '/r', ...flags }, token);

test('no flags: everything is left to the state directory or the defaults', () => {
  expect(check()).toEqual({
    joins: [],
    token: null,
    init: false,
    range: null,
    range6: null,
    leasePrefix: null,
    nickname: null,
    listen: null,
    advertise: [],
    port: null,
    bridge: null,
    mtu: null,
    datapath: null,
    trustedSubnets: null,
    dns: { enabled: null, domain: null, upstreams: null, order: null },
    docker: null,
    http: null,
    stateDir: '/s',
    runDir: '/r',
    logLevel: 'info',
  });
});

test('every flag arrives in its checked form', () => {
  const flags: Partial<LaunchFlags> = {
    join: ['192.0.2.1', 'host.example:7000', '[2001:db8::1]:7000', '2001:db8::2'],
    range: '10.64.0.0/10',
    range6: 'fd12:3456:789a::/48',
    leasePrefix: '26',
    nickname: 'web-1',
    listen: '192.0.2.9',
    advertise: ['203.0.113.7', '2001:DB8:0::7'],
    port: '7000',
    bridge: 'br-lab',
    mtu: '1400',
    datapath: 'auto',
    logLevel: 'debug',
  };
  expect(check(flags, 'fabric1-abc')).toMatchObject({
    joins: [
      { host: '192.0.2.1', port: 6783 },
      { host: 'host.example', port: 7000 },
      { host: '2001:db8::1', port: 7000 },
      { host: '2001:db8::2', port: 6783 },
    ],
    token: 'fabric1-abc',
    range: parseCidr('10.64.0.0/10'),
    range6: parseCidr('fd12:3456:789a::/48'),
    leasePrefix: 26,
    nickname: 'web-1',
    listen: '192.0.2.9',
    advertise: ['203.0.113.7', '2001:db8::7'],
    port: 7000,
    bridge: 'br-lab',
    mtu: 1400,
    logLevel: 'debug',
  });
  expect(check({ range6: 'off' }).range6).toBe('off');
});

describe('wrong flags are usage errors that quote them', () => {
  test.each<[string, Partial<LaunchFlags>, RegExp]>([
    ['a host that is none', { join: ['192.0.2.1:99999'] }, /--join 192\.0\.2\.1:99999/],
    ['a host with a path', { join: ['http://x/'] }, /--join http/],
    ['first host and joiner at once', { init: true, join: ['192.0.2.1'] }, /--init and --join/],
    ['a datapath that nobody makes', { datapath: 'magic' }, /--datapath magic/],
    ['a range that is no block', { range: '10.32.0.0' }, /--range 10\.32\.0\.0 is no CIDR/],
    ['host bits in the range', { range: '10.32.0.1/12' }, /--range 10\.32\.0\.1\/12/],
    ['IPv6 for --range', { range: 'fd00::/48' }, /not IPv4/],
    ['too small a range', { range: '10.0.0.0/30' }, /between \/4 and \/29/],
    ['too large a range', { range: '0.0.0.0/0' }, /between \/4 and \/29/],
    ['IPv4 for --range6', { range6: '10.0.0.0/8' }, /--range6 10\.0\.0\.0\/8 is no IPv6/],
    ['too small a range6', { range6: 'fd00::/124' }, /between \/16 and \/120/],
    ['a prefix that is no number', { leasePrefix: '24x' }, /--lease-prefix 24x/],
    ['a prefix out of bounds', { leasePrefix: '31' }, /from 8 to 30/],
    ['a nickname with a space', { nickname: 'a b' }, /--nickname "a b"/],
    ['a nickname that moves the cursor', { nickname: 'a\u001b[2J' }, /--nickname/],
    ['a name for --listen', { listen: 'eth0' }, /--listen eth0/],
    ['a name for --advertise', { advertise: ['host'] }, /--advertise host/],
    ['port zero', { port: '0' }, /--port 0/],
    ['a negative port', { port: '-1' }, /--port -1/],
    ['an empty port', { port: '' }, /--port {2}is not a number/],
    ['a bridge name that is too long', { bridge: 'abcdefghijklmn' }, /--bridge/],
    ['a bridge name with a slash', { bridge: 'a/b' }, /--bridge a\/b/],
    ['an MTU below that of IPv6', { mtu: '1279' }, /from 1280/],
    [
      'a trusted address without prefix',
      { trustedSubnets: '192.0.2.1' },
      /--trusted-subnets "192\.0\.2\.1" is no CIDR/,
    ],
    ['host bits in a trusted subnet', { trustedSubnets: '10.0.0.0/8,192.0.2.1/24' }, /"192\.0\.2\.1\/24" is no CIDR/],
    ['an empty trusted subnet', { trustedSubnets: '10.0.0.0/8,' }, /--trusted-subnets "" is no CIDR/],
    ['the whole internet as trusted', { trustedSubnets: '0.0.0.0/0' }, /trusts everybody/],
    ['too many trusted subnets', { trustedSubnets: Array(65).fill('10.0.0.0/8').join() }, /more than 64 blocks/],
    ['a domain that is none', { dnsDomain: 'a b' }, /--dns-domain "a b"/],
    ['a domain of reverse names', { dnsDomain: '10.in-addr.arpa' }, /can't be the domain/],
    ['a domain that leaves no room', { dnsDomain: `${'x'.repeat(60)}.${'y'.repeat(60)}` }, /can't be the domain/],
    ['an upstream that is no address', { dnsUpstream: ['dns.example'] }, /no address of a name server/],
    ["'host' beside an address", { dnsUpstream: ['192.0.2.1', 'host'] }, /no address of a name server/],
    ['too many upstreams', { dnsUpstream: Array(9).fill('192.0.2.1') }, /more than 8 times/],
    ['an unknown order', { dnsOrder: 'random' }, /--dns-order random/],
    ['an unknown log level', { logLevel: 'loud' }, /--log-level loud/],
  ])('%s', (_name, flags, message) => {
    expect(() => check(flags)).toThrow(message);
    expect(() => check(flags)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test.each(['auto', 'pcap', 'engine', 'vxlan'])('--datapath %s is taken', (datapath) => {
    expect(check({ datapath }).datapath).toBe(datapath);
  });
});

describe('names', () => {
  test('flags are read, remembered, replaced and taken back', () => {
    const flags = {
      dns: false,
      dnsDomain: 'Example.test.',
      dnsUpstream: ['[2001:DB8::1]:5353', '192.0.2.1'],
      dnsOrder: 'nearest',
    };
    const first = mergeSettings(check(flags), null, 'myhost');
    const upstreams = [
      { ip: '2001:db8::1', port: 5353 },
      { ip: '192.0.2.1', port: 53 },
    ];
    expect(first.dns).toEqual({ enabled: false, domain: 'example.test', upstreams, order: 'nearest' });
    expect(mergeSettings(check(), first, 'myhost').dns).toEqual(first.dns);
    const back = { dns: true, dnsDomain: 'fabric.internal', dnsUpstream: ['host'], dnsOrder: 'rotate' };
    expect(mergeSettings(check(back), first, 'myhost').dns).toEqual(mergeSettings(check(), null, 'myhost').dns);
  });

  test('a state of before there were names has the defaults', () => {
    const { dns: _dns, ...old } = mergeSettings(check(), null, 'myhost');
    expect(mergeSettings(check(), old as Settings, 'myhost').dns).toMatchObject({
      enabled: true,
      domain: 'fabric.internal',
    });
  });
});

describe('settings', () => {
  test('defaults, when nothing was given and nothing is remembered', () => {
    expect(mergeSettings(check(), null, 'myhost')).toEqual({
      nickname: 'myhost',
      listen: null,
      advertise: [],
      port: 6783,
      bridge: 'fabric0',
      datapath: 'auto',
      trustedSubnets: [],
      dns: { enabled: true, domain: 'fabric.internal', upstreams: null, order: 'rotate' },
      http: { ip: '127.0.0.1', port: 6784 },
      exposed: true,
      docker: false,
      targets: [],
    });
  });

  test('what was remembered holds without flags, and flags replace it', () => {
    const store = new MemoryStore();
    expect(loadSettings(store)).toBeNull();
    const first = mergeSettings(
      check({ join: ['192.0.2.1'], nickname: 'a', port: '7000', advertise: ['203.0.113.7'] }),
      null,
      'myhost',
    );
    saveSettings(store, { ...first, exposed: false });
    const again = mergeSettings(check(), loadSettings(new MemoryStore(store.snapshot())), 'renamed');
    expect(again).toEqual({ ...first, exposed: false });
    const changed = mergeSettings(check({ nickname: 'b', advertise: ['203.0.113.8'] }), again, 'renamed');
    expect(changed).toMatchObject({ nickname: 'b', advertise: ['203.0.113.8'], port: 7000, exposed: false });
  });

  test('trusted subnets are remembered, replaced as a whole, and taken back by off', () => {
    const first = mergeSettings(check({ trustedSubnets: '192.0.2.0/24, 2001:DB8::/32', datapath: 'vxlan' }), null, 'h');
    expect(first.trustedSubnets).toEqual(['192.0.2.0/24', '2001:db8::/32']);
    expect(mergeSettings(check(), first, 'h')).toEqual(first);
    expect(mergeSettings(check({ trustedSubnets: '10.0.0.0/8' }), first, 'h').trustedSubnets).toEqual(['10.0.0.0/8']);
    expect(mergeSettings(check({ trustedSubnets: 'off' }), first, 'h').trustedSubnets).toEqual([]);
  });

  test.each<[Partial<LaunchFlags>, boolean, boolean]>([
    [{}, false, false],
    [{ trustedSubnets: '10.0.0.0/8' }, true, false],
    [{ trustedSubnets: '10.0.0.0/8', datapath: 'vxlan' }, true, false],
    [{ trustedSubnets: '10.0.0.0/8', datapath: 'engine' }, false, false],
    [{ trustedSubnets: '10.0.0.0/8', datapath: 'pcap' }, false, false],
    [{ datapath: 'vxlan' }, false, true],
    [{ datapath: 'vxlan', trustedSubnets: 'off' }, false, true],
  ])('%j: plain frames %s, refused %s', (flags, plain, refused) => {
    const settings = mergeSettings(check(flags), null, 'h');
    expect(wantsVxlan(settings)).toBe(plain);
    const told = expect(() => refuseContradictoryFlags(settings));
    if (refused) told.toThrow(expect.objectContaining({ code: 'usage' }));
    else told.not.toThrow();
  });

  test('settings of a version without trusted subnets are read', () => {
    const store = new MemoryStore();
    const { trustedSubnets: _, ...older } = mergeSettings(check(), null, 'h');
    saveSettings(store, older as Settings);
    expect(mergeSettings(check(), loadSettings(store), 'h').trustedSubnets).toEqual([]);
  });

  test('targets add up, each once; the port is part of them', () => {
    const first = mergeSettings(check({ join: ['192.0.2.1', '192.0.2.2'] }), null, 'h');
    const second = mergeSettings(check({ join: ['192.0.2.2', '192.0.2.2:7000'] }), first, 'h');
    expect(second.targets.map(({ host, port }) => `${host}:${port}`)).toEqual([
      '192.0.2.1:6783',
      '192.0.2.2:6783',
      '192.0.2.2:7000',
    ]);
  });
});
