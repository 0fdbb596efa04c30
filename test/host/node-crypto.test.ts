import { describe, expect, test } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';

const hex = (text: string) => fromHex(text)!;

describe('node crypto against published vectors', () => {
  test('X25519, RFC 7748 §6.1', () => {
    const alice = nodeCrypto.x25519Key(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'));
    const bob = nodeCrypto.x25519Key(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
    expect(toHex(bob.publicKey)).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
    const shared = alice.agree(bob.publicKey);
    expect(toHex(shared!)).toBe('4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
    expect(bob.agree(alice.publicKey)).toEqual(shared);
  });

  test('a low-order X25519 public key gives null', () => {
    expect(nodeCrypto.x25519Key(new Uint8Array(32).fill(7)).agree(new Uint8Array(32))).toBeNull();
  });

  test('Ed25519, RFC 8032 §7.1 test 1', () => {
    const seed = hex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60');
    const key = nodeCrypto.ed25519Public(seed);
    expect(toHex(key)).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
    const signature = nodeCrypto.ed25519Sign(seed, new Uint8Array(0));
    expect(toHex(signature).startsWith('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155')).toBe(true);
    expect(nodeCrypto.ed25519Signer(seed)(new Uint8Array(0))).toEqual(signature);
    expect(nodeCrypto.ed25519Verify(key, new Uint8Array(0), signature)).toBe(true);
    expect(nodeCrypto.ed25519Verify(key.subarray(1), new Uint8Array(0), signature)).toBe(false);
    expect(nodeCrypto.ed25519Verify(key, utf8('x'), signature)).toBe(false);
  });

  test('BLAKE2s, RFC 7693 appendix B', () => {
    expect(toHex(nodeCrypto.blake2s(utf8('abc')))).toBe(
      '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982',
    );
  });

  test.each(['aes-256-gcm', 'chacha20-poly1305'] as const)('%s opens what it sealed and nothing else', (cipher) => {
    const key = new Uint8Array(32).fill(1);
    const nonce = new Uint8Array(12).fill(2);
    const sealed = nodeCrypto.aeadSeal(cipher, key, nonce, utf8('aad'), utf8('plain'));
    expect(sealed.length).toBe(5 + 16);
    expect(nodeCrypto.aeadOpen(cipher, key, nonce, utf8('aad'), sealed)).toEqual(utf8('plain'));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const forged = sealed.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(nodeCrypto.aeadOpen(cipher, key, nonce, utf8('aad'), forged)).toBeNull();
    }
    expect(nodeCrypto.aeadOpen(cipher, key, nonce, utf8('AAD'), sealed)).toBeNull();
    expect(nodeCrypto.aeadOpen(cipher, key, nonce, utf8('aad'), sealed.subarray(0, 15))).toBeNull();
  });
});
