// A session's AEAD on node:crypto: one OpenSSL context per datagram, because Node can't re-initialise the nonce of one. The keys
// are kept as bytes, not as KeyObject, because bytes can be overwritten when the session ends.

import { type CipherGCM, createCipheriv, createDecipheriv, type DecipherGCM } from 'node:crypto';
import type { AeadCipher } from '../../base/capabilities.ts';
import type { SessionAead } from '../session.ts';
import { NONCE_BYTES, OUTER_BYTES, TAG_BYTES, writeNonce } from '../wire-format.ts';

const OPTIONS = { authTagLength: TAG_BYTES } as const;

export class NodeAead implements SessionAead {
  /** Both ciphers take the same options; their typings differ. */
  readonly #algorithm: 'aes-256-gcm';
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_BYTES);

  /** Takes the keys over. */
  constructor(cipher: AeadCipher, sendKey: Uint8Array, receiveKey: Uint8Array) {
    this.#algorithm = cipher as 'aes-256-gcm';
    this.#sendKey = sendKey;
    this.#receiveKey = receiveKey;
  }

  seal(counter: number, header: Uint8Array, plain: Uint8Array): { body: Uint8Array; tag: Uint8Array } {
    writeNonce(this.#nonce, counter);
    const cipher: CipherGCM = createCipheriv(this.#algorithm, this.#sendKey, this.#nonce, OPTIONS);
    cipher.setAAD(header);
    const body = cipher.update(plain);
    cipher.final();
    return { body, tag: cipher.getAuthTag() };
  }

  open(counter: number, datagram: Uint8Array): Uint8Array | null {
    const bodyEnd = datagram.length - TAG_BYTES;
    writeNonce(this.#nonce, counter);
    const decipher: DecipherGCM = createDecipheriv(this.#algorithm, this.#receiveKey, this.#nonce, OPTIONS);
    decipher.setAAD(datagram.subarray(0, OUTER_BYTES));
    decipher.setAuthTag(datagram.subarray(bodyEnd));
    const plain = decipher.update(datagram.subarray(OUTER_BYTES, bodyEnd));
    try {
      decipher.final();
      return plain;
    } catch {
      return null; // the tag does not match: a forgery, or another key
    }
  }

  destroy(): void {
    this.#sendKey.fill(0);
    this.#receiveKey.fill(0);
  }
}
