import { describe, expect, test } from 'vitest';
import { captureTarget } from '../../src/cli/capture-target.ts';
import type { Status } from '../../src/daemon/status-types.ts';

const PEER = 'bb'.repeat(16);
const route = (mac: string, peer = PEER): Status['routes'][number] => ({
  network: 'fabric',
  mac,
  ips: [],
  peer,
  local: false,
  sequence: 0,
  state: 'active',
  reason: null,
});
const attachment = (
  name: string,
  change: Partial<Status['attachments'][number]> = {},
): Status['attachments'][number] => ({
  network: 'fabric',
  containerId: `id-of-${name}`,
  ifname: 'eth0',
  mac: '02:00:00:00:00:0a',
  ips: ['10.32.0.3/12', 'fd00::3/48'],
  name,
  hostIfname: `fab-${name}`,
  state: 'attached',
  owner: 'cli',
  namespacePath: '/run/netns/x',
  namespaceId: '4:1',
  ...change,
});
const peer = (nickname: string, id = PEER): Status['peers'][number] => ({
  id,
  nickname,
  endpoint: null,
  state: 'alive',
  lastSeenMs: 1,
});
const network = (name: string, change: Partial<Status['networks'][number]> = {}): Status['networks'][number] => ({
  name,
  id: 1,
  range: '10.32.0.0/12',
  range6: null,
  gateway: '10.32.0.1',
  domain: null,
  bridge: `bridge-${name}`,
  internal: false,
  state: 'active',
  up: true,
  hosts: [],
  creator: null,
  ...change,
});
const status = {
  networks: [network('fabric'), network('blue'), network('red', { up: false })],
  peers: [peer('two'), peer('empty', 'ee'.repeat(16))],
  attachments: [attachment('web')],
  routes: [route('02:00:00:00:00:01'), route('02:00:00:00:00:02'), route('02:00:00:00:00:03', 'cc'.repeat(16))],
};
const ofTwo = 'ether host 02:00:00:00:00:01 or ether host 02:00:00:00:00:02';

describe('what is captured', () => {
  test.each([
    ['nothing said', [], null, ''],
    ['a filter in words', ['icmp', 'and', 'host', '10.32.0.3'], null, 'icmp and host 10.32.0.3'],
    ['a filter in one', ['tcp port 80'], null, 'tcp port 80'],
    ['a container by name', ['web'], 'fab-web', ''],
    ['by its id’s beginning', ['id-of-w', 'arp'], 'fab-web', 'arp'],
    ['by address', ['10.32.0.3', 'udp'], 'fab-web', 'udp'],
    ['by IPv6 address', ['fd00::3'], 'fab-web', ''],
    ['by MAC', ['02:00:00:00:00:0A'], 'fab-web', ''],
    ['a peer', ['two'], null, ofTwo],
    ['a peer by its id’s beginning, with a filter', ['bbbbbb', 'arp or icmp'], null, `(${ofTwo}) and (arp or icmp)`],
  ])('%s', (_, words, hostIfname, filter) => {
    expect(captureTarget(words, status, null)).toMatchObject({ hostIfname, filter });
  });

  test.each([
    [
      'two containers of one name',
      ['web'],
      { ...status, attachments: [attachment('web'), attachment('web')] },
      'usage',
    ],
    ['a peer without MACs', ['empty'], status, 'usage'],
    [
      'a peer with more MACs than a filter takes',
      ['two'],
      {
        ...status,
        routes: Array.from({ length: 257 }, (_, i) =>
          route(`02:00:00:00:01:${(i & 255).toString(16).padStart(2, '0')}`),
        ),
      },
      'limit',
    ],
  ])('%s is refused', (_, words, now, code) => {
    expect(() => captureTarget(words, now, null)).toThrow(expect.objectContaining({ code }));
  });

  describe('on a named network', () => {
    const both = {
      ...status,
      attachments: [attachment('web'), attachment('web', { network: 'blue', hostIfname: 'fab-blue' })],
      routes: [...status.routes, { ...route('02:00:00:00:00:09'), network: 'blue' }],
    };

    test.each([
      ['nothing said', [], { hostIfname: null, bridge: 'bridge-blue', filter: '' }],
      ['a container there', ['web', 'arp'], { hostIfname: 'fab-blue', filter: 'arp' }],
      ['a peer', ['two'], { hostIfname: null, bridge: 'bridge-blue', filter: 'ether host 02:00:00:00:00:09' }],
    ])('%s', (_, words, expected) => {
      expect(captureTarget(words, both, 'blue')).toMatchObject(expected);
    });

    test('without its name it is the default one, and a container of any', () => {
      expect(captureTarget(['two'], both, null)).toMatchObject({ bridge: 'bridge-fabric', filter: ofTwo });
      const there = { ...both, attachments: [attachment('db', { network: 'blue', hostIfname: 'fab-blue' })] };
      expect(captureTarget(['db'], there, null)).toMatchObject({ hostIfname: 'fab-blue' });
    });

    test.each([
      ['that is not there', 'green', 'network-unknown'],
      ['in which this host has nothing', 'red', 'network-unknown'],
    ])('%s is refused', (_, name, code) => {
      expect(() => captureTarget([], both, name)).toThrow(expect.objectContaining({ code }));
    });

    test('before this host is a member there is nothing', () => {
      expect(() => captureTarget([], { ...status, networks: [] }, null)).toThrow(
        expect.objectContaining({ code: 'daemon-unreachable' }),
      );
    });
  });
});
