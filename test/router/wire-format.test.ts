// The wire format against golden bytes, which every implementation reads (test/router/wire-golden.json). They were sealed by
// test/router/wire-speaker.ts, which shares no code with src.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AeadCipher } from '../../src/base/capabilities.ts';
import { NodeAead } from '../../src/router/pcap/node-aead.ts';
import { SEND_COUNTER_MAX, Session, type SessionAead } from '../../src/router/session.ts';
import {
  datagramType,
  INNER_BYTES,
  type InnerHeader,
  OUTER_BYTES,
  overheadBytes,
  readCounter,
  readInnerHeader,
  readReceiverIndex,
  reservedBytesClear,
  writeDataHeader,
  writeInnerHeader,
} from '../../src/router/wire-format.ts';

interface Golden {
  readonly name: string;
  readonly cipher: AeadCipher;
  readonly key: string;
  readonly receiverIndex: number;
  readonly counter: number;
  readonly inner: InnerHeader;
  readonly body: string;
  readonly datagram: string;
}

const golden = JSON.parse(readFileSync(new URL('wire-golden.json', import.meta.url), 'utf8')) as {
  readonly datagrams: readonly Golden[];
};

function emptyHeader(): InnerHeader {
  return { kind: 0, hopLimit: 0, flags: 0, network: 0, index: 0, count: 0, headerLength: 0 };
}

describe('golden datagrams', () => {
  for (const { name, cipher, key, receiverIndex, counter, inner, body, datagram } of golden.datagrams) {
    const want = Buffer.from(datagram, 'hex');
    const aead = new NodeAead(cipher, Buffer.from(key, 'hex'), Buffer.from(key, 'hex'));

    it(`are written: ${name}`, () => {
      const outer = new Uint8Array(OUTER_BYTES);
      writeDataHeader(outer, receiverIndex, counter);
      const plain = new Uint8Array(INNER_BYTES + body.length / 2);
      writeInnerHeader(plain, 0, inner);
      plain.set(Buffer.from(body, 'hex'), INNER_BYTES);
      const sealed = aead.seal(counter, outer, plain);
      expect(Buffer.concat([outer, sealed.body, sealed.tag])).toEqual(want);
    });

    it(`are read: ${name}`, () => {
      expect([datagramType(want), reservedBytesClear(want)]).toEqual([4, true]);
      expect([readReceiverIndex(want), readCounter(want)]).toEqual([receiverIndex, counter]);
      const plain = aead.open(counter, want)!;
      const header = emptyHeader();
      expect(readInnerHeader(plain, header)).toBe(true);
      expect(header).toEqual(inner);
      expect(Buffer.from(plain.subarray(INNER_BYTES)).toString('hex')).toBe(body);
    });

    it(`are refused with any bit changed: ${name}`, () => {
      for (let at = 0; at < want.length; at++) {
        const forged = Buffer.from(want);
        forged[at]! ^= 1 << (at % 8);
        expect(aead.open(readCounter(forged), forged)).toBeNull();
      }
    });
  }
});

describe('headers', () => {
  it('survive a round trip', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const header = fc.record({
      kind: fc.integer({ min: 0, max: 15 }),
      hopLimit: fc.integer({ min: 0, max: 15 }),
      flags: fc.constantFrom(0, 1),
      network: fc.integer({ min: 0, max: 0xff_ffff }),
      index: byte,
      count: byte,
      headerLength: byte,
    });
    fc.assert(
      fc.property(header, fc.maxSafeNat(), fc.integer({ min: 0, max: 0xffff_ffff }), (inner, counter, index) => {
        const outer = new Uint8Array(OUTER_BYTES);
        writeDataHeader(outer, index, counter);
        expect([readReceiverIndex(outer), readCounter(outer)]).toEqual([index, counter]);
        const plain = new Uint8Array(INNER_BYTES);
        writeInnerHeader(plain, 0, inner);
        const read = emptyHeader();
        expect(readInnerHeader(plain, read)).toBe(inner.index < inner.count);
        expect(read).toEqual(inner);
      }),
      { seed: 6 },
    );
  });

  it('refuse unknown versions, flags and counters beyond 2^53', () => {
    expect(datagramType(Uint8Array.of(0x24))).toBe(0);
    expect(datagramType(new Uint8Array(0))).toBe(0);
    expect(readCounter(new Uint8Array(OUTER_BYTES).fill(0xff))).toBe(-1);
    expect(readInnerHeader(Uint8Array.of(0x18, 2, 0, 0, 0, 0, 1, 0), emptyHeader())).toBe(false);
  });

  it('add up to 82 and 102 bytes with the Ethernet header', () => {
    expect([overheadBytes(4) + 14, overheadBytes(6) + 14]).toEqual([82, 102]);
  });
});

describe('session', () => {
  const aead: SessionAead = {
    seal: () => ({ body: new Uint8Array(0), tag: new Uint8Array(0) }),
    open: () => null,
    destroy: () => {},
  };
  const session = (firstCounter: number): Session =>
    new Session({ peer: 'a'.repeat(32) as Session['peer'], localIndex: 1, remoteIndex: 2, aead, firstCounter });

  it('reserves consecutive counters and none beyond the limit', () => {
    const one = session(SEND_COUNTER_MAX - 5);
    expect([one.reserve(3), one.reserve(3), one.reserve(2), one.reserve(1)]).toEqual([
      SEND_COUNTER_MAX - 5,
      -1,
      SEND_COUNTER_MAX - 2,
      -1,
    ]);
  });

  it('checks without moving, and accepts as highest only what is', () => {
    const one = session(0);
    expect([one.check(9), one.check(9)]).toEqual(['fresh', 'fresh']);
    expect([one.accept(9), one.accept(8), one.check(9), one.accept(10)]).toEqual([true, false, 'replayed', true]);
  });
});
