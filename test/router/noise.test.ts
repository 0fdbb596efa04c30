import { describe, expect, test } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Crypto } from '../../src/base/capabilities.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { IKPSK2, NoiseHandshake, type NoiseOptions, type NoisePattern } from '../../src/router/noise.ts';

const hex = (text: string) => fromHex(text)!;

const IKPSK1: NoisePattern = {
  name: 'Noise_IKpsk1_25519_ChaChaPoly_BLAKE2s',
  messages: [
    ['e', 'es', 's', 'ss', 'psk'],
    ['e', 'ee', 'se'],
  ],
};

/** The machine runs BLAKE2s; with SHA-256 in its place it must reproduce the SHA256 vectors of the same patterns. */
const sha256Crypto: Crypto = { ...nodeCrypto, blake2s: nodeCrypto.sha256, hmacBlake2s: nodeCrypto.hmacSha256 };
const withSha256 = (pattern: NoisePattern): NoisePattern => ({
  ...pattern,
  name: pattern.name.replace('BLAKE2s', 'SHA256'),
});

// Source: haskell-cryptography/cacophony, vectors/cacophony.txt (public domain). All share keys, prologue and payloads.
const PROLOGUE = hex('4a6f686e2047616c74');
const PSK = hex('54686973206973206d7920417573747269616e20706572737065637469766521');
const INITIATOR_STATIC = hex('e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1');
const INITIATOR_EPHEMERAL = hex('893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a');
const RESPONDER_STATIC = hex('4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893');
const RESPONDER_STATIC_PUBLIC = hex('31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62');
const RESPONDER_EPHEMERAL = hex('bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b');
const PAYLOADS = [
  '4c756477696720766f6e204d69736573',
  '4d757272617920526f746862617264',
  '462e20412e20486179656b',
  '4361726c204d656e676572',
  '4a65616e2d426170746973746520536179',
  '457567656e2042f6686d20766f6e2042617765726b',
].map(hex);

interface Vector {
  readonly pattern: NoisePattern;
  readonly crypto: Crypto;
  readonly handshakeHash?: string;
  readonly ciphertexts: readonly string[];
}

const VECTORS: readonly Vector[] = [
  {
    pattern: IKPSK2,
    crypto: nodeCrypto,
    handshakeHash: 'f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5',
    ciphertexts: [
      'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f',
      '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab0322217755c0632f365717edbf34d33e87a',
      '8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7',
      '07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef',
      '6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d',
      'dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292',
    ],
  },
  {
    pattern: IKPSK1,
    crypto: nodeCrypto,
    ciphertexts: [
      'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c794498e192a0a94102bd8fa1a182979c012f4fa2558d899e2e58d4d4aba041a56b35297560de33bf7fe93f8e567791039539f59e76a00721ea7c1095fbccf10a13df79f3b5605bfb0617c309698737c73429',
      '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088434523a21bc9f1ce57af3dc28365e1e33c25f577fc4aa2149d5d6a2ab0911beb',
      'dc15d1ceff592ff648bba38f9bc63c0049600307fba700ba2a0b2b',
      '85f1e8c573c0d9fd188080532a0ad1a6d457974c91f2ff0f21ecaf',
      '11d83f8ff550ef18c1314540ade9c7b9e5fb5245889221856ea55b0b8e64bdf1bc',
      'b7b3a985fe737290fb597224ccad3f9ad3caa3d396bf201233891db26172d267f4298d47c2',
    ],
  },
  {
    pattern: withSha256(IKPSK2),
    crypto: sha256Crypto,
    ciphertexts: [
      'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79442ec9b09893d0f510791784c10cbc959f25b1766e0def6e301d14fbca1c7790ac829b8b3674f5f649a5f0e98479662cbfbf2b2c47cd4b09fcd266cd29d7cb675f1808849707847840f6d178ec4d3733aa',
      '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088439a1b3cebf680b2c74217fcb5eba4ff58a9468cd90c4aca6194f57479b379a7',
      'a8fde7a0accec190cd306c5950d4fd8e04a205ec288aa747d8b347',
      '59caddd9984a3bbe24c4fb31a2bd455b7eba3fa0980674b1a3a5f9',
      '3b9bfebd210c22ba0cff9de79b4007d7a552fffbf92616881faa8a883e25b80258',
      'f37512df1043d564d7c46ac85c53d3b6a9a05724bc297e7142808f217561651217fe85b782',
    ],
  },
  {
    pattern: withSha256(IKPSK1),
    crypto: sha256Crypto,
    ciphertexts: [
      'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944ac58a6c31948ce200911c5b27b67f1c4d1bed490532dd94ed17164fcc5784d3730fc302b70cc0f19beedaeb56bd974c0e57d747d11534c746eb2a32ac3fde3e4cdf6c3a4705762a6c6ca664b3bc89490',
      '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843846a944a0652fb390d213d0700d5ae8fef7aad0ecc79a9216d15de5d7f3ee4',
      '5d872673f64813a47a00369b15c8da92691605ad71ba019de8e718',
      '2045266a750b6af2547f7eb1391058196b742d0aac4b3a1bcc1913',
      '9ec47ed0e7628c7d7a4eed631b963740ac2fd754eadaa9232e99054af4f7b29174',
      '310e359407350594cfb96eb4596e35677d4a71ceb42aa8cbba097bb9e7150b0d1bd749c4aa',
    ],
  },
];

