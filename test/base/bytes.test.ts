import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, fromHex, toHex } from '../../src/base/bytes.ts';

describe('ByteWriter', () => {
  test.each<[string, (writer: ByteWriter) => void, number]>([
    ['u8', (writer) => writer.u8(7), 1],
    ['u16', (writer) => writer.u16(7), 2],
    ['u32', (writer) => writer.u32(7), 4],
    ['u64', (writer) => writer.u64(7n), 8],
  ])('%s written across the end of the capacity is not lost', (_name, write, size) => {
    for (let capacity = 0; capacity < 12; capacity++) {
      const writer = new ByteWriter(capacity);
      for (let i = 0; i < 4; i++) write(writer);
      const expected = Array.from({ length: 4 * size }, (_, i) => (i % size === size - 1 ? 7 : 0));
      expect([...writer.finish()]).toEqual(expected);
      expect(writer.length).toBe(4 * size);
    }
  });
});

test.each<[number, string]>([
  [0, '0000000000000000'],
  [7, '0000000000000007'],
  [2 ** 32 - 1, '00000000ffffffff'],
  [2 ** 31 * 3 + 5, '0000000180000005'],
  [Number.MAX_SAFE_INTEGER, '001fffffffffffff'],
])('64 bits of %d are the same as of its bigint', (value, hex) => {
  expect(toHex(new ByteWriter().u64(value).finish())).toBe(hex);
  expect(toHex(new ByteWriter().u64(BigInt(value)).finish())).toBe(hex);
  expect(new ByteReader(fromHex(hex)!).u64()).toBe(BigInt(value));
});

test('64 bits above what a number holds', () => {
  const bytes = new ByteWriter().u64(0xfedcba9876543210n).finish();
  expect(toHex(bytes)).toBe('fedcba9876543210');
  expect(new ByteReader(bytes).u64()).toBe(0xfedcba9876543210n);
  expect(new ByteReader(bytes).u32()).toBe(0xfedcba98);
  expect(new ByteReader(bytes).u16()).toBe(0xfedc);
});

test('writers that are open at once, and after each other, do not share what they write', () => {
  const outer = new ByteWriter().u8(1);
  const inner = new ByteWriter().u8(2).finish();
  const later = new ByteWriter().u8(3);
  expect([...outer.bytes(inner).finish()]).toEqual([1, 2]);
  expect([...later.finish()]).toEqual([3]);
  expect([...new ByteWriter().u8(4).bytes(new Uint8Array(9_000).fill(5)).finish()].slice(0, 3)).toEqual([4, 5, 5]);
});

test('messages that share memory keep what is theirs, and a long one has its own', () => {
  const lengths = [1, 65, 200, 4_000, 4_096, 5_000, 300];
  const messages = Array.from({ length: 70 }, (_, i) => {
    const bytes = new Uint8Array(lengths[i % lengths.length]!).fill(i);
    return new ByteWriter().bytes(bytes).finishMessage();
  });
  for (const [i, message] of messages.entries()) {
    expect(message.length).toBe(lengths[i % lengths.length]);
    expect(message.every((byte) => byte === i)).toBe(true);
  }
});

describe('ids', () => {
  const ids = Array.from({ length: 300 }, (_, i) => (i * 0x10001).toString(16).padStart(8, '0').repeat(4));

  test('are read as they were written, also those that begin alike', () => {
    const alike = ids.flatMap((id) => [id, `${id.slice(0, 8)}${'f'.repeat(24)}`, id.slice(0, 16)]);
    for (const id of [...alike, ...alike.toReversed()]) {
      const bytes = new ByteWriter(0).u8(1).id(id).u8(2).finish();
      expect(toHex(bytes)).toBe(`01${id}02`);
      const reader = new ByteReader(bytes);
      expect([reader.u8(), reader.id(id.length / 2), reader.u8(), reader.failed]).toEqual([1, id, 2, false]);
    }
  });

  test('past the end fail', () => {
    const reader = new ByteReader(new Uint8Array(15));
    expect([reader.id(16), reader.failed]).toEqual(['', true]);
  });
});

describe('ByteReader', () => {
  test('a read past the end and a negative length fail without moving', () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3));
    expect(reader.u32()).toBe(0);
    expect(reader.failed).toBe(true);
    const backwards = new ByteReader(Uint8Array.of(1, 2, 3));
    backwards.u16();
    expect(backwards.bytes(-2)).toHaveLength(0);
    expect(backwards.failed).toBe(true);
  });

  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
  ])('varint %d is %s', (value, hex) => {
    expect(toHex(new ByteWriter().varint(value).finish())).toBe(hex);
    const reader = new ByteReader(fromHex(hex)!);
    expect(reader.varint()).toBe(value);
    expect(reader).toMatchObject({ failed: false, remaining: 0 });
  });

  test.each(['', '80', 'ffffffffffffff10', 'ffffffffffffffff01'])('varint %j fails', (hex) => {
    const reader = new ByteReader(fromHex(hex)!);
    expect(reader.varint()).toBe(0);
    expect(reader.failed).toBe(true);
  });
});

test.each([
  ['', []],
  ['00ff0aB7', [0, 255, 10, 183]],
  ['5a'.repeat(600), new Array(600).fill(0x5a)],
])('hex %j', (text, bytes) => {
  expect(fromHex(text)).toEqual(Uint8Array.from(bytes));
  expect(toHex(Uint8Array.from(bytes))).toBe(text.toLowerCase());
});

test.each(['0', 'abc', '0g', '/0', ':0', '`0', 'é0', '0 '])('%j is no hex', (text) => {
  expect(fromHex(text)).toBeNull();
});
