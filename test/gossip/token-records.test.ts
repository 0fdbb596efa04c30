import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PeerId, TokenId } from '../../src/base/ids.ts';
import type { RotationRecord, SealsRecord } from '../../src/base/records.ts';
import { GOSSIP_LIMITS, KEY_BYTES_MAX } from '../../src/gossip/limits.ts';
import {
  decodeRotation,
  decodeSeals,
  encodeRotation,
  encodeSeals,
  isTokenKey,
  REVOKED_MAX,
  rotationKey,
  SEALS_MAX,
  sealsKey,
} from '../../src/gossip/token-records.ts';

const id = '0123456789abcdef' as TokenId;
const peerOf = (index: number) => index.toString(16).padStart(32, '0') as PeerId;
const rotation: RotationRecord = { generation: 2, id, graceMs: 86_400_000, excluded: [peerOf(1), peerOf(2)] };
const seals: SealsRecord = {
  generation: 2,
  id,
  part: 3,
  ephemeralKey: new Uint8Array(32).fill(4),
  seals: [{ member: peerOf(5), sealed: new Uint8Array(48).fill(6) }],
};

describe('records of tokens', () => {
  test('round trips', () => {
    expect(decodeRotation(rotationKey(rotation), encodeRotation(rotation))).toEqual(rotation);
    expect(decodeSeals(sealsKey(seals), encodeSeals(seals))).toEqual(seals);
    expect([rotationKey(rotation), sealsKey(seals)]).toEqual([`rotation/2/${id}`, `seal/2/${id}/3`]);
    expect([rotationKey(rotation), sealsKey(seals), 'peer'].map(isTokenKey)).toEqual([true, true, false]);
  });

  test('the largest fit into a value and a key', () => {
    const many = Array.from({ length: Math.max(SEALS_MAX, REVOKED_MAX) }, (_, index) => peerOf(index));
    const sealed = many.slice(0, SEALS_MAX).map((member) => ({ member, sealed: new Uint8Array(48).fill(255) }));
    const largest = { ...seals, generation: 0xffff_ffff, part: 99_999, seals: sealed };
    expect(encodeSeals(largest).length).toBeLessThanOrEqual(GOSSIP_LIMITS.valueBytesMax);
    expect(sealsKey(largest).length).toBeLessThanOrEqual(KEY_BYTES_MAX);
    expect(decodeSeals(sealsKey(largest), encodeSeals(largest))).toEqual(largest);
    const crowded = { ...rotation, excluded: many.slice(0, REVOKED_MAX) };
    expect(encodeRotation(crowded).length).toBeLessThanOrEqual(GOSSIP_LIMITS.valueBytesMax);
    expect(decodeRotation(rotationKey(crowded), encodeRotation(crowded))).toEqual(crowded);
  });

  test.each([
    ['generation 0', `rotation/0/${id}`],
    ['a generation beyond 32 bits', `rotation/4294967296/${id}`],
    ['a leading zero', `rotation/02/${id}`],
    ['a short id', 'rotation/2/0123'],
    ['upper case', `rotation/2/${id.toUpperCase()}`],
    ['a part too many', `rotation/2/${id}/0`],
    ['another kind', `seal/2/${id}/0`],
  ])('no rotation under a key with %s', (_what, key) => {
    expect(decodeRotation(key, encodeRotation(rotation))).toBeNull();
  });

  test.each([
    ['no part', `seal/2/${id}`],
    ['a part beyond bounds', `seal/2/${id}/100000`],
    ['another kind', `rotation/2/${id}`],
  ])('no seals under a key with %s', (_what, key) => {
    expect(decodeSeals(key, encodeSeals(seals))).toBeNull();
  });

  test.each([
    ['a short member', { ...seals, seals: [{ member: '00' as PeerId, sealed: new Uint8Array(48) }] }],
    ['a short seal', { ...seals, seals: [{ member: peerOf(5), sealed: new Uint8Array(47) }] }],
    ['a short key', { ...seals, ephemeralKey: new Uint8Array(31) }],
    ['too many', { ...seals, seals: Array.from({ length: SEALS_MAX + 1 }, () => seals.seals[0]!) }],
  ])('seals with %s are refused', (_what, record) => {
    expect(decodeSeals(sealsKey(seals), encodeSeals(record))).toBeNull();
  });

  test('fuzz: arbitrary keys and values never throw', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.uint8Array({ maxLength: 200 }), (key, value) => {
        decodeRotation(key, value);
        decodeSeals(key, value);
        decodeRotation(rotationKey(rotation), value);
        decodeSeals(sealsKey(seals), value);
      }),
    );
  });
});
