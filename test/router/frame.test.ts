import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mac } from '../../src/base/ids.ts';
import { checksum16, completeChecksum } from '../../src/router/checksum.ts';
import { FrameView, macHalves } from '../../src/router/frame.ts';
import { answerTooBig } from '../../src/router/frame-too-big.ts';
import { findUpperLayer } from '../../src/router/frame-upper-layer.ts';
import { announceNeighbour, answerArp, answerSolicitation } from '../../src/router/neighbour-answer.ts';
import { readNeighbourMessage } from '../../src/router/neighbour-message.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { arp, BROADCAST, discovery, ethernet, ipv4, ipv6, referenceChecksum, u16, udp4, udp6 } from './frames.ts';

const A = '02:00:00:00:00:0a' as Mac;
const B = '02:00:00:00:00:0b' as Mac;
const LINK = { from: A, to: B };

function view(bytes: Uint8Array): FrameView {
  const frame = new FrameView();
  expect(frame.set(bytes)).toBe(true);
  return frame;
}

describe('frame view', () => {
  it('reads addresses as halves and as text', () => {
    const frame = view(udp4(LINK, '10.0.0.1', '10.0.0.2', 'x'));
    expect([frame.source, frame.destination]).toEqual([A, B]);
    expect({ high: frame.sourceHigh, low: frame.sourceLow }).toEqual(macHalves(A));
    expect({ high: frame.destinationHigh, low: frame.destinationLow }).toEqual(macHalves(B));
  });

  const rows = [
    { name: 'untagged', tags: [], type: 0x0800, l3: 14 },
    { name: 'one tag', tags: [5], type: 0x0800, l3: 18 },
    { name: 'two tags', tags: [5, 6], type: 0x0800, l3: 22 },
    { name: 'three tags: the third stays opaque', tags: [5, 6, 7], type: 0x8100, l3: 22 },
  ];
  for (const { name, tags, type, l3 } of rows) {
    it(`finds the packet: ${name}`, () => {
      const frame = view(ethernet({ ...LINK, tags }, 0x0800, new Uint8Array(20)));
      expect([frame.etherType, frame.l3Offset]).toEqual([type, l3]);
    });
  }

  it('knows group, reserved and invalid addresses', () => {
    expect(view(ethernet({ from: A, to: BROADCAST }, 0x0800, u16(0))).toGroup).toBe(true);
    expect(view(ethernet({ from: A, to: '01:80:c2:00:00:0f' as Mac }, 0x0800, u16(0))).toReservedGroup).toBe(true);
    expect(view(ethernet({ from: A, to: '01:80:c2:00:00:10' as Mac }, 0x0800, u16(0))).toReservedGroup).toBe(false);
    expect(view(ethernet({ from: BROADCAST, to: A }, 0x0800, u16(0))).sourceInvalid).toBe(true);
    expect(view(ethernet({ from: '00:00:00:00:00:00' as Mac, to: A }, 0x0800, u16(0))).sourceInvalid).toBe(true);
  });

  it('refuses a cut-off header', () => {
    const frame = new FrameView();
    expect(frame.set(new Uint8Array(13))).toBe(false);
    expect(frame.set(ethernet({ ...LINK, tags: [1] }, 0x0800, new Uint8Array(0)).subarray(0, 16))).toBe(false);
  });
});

