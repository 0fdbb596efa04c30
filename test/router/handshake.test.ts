import { describe, expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { InitiatorHandshake, type InitiatorOptions, ResponderHandshake } from '../../src/router/handshake.ts';
import {
  deriveMacKeys,
  HANDSHAKE_BYTES_MAX,
  mac1Valid,
  mac2Valid,
  parseInitiation,
  parseResponse,
} from '../../src/router/handshake-message.ts';
import { encodeTai64n } from '../../src/router/tai64n.ts';

const key = (fill: number) => new Uint8Array(32).fill(fill);
const identity = (fill: number) => ({
  staticPrivate: nodeCrypto.x25519Key(key(fill)),
  staticPublic: nodeCrypto.x25519Key(key(fill)).publicKey,
});
const A = identity(1);
const B = identity(2);
const SECRET = { generation: 1, psk: key(3), mac1Key: key(4) };

function initiator(change: Partial<InitiatorOptions> = {}) {
  return InitiatorHandshake.start(nodeCrypto, {
    self: A,
    remoteStatic: B.staticPublic,
    secret: SECRET,
    localIndex: 0x01020304,
    ephemeralPrivate: key(5),
    payload: {
      timestamp: encodeTai64n(1_893_456_000_000_000_000n),
      membership: utf8('member'),
      mtu: 1500,
      ciphers: ['aes-256-gcm', 'chacha20-poly1305'],
      capabilities: 0,
      observed: null,
    },
    cookie: null,
    ...change,
  });
}

function responder(datagram: Uint8Array, ephemeralPrivate = key(6)) {
  const initiation = parseInitiation(datagram)!;
  return ResponderHandshake.read(nodeCrypto, initiation, { self: B, secret: SECRET, ephemeralPrivate });
}

describe('handshake datagrams', () => {
  test('golden bytes of both messages, and the keys they end in', () => {
    const first = initiator()!;
    expect(toHex(first.datagram.subarray(0, 8))).toBe('1100000001020304');
    expect(first.datagram.length).toBe(8 + 32 + 48 + (15 + 9 + 5 + 5 + 7 + 16) + 32);
    expect(
      mac1Valid(nodeCrypto, deriveMacKeys(nodeCrypto, SECRET.mac1Key, B.staticPublic).mac1Key, first.datagram),
    ).toBe(true);
    const second = responder(first.datagram);
    if (typeof second === 'string') throw new Error(second);
    expect(second.remoteStatic).toEqual(A.staticPublic);
    expect(second.remoteIndex).toBe(0x01020304);
    const answer = second.answer(0x0a0b0c0d, { mtu: 1500, cipher: 'aes-256-gcm', capabilities: 0, observed: null })!;
    expect(toHex(answer.datagram.subarray(0, 12))).toBe('12000000010203040a0b0c0d');
    expect(answer.datagram.length).toBe(12 + 32 + (5 + 4 + 7 + 16) + 32);
    expect(first.mac1Valid(answer.datagram)).toBe(true);
    const result = first.readResponse(parseResponse(answer.datagram)!);
    if (typeof result === 'string') throw new Error(result);
    expect(result.keys.sendKey).toEqual(answer.keys.receiveKey);
    expect(result.keys.receiveKey).toEqual(answer.keys.sendKey);
    expect(
      [first.datagram, answer.datagram, result.keys.sendKey].map((bytes) => toHex(nodeCrypto.sha256(bytes))),
    ).toEqual(GOLDEN);
  });

  test('the sender index is bound into the handshake', () => {
    const { datagram } = initiator()!;
    datagram[7]! ^= 1;
    expect(responder(datagram)).toBe('decrypt');
  });

  test('a cookie becomes a mac2 over the whole message', () => {
    const cookie = new Uint8Array(16).fill(8);
    const { datagram } = initiator({ cookie })!;
    expect(mac2Valid(nodeCrypto, cookie, datagram)).toBe(true);
    expect(mac2Valid(nodeCrypto, new Uint8Array(16), datagram)).toBe(false);
  });

  test('TM8 the ephemeral key given is zeroed', () => {
    const ephemeralPrivate = key(5);
    initiator({ ephemeralPrivate });
    expect(ephemeralPrivate).toEqual(key(0));
  });

  test('TM8 a recorded handshake opens no traffic to who gets both static keys and the token later', () => {
    const payload = { mtu: 1500, cipher: 'aes-256-gcm', capabilities: 0, observed: null } as const;
    const first = initiator()!;
    const second = responder(first.datagram);
    if (typeof second === 'string') throw new Error(second);
    const recorded = second.answer(9, payload)!;
    const recordedAnswer = recorded.datagram.slice();
    const inPlaceOfB = responder(first.datagram, key(7));
    if (typeof inPlaceOfB === 'string') throw new Error(inPlaceOfB);
    expect(inPlaceOfB.remoteStatic).toEqual(A.staticPublic); // message 1 is open to B's static key: it shows who asked
    const guessed = inPlaceOfB.answer(9, payload)!;
    for (const guess of [guessed.keys.sendKey, guessed.keys.receiveKey]) {
      for (const used of [recorded.keys.sendKey, recorded.keys.receiveKey]) expect(guess).not.toEqual(used);
    }
    const inPlaceOfA = initiator({ ephemeralPrivate: key(8) })!;
    expect(inPlaceOfA.readResponse(parseResponse(recordedAnswer)!)).toBe('decrypt');
    expect(typeof first.readResponse(parseResponse(recordedAnswer)!)).toBe('object');
  });

  test('a low-order static key of the responder: no handshake', () => {
    expect(initiator({ remoteStatic: key(0) })).toBeNull();
  });

  test.each([
    ['too short', (bytes: Uint8Array) => bytes.subarray(0, 135)],
    ['too long', () => new Uint8Array(HANDSHAKE_BYTES_MAX + 1).fill(0x11, 0, 1)],
    ['another version', (bytes: Uint8Array) => bytes.fill(0x21, 0, 1)],
    ['reserved bytes set', (bytes: Uint8Array) => bytes.fill(1, 1, 2)],
    ['index zero', (bytes: Uint8Array) => bytes.fill(0, 4, 8)],
    ['a response', (bytes: Uint8Array) => bytes.fill(0x12, 0, 1)],
  ])('%s is no initiation', (_, change) => expect(parseInitiation(change(initiator()!.datagram))).toBeNull());
});

/** SHA-256 of initiation, response and the initiator's sending key: a change of any breaks running clusters. */
const GOLDEN = [
  '13bf8dd63cd054b9fcacc84a913fc07fb86f86fea0106415dc0fbf65cb9080ea',
  'b75ff639e9b6ddcc68aacdf3f691cf6af303366c672ee369c6e13bab9164b477',
  'a43549052c025c838da2d13b20713f26829bc0bb7a9148c6fa5b44961b0d82d1',
];
