import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { portRows } from '../../../src/host/dns/port-holder.ts';
import { parseResolvConf, ResolvConf } from '../../../src/host/dns/resolv-conf.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

describe('resolv.conf', () => {
  test.each([
    ['servers', 'nameserver 192.0.2.1\nnameserver 2001:DB8::1\n', ['192.0.2.1', '2001:db8::1']],
    ['other lines', 'search a b\n# nameserver 192.0.2.9\noptions edns0\nnameserver\t192.0.2.1 # home\n', ['192.0.2.1']],
    [
      'no more than the C library asks',
      [1, 2, 3, 4].map((n) => `nameserver 192.0.2.${n}`).join('\n'),
      ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
    ],
    ['a zone', 'nameserver fe80::1%eth0\nnameserver 192.0.2.1\n', ['192.0.2.1']],
    ['nobody', 'search a\n', ['127.0.0.1']],
  ])('%s', (_name, text, expected) => {
    expect(parseResolvConf(text)).toEqual(expected.map((ip) => ({ ip, port: 53 })));
  });

  test('is read again when it changes, and may be missing', () => {
    const path = join(temporaryDirectory(), 'resolv.conf');
    const file = new ResolvConf(path);
    expect(file.servers()).toEqual([{ ip: '127.0.0.1', port: 53 }]);
    writeFileSync(path, 'nameserver 192.0.2.1\n');
    expect(file.servers()).toEqual([{ ip: '192.0.2.1', port: 53 }]);
    writeFileSync(path, 'nameserver 192.0.2.100\n');
    expect(file.servers()).toEqual([{ ip: '192.0.2.100', port: 53 }]);
    rmSync(path);
    expect(file.servers()).toEqual([{ ip: '127.0.0.1', port: 53 }]);
  });

  test('that can not be read keeps what it said, and the reason', () => {
    const file = new ResolvConf(temporaryDirectory());
    expect(file.servers()).toEqual([{ ip: '127.0.0.1', port: 53 }]);
    expect(file.fault).toMatch(/EISDIR/);
  });
});

test('rows of the kernel with that port, as it prints them', () => {
  const udp = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
    ' 123: 0100200A:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0',
    ' 124: 00000000:0036 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0',
    '  9: 0000000000000000FFFF00000100007F:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4713 1 0',
  ].join('\n');
  expect(portRows(udp, 53)).toEqual([
    { ip: '10.32.0.1', state: '07', inode: '4711' },
    { ip: '::ffff:7f00:1', state: '0A', inode: '4713' },
  ]);
});
