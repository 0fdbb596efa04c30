import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/base/bytes.ts';
import type { Mac } from '../../../src/base/ids.ts';
import { linkLocalOf } from '../../../src/base/link-local.ts';
import { elementChanges, elementText, portElements } from '../../../src/host/linux/anti-spoof.ts';

const MAC = '02:00:00:00:00:05' as Mac;
const PORT = { hostIfname: 'fbc1', mac: MAC, ips: ['10.32.0.5', 'fd00:1::5'] };

describe('elements of a port', () => {
  it('allows its addresses with its MAC, and its link-local address', () => {
    expect(portElements(PORT).map((element) => `${element.set}: ${elementText(element)}`)).toEqual([
      'ports: "fbc1"',
      `owned_macs: ${MAC}`,
      `source_macs: "fbc1" . ${MAC}`,
      `source_ips: "fbc1" . ${MAC} . 10.32.0.5`,
      `source_ip6s: "fbc1" . ${MAC} . fd00:1::5`,
      `neighbour_targets: "fbc1" . ${MAC} . 0xfd000001000000000000000000000005`,
      `source_ip6s: "fbc1" . ${MAC} . fe80::ff:fe00:5`,
      `neighbour_targets: "fbc1" . ${MAC} . 0xfe80000000000000000000fffe000005`,
    ]);
  });

  it('has each address once', () => {
    const twice = { ...PORT, ips: ['fe80::ff:fe00:5', 'fd00:1::5', 'fd00:1::5'] };
    expect(portElements(twice).filter(({ set }) => set === 'source_ip6s')).toHaveLength(2);
  });

  it('never makes nftables text of something that is no interface name', () => {
    expect(() => portElements({ ...PORT, hostIfname: 'a" }' })).toThrow(/invariant/);
  });

  it('becomes kernel keys: every field padded to four bytes', () => {
    const changes = elementChanges('add', portElements({ ...PORT, ips: ['10.32.0.5'] }));
    expect(changes.map(({ set, elements }) => [set, elements.map(toHex)])).toEqual([
      ['ports', ['66626331'.padEnd(32, '0')]],
      ['owned_macs', ['020000000005']],
      ['source_macs', [`${'66626331'.padEnd(32, '0')}0200000000050000`]],
      ['source_ips', [`${'66626331'.padEnd(32, '0')}02000000000500000a200005`]],
      ['source_ip6s', [`${'66626331'.padEnd(32, '0')}0200000000050000fe80000000000000000000fffe000005`]],
      ['neighbour_targets', [`${'66626331'.padEnd(32, '0')}0200000000050000fe80000000000000000000fffe000005`]],
    ]);
  });
});

it.each([
  ['34:56:78:9a:bc:de', 'fe80::3656:78ff:fe9a:bcde'],
  ['00:00:00:00:00:00', 'fe80::200:ff:fe00:0'],
  ['ff:ff:ff:ff:ff:ff', 'fe80::fdff:ffff:feff:ffff'],
])('the link-local address of %s is %s (RFC 4291, appendix A)', (mac, ip) => {
  expect(linkLocalOf(mac as Mac)).toBe(ip);
});
