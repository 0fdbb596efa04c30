// The other end of a session, written against the wire format and node:crypto alone: it says any datagram, also wrong ones, and
// opens what a datapath says. Datapath tests use it where two datapaths could agree on a mistake.

import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { AeadCipher } from '../../src/base/capabilities.ts';

export interface Inner {
  readonly kind: number;
  readonly hopLimit?: number;
  readonly flags?: number;
  readonly network?: number;
  readonly index?: number;
  readonly count?: number;
  readonly headerLength?: number;
}

export class WireSpeaker {
  readonly #cipher: 'aes-256-gcm';
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  readonly #remoteIndex: number;

  constructor(facts: { cipher: AeadCipher; sendKey: Uint8Array; receiveKey: Uint8Array; remoteIndex: number }) {
    this.#cipher = facts.cipher as 'aes-256-gcm';
    this.#sendKey = facts.sendKey.slice();
    this.#receiveKey = facts.receiveKey.slice();
    this.#remoteIndex = facts.remoteIndex;
  }

  say(counter: number | bigint, inner: Inner, body: Uint8Array): Buffer {
    const head = Buffer.from([((inner.kind << 4) | (inner.hopLimit ?? 8)) & 0xff, inner.flags ?? 0]);
    const network = Buffer.alloc(4);
    network.writeUInt32BE(inner.network ?? 0);
    const tail = Buffer.from([inner.index ?? 0, inner.count ?? 1, inner.headerLength ?? 0]);
    return this.seal(counter, Buffer.concat([head, network.subarray(1), tail, body]));
  }

  /** Any plaintext. */
  seal(counter: number | bigint, plain: Uint8Array): Buffer {
    const outer = Buffer.alloc(16);
    outer[0] = 0x14;
    outer.writeUInt32BE(this.#remoteIndex, 4);
    outer.writeBigUInt64BE(BigInt(counter), 8);
    const cipher = createCipheriv(this.#cipher, this.#sendKey, nonce(outer), { authTagLength: 16 });
    cipher.setAAD(outer);
    return Buffer.concat([outer, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws when the datagram is not authentic. */
  hear(datagram: Uint8Array): { counter: bigint; inner: Required<Inner>; body: Buffer } {
    const bytes = Buffer.from(datagram);
    const decipher = createDecipheriv(this.#cipher, this.#receiveKey, nonce(bytes), { authTagLength: 16 });
    decipher.setAAD(bytes.subarray(0, 16));
    decipher.setAuthTag(bytes.subarray(-16));
    const plain = Buffer.concat([decipher.update(bytes.subarray(16, -16)), decipher.final()]);
    const inner = {
      kind: plain[0]! >>> 4,
      hopLimit: plain[0]! & 15,
      flags: plain[1]!,
      network: plain.readUIntBE(2, 3),
      index: plain[5]!,
      count: plain[6]!,
      headerLength: plain[7]!,
    };
    return { counter: bytes.readBigUInt64BE(8), inner, body: plain.subarray(8) };
  }
}

function nonce(datagram: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), datagram.subarray(8, 16)]);
}
