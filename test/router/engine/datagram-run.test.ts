// Which UDP datagrams that arrive together go to the port as one superframe (SegmentRun in native/engine/segments.h): those
// that the kernel, cutting it again, makes anew. The rules are those of Linux's generic receive offload for UDP.

import { describe, expect, it } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import { ethernet, type Link, udp4, udp6 } from '../frames.ts';
import { askEngine, hex } from './engine-check.ts';

const LINK: Link = { from: '02:00:00:00:00:01' as Mac, to: '02:00:00:00:00:02' as Mac };
/** Of IPv4 in Ethernet. */
const OFFSETS = { tos: 15, identification: 18, fragment: 20, ttl: 22, source: 26, port: 34, udpLength: 38 };

interface Run {
  readonly count: number;
  readonly gsoBytes: number;
  readonly bytes: Buffer;
}

function runsOf(frames: readonly Uint8Array[]): readonly Run[] {
  const [answer] = askEngine([`datagrams ${frames.map(hex).join(' ')}`]);
  return answer!
    .trim()
    .split(' ')
    .map((text) => {
      const [count, gsoBytes, bytes] = text.split(':');
      return { count: Number(count), gsoBytes: Number(gsoBytes), bytes: Buffer.from(bytes!, 'hex') };
    });
}

/** Datagrams of one flow with payloads of these lengths, all of one byte that counts up; the identification counts up, too. */
function flow(lengths: readonly number[]): Buffer[] {
  return lengths.map((length, i) => {
    const frame = Buffer.from(udp4(LINK, '10.0.0.1', '10.0.0.2', new Uint8Array(length).fill(i + 1)));
    frame.writeUInt16BE((0xfffe + i) % 65_536, OFFSETS.identification);
    return frame;
  });
}

function flow6(lengths: readonly number[]): Buffer[] {
  return lengths.map((length) => Buffer.from(udp6(LINK, 'fd00::a', 'fd00::b', 'x'.repeat(length))));
}

/** The second of three is changed: nothing but the first may stand before it, nothing joins it that differs from it. */
function changed(offset: number, value: number): Buffer[] {
  const frames = flow([100, 100, 100]);
  frames[1]![offset] = value;
  return frames;
}

const counts = (frames: readonly Uint8Array[]): readonly number[] => runsOf(frames).map(({ count }) => count);

describe('datagrams of one flow', () => {
  it('become one superframe with lengths and a checksum that fit it', () => {
    const frames = flow([100, 100, 40]);
    const [run, ...others] = runsOf(frames);
    expect(others).toEqual([]);
    expect(run!.gsoBytes).toBe(100);
    expect(run!.bytes.length).toBe(42 + 240);
    expect(run!.bytes.readUInt16BE(16)).toBe(28 + 240);
    expect(run!.bytes.readUInt16BE(OFFSETS.udpLength)).toBe(8 + 240);
    expect(run!.bytes.readUInt16BE(OFFSETS.identification)).toBe(0xfffe);
    expect(run!.bytes.subarray(42)).toEqual(Buffer.concat(frames.map((frame) => frame.subarray(42))));
    // The pseudo-header's sum: addresses, protocol 17, length 248.
    expect(run!.bytes.readUInt16BE(40)).toBe(0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 248);
  });

  it('are the same over IPv6', () => {
    const [run, ...others] = runsOf(flow6([100, 100, 40]));
    expect(others).toEqual([]);
    expect(run).toMatchObject({ count: 3, gsoBytes: 100 });
    expect(run!.bytes.readUInt16BE(18)).toBe(8 + 240);
  });

  it('stay what they are when alone', () => {
    const [frame] = flow([100]);
    const [run] = runsOf([frame!]);
    expect(run).toMatchObject({ count: 1, gsoBytes: 0 });
    expect(run!.bytes.subarray(42)).toEqual(frame!.subarray(42));
  });

  it.each([
    { name: 'equal lengths', frames: flow([100, 100, 100]), expected: [3] },
    { name: 'a shorter one is the last', frames: flow([100, 60, 60]), expected: [2, 1] },
    { name: 'a longer one begins anew', frames: flow([60, 100, 100]), expected: [1, 2] },
    {
      name: 'an identification out of turn, fragments forbidden',
      frames: changed(OFFSETS.identification, 9),
      expected: [1, 1, 1],
    },
    { name: 'another type of service or congestion mark', frames: changed(OFFSETS.tos, 3), expected: [1, 1, 1] },
    { name: 'another time to live', frames: changed(OFFSETS.ttl, 63), expected: [1, 1, 1] },
    { name: 'another source', frames: changed(OFFSETS.source, 11), expected: [1, 1, 1] },
    { name: 'another port', frames: changed(OFFSETS.port, 99), expected: [1, 1, 1] },
    { name: 'another destination MAC', frames: changed(5, 3), expected: [1, 1, 1] },
    { name: 'another source MAC', frames: changed(11, 3), expected: [1, 1, 1] },
    { name: 'a fragment goes alone', frames: changed(OFFSETS.fragment, 0x20), expected: [1, 0, 1] },
    { name: 'a UDP length that is not the packet’s', frames: changed(OFFSETS.udpLength, 1), expected: [1, 0, 1] },
    { name: '64 at most', frames: flow(Array.from({ length: 70 }, () => 10)), expected: [64, 6] },
    { name: 'below 64 KiB', frames: flow(Array.from({ length: 50 }, () => 1390)), expected: [47, 3] },
    { name: 'no payload', frames: flow([0, 0]), expected: [0, 0] },
    {
      name: 'behind a VLAN tag',
      frames: [1, 2].map(() => udp4({ ...LINK, tags: [5] }, '10.0.0.1', '10.0.0.2', 'abc')),
      expected: [2],
    },
    { name: 'not IP at all', frames: [ethernet(LINK, 0x0806, new Uint8Array(28))], expected: [0] },
    {
      name: 'Ethernet padding',
      frames: flow([4, 4]).map((frame) => Buffer.concat([frame, Buffer.alloc(14)])),
      expected: [0, 0],
    },
  ])('$name', ({ frames, expected }) => {
    expect(counts(frames)).toEqual(expected);
  });

  it('may all have one identification where fragments are forbidden, and only there', () => {
    const same = flow([100, 100, 100]);
    for (const frame of same) frame.writeUInt16BE(0, OFFSETS.identification);
    expect(counts(same)).toEqual([3]);
    for (const frame of same) frame[OFFSETS.fragment] = 0;
    expect(counts(same)).toEqual([1, 1, 1]);
  });
});
