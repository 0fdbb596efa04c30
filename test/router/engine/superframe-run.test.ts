// Which TCP segments go to the port as one superframe (SegmentRun in native/engine/segments.h): those of one superframe of the
// sender, and, over IPv4 where the kernel takes it, superframes of one flow that arrive together. Cut again by the kernel, they
// are what they were, but for a push in the middle, which says nothing about the bytes behind it (RFC 9293, 3.9.1).

import { describe, expect, it } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import { ethernet, ipv4, ipv6, type Link } from '../frames.ts';
import { askEngine, hex } from './engine-check.ts';

const LINK: Link = { from: '02:00:00:00:00:01' as Mac, to: '02:00:00:00:00:02' as Mac };
const TCP = 6;
const ACK = 0x10;
const PUSH = 0x08;
const FIN = 0x01;
const CWR = 0x80;
const ECE = 0x40;
/** Ethernet, IPv4 and TCP. */
const HEADERS = 54;
const HEADERS6 = 74;
const SEGMENT = 1000;
/** Three superframes: what the daemon says where the kernel takes them. */
const JOINED = 3 * 65_535;
const SEPARATE = 65_535;

interface Superframe {
  /** Bytes of each segment. */
  readonly lengths?: readonly number[];
  /** Of the last segment, or of the first one. */
  readonly lastFlags?: number;
  readonly firstFlags?: number;
  /** Bytes and identifications that are missing before it. */
  readonly gap?: number;
  readonly identificationGap?: number;
  readonly window?: number;
  /** Segments that did not arrive. */
  readonly lost?: readonly number[];
  readonly family?: 4 | 6;
}

/** `lengths` of the sender's segments with PSH on the last, as Linux sends them. */
const PUSHED: Superframe = { lengths: [SEGMENT, SEGMENT], lastFlags: PUSH };

function tcp({ sequence, flags, window, bytes }: Readonly<Record<string, number>>): Uint8Array {
  const segment = Buffer.alloc(20 + bytes!, sequence! % 251);
  segment.fill(0, 0, 20);
  segment.writeUInt16BE(5001, 0);
  segment.writeUInt16BE(40_000, 2);
  segment.writeUInt32BE(sequence!, 4);
  segment.writeUInt8(5 << 4, 12);
  segment.writeUInt8(flags!, 13);
  segment.writeUInt16BE(window!, 14);
  return segment;
}

/** One line's words for the engine: `superframe:index:count:header length:frame`. */
function words(superframes: readonly Superframe[]): readonly string[] {
  let sequence = 7;
  let identification = 0xfffe;
  return superframes.flatMap((superframe, number) => {
    const { lengths = [SEGMENT, SEGMENT], lastFlags = 0, firstFlags = 0, family = 4, lost = [] } = superframe;
    sequence += superframe.gap ?? 0;
    identification += superframe.identificationGap ?? 0;
    const all = lengths.map((bytes, index) => {
      const flags = ACK | (index === 0 ? firstFlags : 0) | (index === lengths.length - 1 ? lastFlags : 0);
      const payload = tcp({ sequence, flags, window: superframe.window ?? 64, bytes });
      const packet =
        family === 4
          ? ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: TCP }, payload)
          : ipv6({ from: 'fd00::a', to: 'fd00::b', next: TCP }, payload);
      const frame = Buffer.from(ethernet(LINK, family === 4 ? 0x0800 : 0x86dd, packet));
      if (family === 4) frame.writeUInt16BE(identification++ % 65_536, 18);
      sequence += bytes;
      return `${number + 1}:${index}:${lengths.length}:${family === 4 ? HEADERS : HEADERS6}:${hex(frame)}`;
    });
    return all.filter((_, index) => !lost.includes(index));
  });
}

interface Run {
  readonly count: number;
  readonly gsoBytes: number;
  readonly bytes: Buffer;
}

