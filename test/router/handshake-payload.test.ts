import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import {
  encodeInitiationPayload,
  encodeResponsePayload,
  MEMBERSHIP_BYTES_MAX,
  parseInitiationPayload,
  parseResponsePayload,
} from '../../src/router/handshake-payload.ts';

const hex = (text: string) => fromHex(text.replaceAll(' ', ''))!;
const INITIATION = {
  timestamp: hex('4000000070dbd88a 00000000'),
  membership: utf8('member'),
  mtu: 1500,
  ciphers: ['aes-256-gcm', 'chacha20-poly1305'],
  capabilities: 5,
  observed: { ip: '203.0.113.7', port: 40_001 },
} as const;
const INITIATION_HEX =
  '01000c4000000070dbd88a00000000' + '0200066d656d626572' + '03000205dc' + '0400020102' + '05000400000005';
const OBSERVED_HEX = '060006cb0071079c41';
const RESPONSE = { mtu: 1400, cipher: 'chacha20-poly1305', capabilities: 0, observed: null } as const;
const RESPONSE_HEX = '0300020578' + '04000102' + '05000400000000';

describe('handshake payloads', () => {
  test('golden bytes', () => {
    expect(toHex(encodeInitiationPayload(INITIATION))).toBe(INITIATION_HEX + OBSERVED_HEX);
    expect(parseInitiationPayload(hex(INITIATION_HEX + OBSERVED_HEX))).toEqual(INITIATION);
    const relayed = { ...INITIATION, observed: null };
    expect(toHex(encodeInitiationPayload(relayed))).toBe(INITIATION_HEX);
    expect(parseInitiationPayload(hex(INITIATION_HEX))).toEqual(relayed);
    expect(toHex(encodeResponsePayload(RESPONSE))).toBe(RESPONSE_HEX);
    expect(parseResponsePayload(hex(RESPONSE_HEX))).toEqual(RESPONSE);
    const v6 = { ...RESPONSE, observed: { ip: '2001:db8::7', port: 6783 } };
    const v6Hex = `${RESPONSE_HEX}060012${'20010db8'}${'00'.repeat(11)}071a7f`;
    expect(toHex(encodeResponsePayload(v6))).toBe(v6Hex);
    expect(parseResponsePayload(hex(v6Hex))).toEqual(v6);
  });

  test('fields, ciphers and capability bytes of a newer version are skipped', () => {
    const newer = `c8000401020304${INITIATION_HEX.replace('0400020102', '040003630102').replace('050004', '050006')}0000`;
    expect(parseInitiationPayload(hex(newer))).toEqual({ ...INITIATION, observed: null });
    expect(parseResponsePayload(hex(`${RESPONSE_HEX}630000`))).toEqual(RESPONSE);
    const none = INITIATION_HEX.replace('0400020102', '04000163');
    expect(parseInitiationPayload(hex(none))?.ciphers).toEqual([]);
  });

  test.each([
    ['a missing timestamp', INITIATION_HEX.slice(30)],
    ['a short timestamp', INITIATION_HEX.replace('01000c40', '01000b')],
    ['a field twice', `${INITIATION_HEX}03000205dc`],
    ['an MTU below 576', INITIATION_HEX.replace('03000205dc', '030002023f')],
    ['no cipher', INITIATION_HEX.replace('0400020102', '040000')],
    ['nine ciphers', INITIATION_HEX.replace('0400020102', '040009010101010101010101')],
    ['an empty membership', INITIATION_HEX.replace('0200066d656d626572', '020000')],
    ['capabilities of three bytes', INITIATION_HEX.replace('05000400000005', '050003000005')],
    ['an observed port of 0', `${INITIATION_HEX}060006cb0071070000`],
    ['an observed address of five bytes', `${INITIATION_HEX}060007cb007107009c41`],
    ['an observed endpoint of one byte', `${INITIATION_HEX}060001cb`],
    ['a field cut off', INITIATION_HEX.slice(0, -2)],
    ['a length without value', `${INITIATION_HEX}c8ffff`],
  ])('%s is malformed', (_, bytes) => expect(parseInitiationPayload(hex(bytes))).toBeNull());

  test('a response with two ciphers, or one that nobody knows, is malformed', () => {
    expect(parseResponsePayload(hex(RESPONSE_HEX.replace('04000102', '0400020102')))).toBeNull();
    expect(parseResponsePayload(hex(RESPONSE_HEX.replace('04000102', '04000163')))).toBeNull();
  });

  test('a membership that does not fit is a bug of ours', () => {
    const membership = new Uint8Array(MEMBERSHIP_BYTES_MAX + 1);
    expect(() => encodeInitiationPayload({ ...INITIATION, membership })).toThrow(RangeError);
  });

  test('anything at all parses to a value or null; what parses survives a round trip', () => {
    const field = fc.record({ type: fc.nat(8), value: fc.uint8Array({ maxLength: 20 }) });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .array(field, { maxLength: 8 })
        .map((fields) =>
          concatBytes(...fields.map(({ type, value }) => concatBytes(Uint8Array.of(type, 0, value.length), value))),
        ),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        const initiation = parseInitiationPayload(input);
        if (initiation !== null)
          expect(parseInitiationPayload(encodeInitiationPayload(initiation))?.mtu).toBe(initiation.mtu);
        const response = parseResponsePayload(input);
        if (response !== null) expect(parseResponsePayload(encodeResponsePayload(response))).toEqual(response);
      }),
      { numRuns: 2_000, seed: 1 },
    );
  });
});