describe('parsers', () => {
  it('never throw and never look beyond the frame, whatever the bytes', () => {
    const seeds = [
      udp4(LINK, '10.0.0.1', '10.0.0.2', 'abc'),
      arp(LINK, { operation: 1, senderMac: A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      discovery(LINK, { type: 135, from: 'fd00::a', to: 'ff02::1', target: 'fd00::b', extension: true }),
    ];
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 120 }),
      fc
        .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(90), fc.nat(255))), fc.nat(100))
        .map(([seed, edits, cut]) => {
          const copy = seed.slice(0, Math.max(0, seed.length - cut));
          for (const [at, value] of edits) if (at < copy.length) copy[at] = value;
          return copy;
        }),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        const frame = new FrameView();
        if (!frame.set(input)) return;
        const upper = findUpperLayer(frame);
        if (upper !== null) {
          expect(upper.offset).toBeLessThanOrEqual(upper.end);
          expect(upper.end).toBeLessThanOrEqual(input.length);
        }
        readNeighbourMessage(frame);
        answerTooBig(frame, 1418);
        completeChecksum(frame);
      }),
      { numRuns: 3000, seed: 3 },
    );
  });

  it('find TCP behind IPv6 extension headers, and stop at too many', () => {
    const extension = (next: number): Uint8Array => Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0);
    const chain = (count: number): Uint8Array => {
      const headers = Array.from({ length: count }, (_, i) => extension(i === count - 1 ? 6 : 60));
      const payload = new Uint8Array(count * 8 + 20);
      headers.forEach((header, i) => {
        payload.set(header, i * 8);
      });
      return ethernet(LINK, 0x86dd, ipv6({ from: 'fd00::a', to: 'fd00::b', next: 60 }, payload));
    };
    expect(findUpperLayer(view(chain(8)))).toMatchObject({ protocol: 6, offset: 14 + 40 + 64 });
    expect(findUpperLayer(view(chain(9)))).toBeNull();
  });

  const messages = [
    {
      name: 'ARP request',
      frame: arp(LINK, { operation: 1, senderMac: A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      want: { kind: 'question', target: '10.0.0.2', sender: '10.0.0.1', claim: { ip: '10.0.0.1', mac: A } },
    },
    {
      name: 'ARP probe',
      frame: arp(LINK, { operation: 1, senderMac: A, senderIp: '0.0.0.0', targetIp: '10.0.0.2' }),
      want: { kind: 'question', sender: null, claim: null },
    },
    {
      name: 'ARP reply',
      frame: arp(LINK, { operation: 2, senderMac: A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      want: { kind: 'statement', target: '10.0.0.1', claim: { ip: '10.0.0.1', mac: A } },
    },
    {
      name: 'ARP in a VLAN',
      frame: arp({ ...LINK, tags: [0] }, { operation: 2, senderMac: A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      want: { kind: 'statement' },
    },
    {
      name: 'solicitation',
      frame: discovery(LINK, {
        type: 135,
        from: 'fd00::a',
        to: 'ff02::1:ff00:b',
        target: 'fd00::b',
        option: { type: 1, mac: A },
      }),
      want: { kind: 'question', target: 'fd00::b', sender: 'fd00::a', claim: { ip: 'fd00::a', mac: A } },
    },
    {
      name: 'solicitation from ::',
      frame: discovery(LINK, { type: 135, from: '::', to: 'ff02::1:ff00:b', target: 'fd00::b' }),
      want: { kind: 'question', sender: null, claim: null },
    },
    {
      name: 'advertisement behind an extension header',
      frame: discovery(LINK, {
        type: 136,
        from: 'fd00::a',
        to: 'ff02::1',
        target: 'fd00::a',
        option: { type: 2, mac: A },
        extension: true,
      }),
      want: { kind: 'statement', claim: { ip: 'fd00::a', mac: A } },
    },
    {
      name: 'router advertisement',
      frame: discovery(LINK, { type: 134, from: 'fe80::1', to: 'ff02::1', target: '::' }),
      want: { kind: 'router' },
    },
    {
      name: 'redirect',
      frame: discovery(LINK, { type: 137, from: 'fe80::1', to: 'fd00::a', target: 'fd00::b' }),
      want: { kind: 'redirect' },
    },
  ];
  for (const { name, frame, want } of messages) {
    it(`read: ${name}`, () => {
      expect(readNeighbourMessage(view(frame))).toMatchObject(want);
    });
  }
});

describe('checksums', () => {
  it('agree with the obvious implementation', () => {
    const random = new SeededRandom(4);
    for (let run = 0; run < 500; run++) {
      const bytes = random.bytes(random.below(200));
      expect(checksum16(bytes, 0, bytes.length)).toBe(referenceChecksum(bytes));
    }
  });

  const rows = [
    { name: 'UDP over IPv4', frame: udp4(LINK, '10.0.0.1', '10.0.0.2', 'odd'), field: 14 + 20 + 6 },
    { name: 'UDP over IPv6', frame: udp6(LINK, 'fd00::a', 'fd00::b', 'even'), field: 14 + 40 + 6 },
    {
      name: 'UDP in a padded, tagged frame',
      frame: udp4({ ...LINK, tags: [1] }, '10.0.0.1', '10.0.0.2', ''),
      field: 18 + 20 + 6,
    },
  ];
  for (const { name, frame, field } of rows) {
    it(`are completed: ${name}`, () => {
      const padded = new Uint8Array(Math.max(60, frame.length));
      padded.set(frame);
      const partial = padded.slice();
      partial[field] = 0x12;
      partial[field + 1] = 0x34;
      expect(completeChecksum(view(partial))).toBe(true);
      expect(partial).toEqual(padded);
    });
  }

  it('are not invented for fragments and other protocols', () => {
    const fragment = ethernet(
      LINK,
      0x0800,
      ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: 17, fragment: 0x2000 }, new Uint8Array(16)),
    );
    const icmp = ethernet(LINK, 0x0800, ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: 1 }, new Uint8Array(16)));
    for (const frame of [fragment, icmp]) {
      const before = frame.slice();
      expect(completeChecksum(view(frame))).toBe(false);
      expect(frame).toEqual(before);
    }
  });
});