function runsOf(superframes: readonly Superframe[], bytesMax = JOINED): readonly Run[] {
  const [answer] = askEngine([`segments ${bytesMax} ${words(superframes).join(' ')}`]);
  return answer!
    .trim()
    .split(' ')
    .map((text) => {
      const [count, gsoBytes, bytes] = text.split(':');
      return { count: Number(count), gsoBytes: Number(gsoBytes), bytes: Buffer.from(bytes!, 'hex') };
    });
}

const counts = (superframes: readonly Superframe[], bytesMax?: number): readonly number[] =>
  runsOf(superframes, bytesMax).map(({ count }) => count);

const full = (segments: number): Superframe => ({ lengths: new Array(segments).fill(SEGMENT), lastFlags: PUSH });

describe('superframes of one TCP flow', () => {
  it('become one, with a length of 0 once IPv4 has no field for it', () => {
    const [run, ...others] = runsOf([full(60), full(60)]);
    expect(others).toEqual([]);
    expect(run).toMatchObject({ count: 120, gsoBytes: SEGMENT });
    expect(run!.bytes.length).toBe(HEADERS + 120 * SEGMENT);
    expect(run!.bytes.readUInt16BE(16)).toBe(0);
    expect(run!.bytes.readUInt8(HEADERS - 20 + 13)).toBe(ACK | PUSH);
  });

  it('have the length in its field as long as it fits', () => {
    const [run] = runsOf([full(2), full(2)]);
    expect(run!.bytes.readUInt16BE(16)).toBe(40 + 4 * SEGMENT);
  });

  it.each([
    { name: 'each pushed, as Linux does', frames: [PUSHED, PUSHED, PUSHED], expected: [6] },
    { name: 'none pushed', frames: [{}, {}], expected: [4] },
    { name: 'the last one ends short', frames: [{}, { lengths: [SEGMENT, 400] }, {}], expected: [4, 2] },
    { name: 'one that ends short is the last', frames: [{ lengths: [SEGMENT, 400] }, {}], expected: [2, 2] },
    { name: 'a longer segment begins anew', frames: [{ lengths: [400, 400] }, {}], expected: [2, 2] },
    { name: 'bytes are missing between', frames: [PUSHED, { gap: 1 }], expected: [2, 2] },
    { name: 'an identification out of turn', frames: [PUSHED, { identificationGap: 1 }], expected: [2, 2] },
    { name: 'another window', frames: [PUSHED, { window: 65 }], expected: [2, 2] },
    { name: 'a congestion echo', frames: [PUSHED, { firstFlags: ECE }], expected: [2, 1, 1] },
    { name: 'CWR begins a run', frames: [PUSHED, { firstFlags: CWR }], expected: [2, 2] },
    { name: 'nothing follows FIN', frames: [{ lastFlags: FIN }, {}], expected: [2, 2] },
    { name: 'FIN may be the last', frames: [PUSHED, { lastFlags: FIN }], expected: [4] },
    { name: 'the end of one was lost', frames: [{ ...PUSHED, lost: [1] }, PUSHED], expected: [1, 2] },
    { name: 'the beginning of the next was lost', frames: [PUSHED, { ...PUSHED, lost: [0] }], expected: [2, 1] },
    { name: 'three of 64 KiB', frames: [full(65), full(65), full(65)], expected: [195] },
    { name: 'no more than the kernel takes', frames: [full(65), full(65), full(65), full(2)], expected: [196, 1] },
    {
      name: 'no more than a write gathers',
      frames: [1, 2, 3].map(() => ({ lengths: new Array(100).fill(600) })),
      expected: [255, 45],
    },
    {
      name: 'IPv6 has no length of 0 without an extension header',
      frames: [PUSHED, PUSHED].map((superframe) => ({ ...superframe, family: 6 as const })),
      expected: [2, 2],
    },
  ])('$name', ({ frames, expected }) => {
    expect(counts(frames)).toEqual(expected);
  });

  it('stay apart where the kernel takes no more than the length field says', () => {
    expect(counts([PUSHED, PUSHED], SEPARATE)).toEqual([2, 2]);
  });
});
