import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { toHex } from '../../../src/base/bytes.ts';
import type { PeerId } from '../../../src/base/ids.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import {
  openProbe,
  PROBE_BYTES_MIN,
  type Probe,
  probeKey,
  probeMacOf,
  sealProbe,
  UNREADABLE,
} from '../../../src/router/vxlan/probe-message.ts';

const A = '0123456789abcdef0123456789abcdef' as PeerId;
const B = 'fedcba9876543210fedcba9876543210' as PeerId;
const KEY = new Uint8Array(32).fill(7);
const ASK: Probe = { kind: 'ask', from: A, to: B, nonce: '00112233445566778899aabbccddeeff' };
const sealed = (probe: Probe = ASK, key = KEY) => sealProbe(nodeCrypto, key, probe, 1432);
const opened = (frame: Uint8Array, self = B) =>
  openProbe(nodeCrypto, frame, { self, keyOf: (peer) => (peer === A ? KEY : null) });

describe('a probe', () => {
  it.each(['ask', 'answer', 'withdraw'] as const)('%s is read by the peer as it was meant', (kind) => {
    expect(opened(sealed({ ...ASK, kind }))).toEqual({ ...ASK, kind });
  });

  it('has these bytes', () => {
    expect(toHex(sealProbe(nodeCrypto, KEY, ASK, 0))).toBe(
      [
        '0adcba9876540a2345678 9ab88b5'.replace(' ', ''),
        '01010000',
        A,
        B,
        ASK.nonce,
        toHex(nodeCrypto.hmacSha256(KEY, Uint8Array.from(Buffer.from(`01010000${A}${B}${ASK.nonce}`, 'hex')))),
      ].join(''),
    );
  });

  it('is as long as the largest frame', () => {
    expect(sealed()).toHaveLength(1432);
  });
});

test.each<[string, Uint8Array, string]>([
  ['too short', sealed().subarray(0, PROBE_BYTES_MIN - 1), 'probe-malformed'],
  ['of another EtherType', sealed().with(13, 0), 'probe-malformed'],
  ['of a later version', sealed().with(14, 2), 'probe-version'],
  ['of an unknown kind', sealed().with(15, 9), 'probe-malformed'],
  ['with reserved bytes set', sealed().with(17, 1), 'probe-malformed'],
  ['from a host without a key', sealed({ ...ASK, from: B }), 'probe-stranger'],
  ['for somebody else', sealed({ ...ASK, to: A }), 'probe-stranger'],
  ['signed by another key', sealed(ASK, new Uint8Array(32)), 'probe-forged'],
  ['with another nonce', sealed().with(50, 1), 'probe-forged'],
  ['made an answer', sealed().with(15, 2), 'probe-forged'],
])('a frame %s is dropped', (_name, frame, reason) => {
  expect(opened(frame)).toBe(reason);
});

test('anything at all gives a probe or a reason', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(120), (noise, cut) => {
      for (const frame of [noise, Uint8Array.from([...sealed().subarray(0, cut), ...noise])]) {
        const result = opened(frame);
        if (typeof result === 'string') expect(UNREADABLE).toContain(result);
      }
    }),
  );
});

describe('the key', () => {
  const [one, two] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const [onePublic, twoPublic] = [nodeCrypto.x25519Key(one).publicKey, nodeCrypto.x25519Key(two).publicKey];
  const psk = new Uint8Array(32).fill(3);

  it('is the same on both sides, and another with another token or peer', () => {
    const key = probeKey(nodeCrypto, { staticPrivate: one, peerStatic: twoPublic, psk })!;
    expect(probeKey(nodeCrypto, { staticPrivate: two, peerStatic: onePublic, psk })).toEqual(key);
    const otherPsk = new Uint8Array(32);
    expect(probeKey(nodeCrypto, { staticPrivate: one, peerStatic: twoPublic, psk: otherPsk })).not.toEqual(key);
    expect(probeKey(nodeCrypto, { staticPrivate: one, peerStatic: onePublic, psk })).not.toEqual(key);
  });

  it('is none with a low-order public key', () => {
    expect(probeKey(nodeCrypto, { staticPrivate: one, peerStatic: new Uint8Array(32), psk })).toBeNull();
  });
});

test("a probe device's MAC is unicast, locally administered, and follows from the id", () => {
  expect(probeMacOf(A)).toBe('0a:23:45:67:89:ab');
});
