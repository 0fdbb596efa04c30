// One tunnel handshake, from either side: Noise IKpsk2 with fabric's payloads and datagrams around it, without I/O or time.
// The token generation whose mac1 matched also names the PSK. Invariant: what a reader returns is authenticated by the
// sender's static key and, from the response on, by the cluster's PSK; secrets of a finished handshake are zeroed.

import { concatBytes, utf8 } from '../base/bytes.ts';
import type { Crypto, X25519Key } from '../base/capabilities.ts';
import { openCookie } from './cookie.ts';
import {
  deriveMacKeys,
  initiationHeader,
  mac1Of,
  mac1Valid,
  type ParsedInitiation,
  type ParsedResponse,
  writeInitiation,
  writeMac2,
  writeResponse,
} from './handshake-message.ts';
import {
  encodeInitiationPayload,
  encodeResponsePayload,
  type InitiationPayload,
  parseInitiationPayload,
  parseResponsePayload,
  type ResponsePayload,
} from './handshake-payload.ts';
import { IKPSK2, NoiseHandshake, type TransportKeys } from './noise.ts';

const PROLOGUE = utf8('fabric tunnel 1');

/** What one generation of the cluster's token gives the tunnels; 32 bytes each, derived by HKDF under separate labels. */
export interface TunnelSecret {
  readonly generation: number;
  readonly psk: Uint8Array;
  readonly mac1Key: Uint8Array;
}

export interface StaticKeys {
  readonly staticPrivate: X25519Key;
  readonly staticPublic: Uint8Array;
}

export interface InitiatorOptions {
  readonly self: StaticKeys;
  readonly remoteStatic: Uint8Array;
  readonly secret: TunnelSecret;
  readonly localIndex: number;
  /** 32 fresh random bytes; zeroed here. */
  readonly ephemeralPrivate: Uint8Array;
  readonly payload: InitiationPayload;
  /** Handed out by the responder, still good; else null. */
  readonly cookie: Uint8Array | null;
}

/** The initiator's side: made together with its datagram, waits for the response. */
export class InitiatorHandshake {
  readonly localIndex: number;
  readonly datagram: Uint8Array;
  readonly #crypto: Crypto;
  readonly #noise: NoiseHandshake;
  /** Under which the response's mac1 is made. */
  readonly #ownMac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;

  /** Null when the remote static key is of low order: no handshake is possible. */
  static start(crypto: Crypto, options: InitiatorOptions): InitiatorHandshake | null {
    const noise = new NoiseHandshake(crypto, {
      pattern: IKPSK2,
      role: 'initiator',
      prologue: prologueOf(initiationHeader(options.localIndex)),
      staticPrivate: options.self.staticPrivate,
      staticPublic: options.self.staticPublic,
      ephemeralPrivate: options.ephemeralPrivate,
      remoteStatic: options.remoteStatic,
      psk: options.secret.psk,
    });
    options.ephemeralPrivate.fill(0);
    const first = noise.writeMessage(encodeInitiationPayload(options.payload));
    if (first !== null) return new InitiatorHandshake(crypto, options, noise, first);
    noise.wipe();
    return null;
  }

  private constructor(crypto: Crypto, options: InitiatorOptions, noise: NoiseHandshake, first: Uint8Array) {
    const { secret, remoteStatic, self, localIndex, cookie } = options;
    const remote = deriveMacKeys(crypto, secret.mac1Key, remoteStatic);
    this.#crypto = crypto;
    this.#noise = noise;
    this.#ownMac1Key = deriveMacKeys(crypto, secret.mac1Key, self.staticPublic).mac1Key;
    this.#cookieKey = remote.cookieKey;
    this.localIndex = localIndex;
    this.datagram = writeInitiation(crypto, remote.mac1Key, localIndex, first);
    if (cookie !== null) writeMac2(crypto, cookie, this.datagram);
  }