describe('frames of our own', () => {
  it('answer an ARP request as its target would', () => {
    const question = arp(
      { from: A, to: BROADCAST },
      { operation: 1, senderMac: A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' },
    );
    const want = arp(
      { from: B, to: A },
      { operation: 2, senderMac: B, senderIp: '10.0.0.2', targetMac: A, targetIp: '10.0.0.1' },
    );
    expect(answerArp(view(question), B)).toEqual(want);
  });

  it('answer a solicitation with a solicited, overriding advertisement', () => {
    const question = discovery(
      { from: A, to: '33:33:ff:00:00:0b' as Mac },
      { type: 135, from: 'fd00::a', to: 'ff02::1:ff00:b', target: 'fd00::b' },
    );
    const answer = answerSolicitation(view(question), 'fd00::b', B);
    expect(view(answer)).toMatchObject({ source: B, destination: A });
    expect(readNeighbourMessage(view(answer))).toMatchObject({ kind: 'statement', claim: { ip: 'fd00::b', mac: B } });
    expect(answer[14 + 40 + 4]).toBe(0x60);
    expect(answer[14 + 7]).toBe(255);
    expect(icmp6Sum(answer)).toBe(0);
  });

  it('announce a moved address in both families', () => {
    expect(announceNeighbour('10.0.0.2', B)).toEqual(
      arp({ from: B, to: BROADCAST }, { operation: 1, senderMac: B, senderIp: '10.0.0.2', targetIp: '10.0.0.2' }),
    );
    const unsolicited = announceNeighbour('fd00::b', B);
    expect(readNeighbourMessage(view(unsolicited))).toMatchObject({
      kind: 'statement',
      claim: { ip: 'fd00::b', mac: B },
    });
    expect(unsolicited[14 + 40 + 4]).toBe(0x20);
    expect(icmp6Sum(unsolicited)).toBe(0);
  });

  it('say that an IPv4 packet needs fragmentation', () => {
    const answer = answerTooBig(view(udp4(LINK, '10.0.0.1', '10.0.0.2', new Uint8Array(1500))), 1418)!;
    expect(view(answer)).toMatchObject({ source: B, destination: A });
    expect(answer.length).toBe(14 + 576);
    expect([...answer.subarray(34, 36), ...answer.subarray(38, 42)]).toEqual([3, 4, 0, 0, ...u16(1418)]);
    expect(referenceChecksum(answer.subarray(14, 34))).toBe(0);
    expect(referenceChecksum(answer.subarray(34))).toBe(0);
  });

  it('say that an IPv6 packet is too big', () => {
    const answer = answerTooBig(view(udp6(LINK, 'fd00::a', 'fd00::b', 'x'.repeat(1500))), 1418)!;
    expect(answer.length).toBe(14 + 1280);
    expect([...answer.subarray(54, 56), ...answer.subarray(58, 62)]).toEqual([2, 0, 0, 0, ...u16(1418)]);
    expect(icmp6Sum(answer)).toBe(0);
  });

  const silent = [
    { name: 'multicast', frame: udp4({ from: A, to: '01:00:5e:00:00:fb' as Mac }, '10.0.0.1', '224.0.0.251', 'x') },
    {
      name: 'an ICMP error',
      frame: ethernet(LINK, 0x0800, ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: 1 }, Uint8Array.of(3, 4, 0, 0))),
    },
    {
      name: 'a later fragment',
      frame: ethernet(
        LINK,
        0x0800,
        ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: 17, fragment: 3 }, new Uint8Array(9)),
      ),
    },
    { name: 'an unspecified source', frame: udp6(LINK, '::', 'fd00::b', 'x') },
    { name: 'no IP', frame: ethernet(LINK, 0x88b5, new Uint8Array(50)) },
  ];
  for (const { name, frame } of silent) {
    it(`never answer ${name}`, () => {
      expect(answerTooBig(view(frame), 1418)).toBeNull();
    });
  }
});

/** Zero when the ICMPv6 checksum of an untagged frame is right. */
function icmp6Sum(frame: Uint8Array): number {
  const length = frame.length - 54;
  const pseudo = [...frame.subarray(22, 54), ...u16(0, length, 0, 58)];
  return referenceChecksum(Uint8Array.from([...pseudo, ...frame.subarray(54)]));
}
