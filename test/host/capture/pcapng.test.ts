import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CapturedFrame,
  interfaceDescription,
  interfaceStatistics,
  packetBytes,
  sectionHeader,
  writePacket,
} from '../../../src/host/capture/pcapng.ts';

const SNAP = { snapBytes: 65_535, filter: 'icmp or arp' };
const PING = Buffer.from(
  '0200000000020200000000010800450000541234400040010000c0000201c00002020800f7ff00000000'.padEnd(196, '0'),
  'hex',
);

function packet(frame: CapturedFrame): Buffer {
  const target = Buffer.alloc(packetBytes(frame.bytes.length) + 8, 0xee);
  expect(writePacket(target, 4, frame)).toBe(target.length - 4);
  expect([target.readUInt32LE(0), target.readUInt32LE(target.length - 4)]).toEqual([0xeeeeeeee, 0xeeeeeeee]);
  return target.subarray(4, -4);
}

/** A strict reader of blocks: lengths agree at both ends, are multiples of four, and leave nothing over. */
function blocks(bytes: Buffer): { readonly type: number; readonly body: Buffer }[] {
  const found: { type: number; body: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(bytes.readUInt32LE(at + length - 4)).toBe(length);
    found.push({ type: bytes.readUInt32LE(at), body: bytes.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return found;
}

const time = { seconds: 1_893_456_000, microseconds: 123_456 };

describe('a pcapng stream', () => {
  test('has the bytes of the draft', () => {
    expect(sectionHeader('x').toString('hex')).toBe(
      [
        '0a0d0d0a',
        '28000000',
        '4d3c2b1a',
        '01000000',
        'ffffffffffffffff',
        '0400010078000000',
        '00000000',
        '28000000',
      ].join(''),
    );
    expect(interfaceDescription('fab0', { snapBytes: 96, filter: '' }).toString('hex')).toBe(
      ['01000000', '20000000', '0100', '0000', '60000000', '0200040066616230', '00000000', '20000000'].join(''),
    );
    const micros = (1_893_456_000n * 1_000_000n + 123_456n).toString(16).padStart(16, '0');
    const le = (hex: string) => Buffer.from(hex, 'hex').reverse().toString('hex');
    expect(
      packet({ interfaceId: 1, ...time, bytes: Buffer.from('aabbcc', 'hex'), wireBytes: 60 }).toString('hex'),
    ).toBe(
      [
        '06000000',
        '24000000',
        '01000000',
        le(micros.slice(0, 8)),
        le(micros.slice(8)),
        '03000000',
        '3c000000',
        'aabbcc00',
        '24000000',
      ].join(''),
    );
  });

  test('of any frames is blocks without gaps, and gives the frames back', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }), (frames) => {
        const stream = Buffer.concat([
          sectionHeader('fabric capture'),
          interfaceDescription('fabric0p', SNAP),
          ...frames.map((bytes) => packet({ interfaceId: 0, ...time, bytes, wireBytes: bytes.length })),
          interfaceStatistics({ interfaceId: 0, ...time, received: frames.length, dropped: 1, delivered: 2 }),
        ]);
        const read = blocks(stream);
        expect(read.map(({ type }) => type)).toEqual([0x0a0d0d0a, 1, ...frames.map(() => 6), 5]);
        const bodies = read.slice(2, -1).map(({ body }) => body.subarray(20, 20 + body.readUInt32LE(12)));
        expect(bodies.map((body) => [...body])).toEqual(frames.map((bytes) => [...bytes]));
      }),
    );
  });

  test.skipIf(!existsSync('/usr/bin/tcpdump'))('is read by tcpdump', () => {
    const stream = Buffer.concat([
      sectionHeader('fabric capture'),
      interfaceDescription('fabric0p', SNAP),
      packet({ interfaceId: 0, ...time, bytes: PING, wireBytes: PING.length }),
      packet({ interfaceId: 0, ...time, bytes: PING.subarray(0, 40), wireBytes: PING.length }),
      interfaceStatistics({ interfaceId: 0, ...time, received: 2, dropped: 0, delivered: 2 }),
    ]);
    const said = execFileSync('tcpdump', ['-n', '-tt', '-r', '-'], { input: stream, encoding: 'utf8', stdio: 'pipe' });
    const lines = said.trim().split('\n');
    expect(lines.length).toBe(2);
    expect(lines[0]).toMatch(/^1893456000\.123456 IP 192\.0\.2\.1 > 192\.0\.2\.2: ICMP echo request/);
  });
});