  /** Whether a response for our index comes from a holder of the token. */
  mac1Valid(datagram: Uint8Array): boolean {
    return mac1Valid(this.#crypto, this.#ownMac1Key, datagram);
  }

  /**
   * `decrypt`: not the responder's answer; the handshake still waits for the true one. `payload`: the responder's, but
   * nonsense; the handshake is over.
   */
  readResponse(
    response: ParsedResponse,
  ): { readonly payload: ResponsePayload; readonly keys: TransportKeys } | 'decrypt' | 'payload' {
    const plain = this.#noise.readMessage(response.noise);
    if (plain === null) return 'decrypt';
    const payload = parseResponsePayload(plain);
    return payload === null ? 'payload' : { payload, keys: this.#noise.split() };
  }

  /** Null unless the reply answers exactly this initiation. */
  openCookie(reply: Uint8Array): Uint8Array | null {
    return openCookie(this.#crypto, { reply, cookieKey: this.#cookieKey, mac1: mac1Of(this.datagram) });
  }

  wipe(): void {
    this.#noise.wipe();
  }
}

export interface ResponderOptions {
  readonly self: StaticKeys;
  /** The generation whose mac1 matched. */
  readonly secret: TunnelSecret;
  /** 32 fresh random bytes; zeroed here. */
  readonly ephemeralPrivate: Uint8Array;
}

/** The responder's side: reads an initiation, then answers it or is wiped. */
export class ResponderHandshake {
  readonly payload: InitiationPayload;
  readonly remoteStatic: Uint8Array;
  readonly #crypto: Crypto;
  readonly #noise: NoiseHandshake;
  readonly #secret: TunnelSecret;
  readonly #remoteIndex: number;

  /** Costs two Diffie-Hellman operations: check mac1 and load first. */
  static read(
    crypto: Crypto,
    initiation: ParsedInitiation,
    options: ResponderOptions,
  ): ResponderHandshake | 'decrypt' | 'payload' {
    const noise = new NoiseHandshake(crypto, {
      pattern: IKPSK2,
      role: 'responder',
      prologue: prologueOf(initiation.header),
      staticPrivate: options.self.staticPrivate,
      staticPublic: options.self.staticPublic,
      ephemeralPrivate: options.ephemeralPrivate,
      psk: options.secret.psk,
    });
    options.ephemeralPrivate.fill(0);
    const plain = noise.readMessage(initiation.noise);
    const payload = plain === null ? null : parseInitiationPayload(plain);
    const remoteStatic = noise.remoteStatic;
    if (payload !== null && remoteStatic !== null) {
      return new ResponderHandshake({ crypto, noise, secret: options.secret, initiation, payload, remoteStatic });
    }
    noise.wipe();
    return plain === null ? 'decrypt' : 'payload';
  }

  private constructor(parts: {
    crypto: Crypto;
    noise: NoiseHandshake;
    secret: TunnelSecret;
    initiation: ParsedInitiation;
    payload: InitiationPayload;
    remoteStatic: Uint8Array;
  }) {
    this.#crypto = parts.crypto;
    this.#noise = parts.noise;
    this.#secret = parts.secret;
    this.#remoteIndex = parts.initiation.senderIndex;
    this.payload = parts.payload;
    this.remoteStatic = parts.remoteStatic;
  }

  get remoteIndex(): number {
    return this.#remoteIndex;
  }

  /** Null when the initiator's ephemeral key is of low order. Wipes itself. */
  answer(localIndex: number, payload: ResponsePayload): { datagram: Uint8Array; keys: TransportKeys } | null {
    const noise = this.#noise.writeMessage(encodeResponsePayload(payload));
    const keys = noise === null ? null : this.#noise.split();
    this.wipe();
    if (noise === null || keys === null) return null;
    const { mac1Key } = deriveMacKeys(this.#crypto, this.#secret.mac1Key, this.remoteStatic);
    const indexes = { receiverIndex: this.#remoteIndex, senderIndex: localIndex };
    return { datagram: writeResponse(this.#crypto, mac1Key, { ...indexes, noise }), keys };
  }

  wipe(): void {
    this.#noise.wipe();
  }
}

/** Binds version, type and sender index of the initiation, which travel in the clear, into the transcript. */
function prologueOf(header: Uint8Array): Uint8Array {
  return concatBytes(PROLOGUE, header);
}