function pair(pattern: NoisePattern, crypto: Crypto, change: Partial<NoiseOptions> = {}) {
  const common = { pattern, prologue: PROLOGUE, psk: PSK };
  const initiator = new NoiseHandshake(crypto, {
    ...common,
    role: 'initiator',
    staticPrivate: crypto.x25519Key(INITIATOR_STATIC),
    staticPublic: crypto.x25519Key(INITIATOR_STATIC).publicKey,
    ephemeralPrivate: INITIATOR_EPHEMERAL,
    remoteStatic: RESPONDER_STATIC_PUBLIC,
  });
  const responder = new NoiseHandshake(crypto, {
    ...common,
    role: 'responder',
    staticPrivate: crypto.x25519Key(RESPONDER_STATIC),
    staticPublic: RESPONDER_STATIC_PUBLIC,
    ephemeralPrivate: RESPONDER_EPHEMERAL,
    ...change,
  });
  return { initiator, responder };
}

describe('Noise against published vectors', () => {
  test.each(VECTORS)('$pattern.name', ({ pattern, crypto, handshakeHash, ciphertexts }) => {
    const { initiator, responder } = pair(pattern, crypto);
    const first = initiator.writeMessage(PAYLOADS[0]!)!;
    expect(toHex(first)).toBe(ciphertexts[0]);
    expect(responder.readMessage(first)).toEqual(PAYLOADS[0]);
    expect(responder.remoteStatic).toEqual(crypto.x25519Key(INITIATOR_STATIC).publicKey);
    const second = responder.writeMessage(PAYLOADS[1]!)!;
    expect(toHex(second)).toBe(ciphertexts[1]);
    expect(initiator.readMessage(second)).toEqual(PAYLOADS[1]);
    expect(initiator.handshakeHash).toEqual(responder.handshakeHash);
    if (handshakeHash !== undefined) expect(toHex(initiator.handshakeHash)).toBe(handshakeHash);

    const [a, b] = [initiator.split(), responder.split()];
    expect(a.sendKey).toEqual(b.receiveKey);
    expect(a.receiveKey).toEqual(b.sendKey);
    for (let message = 2; message < 6; message++) {
      const key = (message % 2 === 0 ? a : b).sendKey;
      const nonce = new Uint8Array(12);
      nonce[4] = Math.floor((message - 2) / 2);
      const sealed = crypto.aeadSeal('chacha20-poly1305', key, nonce, new Uint8Array(0), PAYLOADS[message]!);
      expect(toHex(sealed)).toBe(ciphertexts[message]);
    }
  });
});

describe('Noise handshakes that go wrong', () => {
  test('another psk: message 1 is read, message 2 is not', () => {
    const { initiator, responder } = pair(IKPSK2, nodeCrypto, { psk: new Uint8Array(32) });
    expect(responder.readMessage(initiator.writeMessage(utf8('hi'))!)).toEqual(utf8('hi'));
    expect(initiator.readMessage(responder.writeMessage(utf8('ho'))!)).toBeNull();
  });

  test('another prologue: message 1 is not read', () => {
    const { initiator, responder } = pair(IKPSK2, nodeCrypto, { prologue: utf8('other') });
    expect(responder.readMessage(initiator.writeMessage(utf8('hi'))!)).toBeNull();
  });

  test('every flipped bit is noticed, and changes nothing: the true message is read afterwards', () => {
    const { initiator, responder } = pair(IKPSK2, nodeCrypto);
    const first = initiator.writeMessage(utf8('hi'))!;
    for (let byte = 0; byte < first.length; byte++) {
      const forged = first.slice();
      forged[byte]! ^= 1 << (byte % 8);
      expect(responder.readMessage(forged)).toBeNull();
    }
    expect(responder.readMessage(first)).toEqual(utf8('hi'));
    const second = responder.writeMessage(utf8('ho'))!;
    for (let byte = 0; byte < second.length; byte++) {
      const forged = second.slice();
      forged[byte]! ^= 1 << (byte % 8);
      expect(initiator.readMessage(forged)).toBeNull();
    }
    expect(initiator.readMessage(second)).toEqual(utf8('ho'));
  });

  test('truncated messages are refused', () => {
    const { initiator, responder } = pair(IKPSK2, nodeCrypto);
    const first = initiator.writeMessage(utf8('hi'))!;
    for (let length = 0; length < first.length; length++) {
      expect(responder.readMessage(first.subarray(0, length))).toBeNull();
    }
  });

  test('a low-order ephemeral key is refused', () => {
    const { initiator, responder } = pair(IKPSK2, nodeCrypto);
    const first = initiator.writeMessage(utf8('hi'))!;
    first.fill(0, 0, 32);
    expect(responder.readMessage(first)).toBeNull();
  });

  test('split before the end and messages out of turn are bugs', () => {
    const { initiator } = pair(IKPSK2, nodeCrypto);
    expect(() => initiator.split()).toThrow('invariant broken');
    expect(() => initiator.readMessage(new Uint8Array(48))).toThrow('invariant broken');
  });
});
