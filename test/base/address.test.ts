import { describe, expect, test } from 'vitest';
import {
  cidrSubtract,
  formatCidr,
  formatIp,
  parseCidr,
  parseInterfaceAddress,
  parseIp,
} from '../../src/base/address.ts';
import { formatEndpoint, makeEndpoint, parseHostPort } from '../../src/base/endpoint.ts';

describe('addresses', () => {
  test.each([
    ['10.32.0.1', '10.32.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['fe80::', 'fe80::'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ])('%s is canonically %s', (text, canonical) => {
    expect(formatIp(parseIp(text)!)).toBe(canonical);
  });

  test.each([
    ...[
      '',
      '1.2.3',
      '1.2.3.256',
      '01.2.3.4',
      '00.2.3.4',
      '1.2.3.4.5',
      '1.2.3.',
      '.1.2.3',
      '1..2.3',
      '1.2.3.4 ',
      '+1.2.3.4',
    ],
    ...['1.2.3.1000', 'a', ':::', '1::2::3', 'fe80::1%eth0', '12345::'],
  ])('%s is refused', (text) => {
    expect(parseIp(text)).toBeNull();
  });

  test.each(['10.32.0.0/33', '10.32.0.1/12', '10.32.0.0', '/12', '10.32.0.0/12/1', 'fd00::/129', '10.32.0.0/-1'])(
    'block %s is refused',
    (text) => {
      expect(parseCidr(text)).toBeNull();
    },
  );

  test('an interface address keeps its host bits', () => {
    expect(parseInterfaceAddress('10.32.0.5/12')?.prefix).toBe(12);
  });

  test('subtracting a block leaves the aligned rest', () => {
    const rest = cidrSubtract(parseCidr('10.32.0.0/12')!, parseCidr('10.40.0.0/14')!);
    expect(rest.map(formatCidr)).toEqual(['10.32.0.0/13', '10.44.0.0/14']);
  });
});

describe('endpoints', () => {
  test.each([
    ['::ffff:192.0.2.1', '192.0.2.1:6783'],
    ['2001:db8::1', '[2001:db8::1]:6783'],
  ])('%s prints as %s', (address, text) => {
    expect(formatEndpoint(makeEndpoint(address, 6783)!)).toBe(text);
  });

  test.each([
    ['host', { host: 'host', port: 6783 }],
    ['host:1', { host: 'host', port: 1 }],
    ['[::1]:2', { host: '::1', port: 2 }],
    ['::1', { host: '::1', port: 6783 }],
    ['host:0', null],
    ['host:99999', null],
    ['a b', null],
    ['', null],
  ])('host and port of "%s"', (text, expected) => {
    expect(parseHostPort(text)).toEqual(expected);
  });
});
