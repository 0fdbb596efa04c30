import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { checkLaunchFlags, type LaunchFlags, type LaunchOptions } from '../../src/daemon/launch-options.ts';
import { loadSettings, mergeSettings, saveSettings } from '../../src/daemon/settings.ts';
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
    ['an unknown log level', { logLevel: 'loud' }, /--log-level loud/],
  ])('%s', (_name, flags, message) => {
    expect(() => check(flags)).toThrow(message);
    expect(() => check(flags)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test('--datapath vxlan is not there yet', () => {
    expect(() => check({ datapath: 'vxlan' })).toThrow(expect.objectContaining({ code: 'not-implemented' }));
  });

  test.each(['auto', 'pcap', 'engine'])('--datapath %s is taken', (datapath) => {
    expect(check({ datapath }).datapath).toBe(datapath);
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
      exposed: true,
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
