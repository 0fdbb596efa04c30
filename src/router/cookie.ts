// Cookies against handshake floods, as in WireGuard (§5.4.7 of its paper): under load a host answers an initiation with a
// cookie bound to the sender's address, and computes Diffie-Hellman only for senders that prove with mac2 that they got it.
// Invariant: a host keeps no state per sender for this; a reply is smaller than any initiation.

import { ByteReader, ByteWriter, concatBytes, utf8 } from '../base/bytes.ts';
import type { Clock, Crypto, Random } from '../base/capabilities.ts';
import { HANDSHAKE_HEADER_BYTES, MAC_BYTES, mac1Of, mac2Valid } from './handshake-message.ts';
import { formatPath, type TunnelPath } from './tunnel-path.ts';
import { DatagramType, datagramType, readReceiverIndex, reservedBytesClear, WIRE_VERSION } from './wire-format.ts';

/** From WireGuard: the secret behind the cookies lives this long; a client uses a cookie a little shorter. */
const COOKIE_SECRET_MS = 120_000;
export const COOKIE_USABLE_MS = COOKIE_SECRET_MS - 5_000;
const SECRET_BYTES = 32;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const COOKIE_REPLY_BYTES = HANDSHAKE_HEADER_BYTES + SALT_BYTES + NONCE_BYTES + MAC_BYTES + TAG_BYTES;

/** The responder's side. */
export class CookieIssuer {
  readonly #crypto: Crypto;
  readonly #clock: Clock;
  readonly #random: Random;
  #secret: Uint8Array;
  #madeMs: number;

  constructor({ crypto, clock, random }: { crypto: Crypto; clock: Clock; random: Random }) {
    this.#crypto = crypto;
    this.#clock = clock;
    this.#random = random;
    this.#secret = random.bytes(SECRET_BYTES);
    this.#madeMs = clock.monotonicMs();
  }

  /** A reply to this initiation, whose mac1 is valid and whose sender's index is `receiverIndex`. */
  reply(
    initiation: Uint8Array,
    from: TunnelPath,
    { receiverIndex, cookieKey }: { receiverIndex: number; cookieKey: Uint8Array },
  ): Uint8Array {
    const salt = this.#random.bytes(SALT_BYTES);
    const nonce = this.#random.bytes(NONCE_BYTES);
    const key = replyKey(this.#crypto, cookieKey, salt);
    const sealed = this.#crypto.aeadSeal('chacha20-poly1305', key, nonce, mac1Of(initiation), this.#cookieFor(from));
    key.fill(0);
    return new ByteWriter(COOKIE_REPLY_BYTES)
      .u8((WIRE_VERSION << 4) | DatagramType.cookie)
      .u8(0)
      .u16(0)
      .u32(receiverIndex)
      .bytes(salt)
      .bytes(nonce)
      .bytes(sealed)
      .finish();
  }

  /** True when the sender at that address, or behind that relay, has answered with a cookie of ours that is still good. */
  proven(initiation: Uint8Array, from: TunnelPath): boolean {
    return mac2Valid(this.#crypto, this.#cookieFor(from), initiation);
  }

  #cookieFor(from: TunnelPath): Uint8Array {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#madeMs >= COOKIE_SECRET_MS) {
      this.#secret.fill(0);
      this.#secret = this.#random.bytes(SECRET_BYTES);
      this.#madeMs = nowMs;
    }
    return this.#crypto.hmacBlake2s(this.#secret, utf8(formatPath(from))).subarray(0, MAC_BYTES);
  }
}

/** Which handshake a cookie reply belongs to; null unless its form is right. */
export function cookieReceiverIndex(reply: Uint8Array): number | null {
  const formed =
    reply.length === COOKIE_REPLY_BYTES && datagramType(reply) === DatagramType.cookie && reservedBytesClear(reply);
  return formed ? readReceiverIndex(reply) : null;
}

/** The initiator's side: the cookie, or null when the reply was not made for exactly the initiation with this mac1. */
export function openCookie(
  crypto: Crypto,
  { reply, cookieKey, mac1 }: { reply: Uint8Array; cookieKey: Uint8Array; mac1: Uint8Array },
): Uint8Array | null {
  const reader = new ByteReader(reply.subarray(HANDSHAKE_HEADER_BYTES));
  const salt = reader.bytes(SALT_BYTES);
  const nonce = reader.bytes(NONCE_BYTES);
  const sealed = reader.bytes(MAC_BYTES + TAG_BYTES);
  if (reader.failed) return null;
  return crypto.aeadOpen('chacha20-poly1305', replyKey(crypto, cookieKey, salt), nonce, mac1, sealed);
}

/**
 * WireGuard seals the cookie with XChaCha20-Poly1305 because many replies go out under one long-lived key and a random
 * 96-bit nonce alone might repeat. What XChaCha does is to derive a fresh key from the long-lived one and part of a long
 * random nonce (by HChaCha20); this does the same with HKDF-Expand (RFC 5869: one HMAC block, here over BLAKE2s) and a
 * 128-bit salt. Key and nonce repeat together only when 224 random bits do, 32 more than XChaCha20 has.
 */
function replyKey(crypto: Crypto, cookieKey: Uint8Array, salt: Uint8Array): Uint8Array {
  return crypto.hmacBlake2s(cookieKey, concatBytes(utf8('fabric cookie reply'), salt, Uint8Array.of(1)));
}
