// The Noise Protocol Framework (revision 34) as a state machine without I/O: handshake patterns are data, messages go in and
// out as bytes. fabric uses IKpsk2 only; other one-way-known patterns run for the published vectors (test/router/noise.test.ts).
// Invariant: a message that does not authenticate changes nothing, so a forged answer can't spoil a handshake under way.

import { concatBytes, utf8 } from '../base/bytes.ts';
import type { Crypto, X25519Key } from '../base/capabilities.ts';

export type NoiseToken = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk';

/** A 25519_ChaChaPoly_BLAKE2s pattern whose initiator knows the responder's static key (`<- s` before the messages). */
export interface NoisePattern {
  readonly name: string;
  /** Odd messages come from the initiator, even ones from the responder. */
  readonly messages: readonly (readonly NoiseToken[])[];
}

/** As in WireGuard: one round trip, initiator's identity hidden, symmetric secret mixed in with the second message. */
export const IKPSK2: NoisePattern = {
  name: 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s',
  messages: [
    ['e', 'es', 's', 'ss'],
    ['e', 'ee', 'se', 'psk'],
  ],
};

export const DH_BYTES = 32;
export const NOISE_TAG_BYTES = 16;
const HASH_BYTES = 32;
const NO_BYTES = new Uint8Array(0);

export interface NoiseOptions {
  readonly pattern: NoisePattern;
  readonly role: 'initiator' | 'responder';
  /** Both sides' must be equal. */
  readonly prologue: Uint8Array;
  readonly staticPrivate: X25519Key;
  readonly staticPublic: Uint8Array;
  /** Fresh for each handshake; it keeps no reference to these bytes. */
  readonly ephemeralPrivate: Uint8Array;
  /** The initiator's knowledge of the responder; ignored for a responder. */
  readonly remoteStatic?: Uint8Array;
  readonly psk: Uint8Array;
}

export interface TransportKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

export class NoiseHandshake {
  readonly #crypto: Crypto;
  readonly #options: NoiseOptions;
  #ephemeral: X25519Key | null;
  readonly #psk: Uint8Array;
  #state: HandshakeState;
  #turn = 0;

  constructor(crypto: Crypto, options: NoiseOptions) {
    const { pattern, role, prologue, staticPublic, remoteStatic } = options;
    this.#crypto = crypto;
    this.#options = options;
    this.#ephemeral = crypto.x25519Key(options.ephemeralPrivate);
    this.#psk = options.psk.slice();
    const known = role === 'initiator' ? remoteStatic : staticPublic;
    if (known === undefined) throw new Error('invariant broken: the initiator knows the responder');
    this.#state = new HandshakeState(crypto, utf8(pattern.name), role === 'initiator' ? known : null);
    this.#state.mixHash(prologue);
    this.#state.mixHash(known);
  }

  /** The other side's static key once a message has proved it (for the initiator: from the start). */
  get remoteStatic(): Uint8Array | null {
    return this.#state.remoteStatic;
  }

  /** The transcript's hash, equal on both sides; a channel binding. */
  get handshakeHash(): Uint8Array {
    return this.#state.h;
  }

  get finished(): boolean {
    return this.#turn === this.#options.pattern.messages.length;
  }

  /** The next message of this side; null when the other side's keys are of low order. */
  writeMessage(payload: Uint8Array): Uint8Array | null {
    const state = this.#state.copy();
    const parts: Uint8Array[] = [];
    for (const token of this.#tokens('write')) {
      if (token === 'e') {
        const ephemeral = this.#ephemeralKey.publicKey;
        parts.push(ephemeral);
        this.#mixEphemeral(state, ephemeral);
      } else if (token === 's') {
        parts.push(state.encryptAndHash(this.#options.staticPublic));
      } else if (!this.#mixSecret(state, token)) {
        state.wipe();
        return null;
      }
    }
    parts.push(state.encryptAndHash(payload));
    this.#advance(state);
    return concatBytes(...parts);
  }

  /** The payload of the other side's next message; null, and no change, when it does not authenticate. */
  readMessage(message: Uint8Array): Uint8Array | null {
    const state = this.#state.copy();
    let rest = message;
    const take = (length: number): Uint8Array | null => {
      if (rest.length < length) return null;
      const part = rest.subarray(0, length);
      rest = rest.subarray(length);
      return part;
    };
    const process = (token: NoiseToken): boolean => {
      if (token === 'e') {
        const ephemeral = take(DH_BYTES);
        if (ephemeral === null) return false;
        state.remoteEphemeral = ephemeral.slice();
        this.#mixEphemeral(state, ephemeral);
        return true;
      }
      if (token !== 's') return this.#mixSecret(state, token);
      const sealed = take(DH_BYTES + (state.keyed ? NOISE_TAG_BYTES : 0));
      state.remoteStatic = sealed === null ? null : state.decryptAndHash(sealed);
      return state.remoteStatic !== null;
    };
    const payload = this.#tokens('read').every(process) ? state.decryptAndHash(rest) : null;
    if (payload === null) state.wipe();
    else this.#advance(state);
    return payload;
  }

  /** After the last message: one key for each direction, freshly allocated. */
  split(): TransportKeys {
    if (!this.finished) throw new Error('invariant broken: split before the handshake is complete');
    const [initiatorKey, responderKey] = hkdf(this.#crypto, this.#state.ck, NO_BYTES);
    return this.#options.role === 'initiator'
      ? { sendKey: initiatorKey, receiveKey: responderKey }
      : { sendKey: responderKey, receiveKey: initiatorKey };
  }

  /** Zeroes every secret of this handshake. It is of no use afterwards. */
  wipe(): void {
    this.#state.wipe();
    this.#ephemeral = null;
    this.#psk.fill(0);
  }

  get #ephemeralKey(): X25519Key {
    if (this.#ephemeral === null) throw new Error('invariant broken: this handshake has been wiped');
    return this.#ephemeral;
  }

  #tokens(direction: 'write' | 'read'): readonly NoiseToken[] {
    const ownTurn = (this.#options.role === 'initiator') === (this.#turn % 2 === 0);
    const tokens = this.#options.pattern.messages[this.#turn];
    if (tokens === undefined || ownTurn !== (direction === 'write')) {
      throw new Error(`invariant broken: it is not the turn to ${direction} message ${this.#turn + 1}`);
    }
    return tokens;
  }

  #advance(state: HandshakeState): void {
    this.#state.wipe();
    this.#state = state;
    this.#turn++;
  }

  /** In psk patterns ephemerals also randomise the key, so that a psk alone never repeats one (§9.2). */
  #mixEphemeral(state: HandshakeState, ephemeral: Uint8Array): void {
    state.mixHash(ephemeral);
    if (this.#options.pattern.messages.some((tokens) => tokens.includes('psk'))) state.mixKey(ephemeral);
  }

  /** False when a DH gives zero or a key that it needs has not come yet. */
  #mixSecret(state: HandshakeState, token: Exclude<NoiseToken, 'e' | 's'>): boolean {
    if (token === 'psk') {
      state.mixKeyAndHash(this.#psk);
      return true;
    }
    const initiator = this.#options.role === 'initiator';
    const ownEphemeral = token[initiator ? 0 : 1] === 'e';
    const remoteEphemeral = token[initiator ? 1 : 0] === 'e';
    const own = ownEphemeral ? this.#ephemeralKey : this.#options.staticPrivate;
    const remote = remoteEphemeral ? state.remoteEphemeral : state.remoteStatic;
    const shared = remote === null ? null : own.agree(remote);
    if (shared === null) return false;
    state.mixKey(shared);
    shared.fill(0);
    return true;
  }
}

/** CipherState and SymmetricState of the specification (§5.1, §5.2), and what has been learned of the other side. */
class HandshakeState {
  readonly #crypto: Crypto;
  ck: Uint8Array;
  h: Uint8Array;
  #k: Uint8Array | null = null;
  #n = 0;
  remoteStatic: Uint8Array | null;
  remoteEphemeral: Uint8Array | null = null;

  constructor(crypto: Crypto, protocolName: Uint8Array, remoteStatic: Uint8Array | null) {
    this.#crypto = crypto;
    this.remoteStatic = remoteStatic;
    if (protocolName.length > HASH_BYTES) {
      this.h = crypto.blake2s(protocolName);
    } else {
      this.h = new Uint8Array(HASH_BYTES);
      this.h.set(protocolName);
    }
    this.ck = this.h.slice();
  }

  get keyed(): boolean {
    return this.#k !== null;
  }

  copy(): HandshakeState {
    const copy = new HandshakeState(this.#crypto, this.h, this.remoteStatic);
    copy.h = this.h;
    copy.ck = this.ck.slice();
    copy.#k = this.#k?.slice() ?? null;
    copy.#n = this.#n;
    copy.remoteEphemeral = this.remoteEphemeral;
    return copy;
  }

  mixHash(bytes: Uint8Array): void {
    this.h = this.#crypto.blake2s(this.h, bytes);
  }

  mixKey(input: Uint8Array): void {
    const [ck, key] = hkdf(this.#crypto, this.ck, input);
    this.#replaceKeys(ck, key);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [ck, hash, key] = hkdf(this.#crypto, this.ck, input);
    this.#replaceKeys(ck, key);
    this.mixHash(hash);
    hash.fill(0);
  }

  encryptAndHash(plain: Uint8Array): Uint8Array {
    const sealed =
      this.#k === null
        ? plain.slice()
        : this.#crypto.aeadSeal('chacha20-poly1305', this.#k, nonce(this.#n++), this.h, plain);
    this.mixHash(sealed);
    return sealed;
  }

  decryptAndHash(sealed: Uint8Array): Uint8Array | null {
    const plain =
      this.#k === null
        ? sealed.slice()
        : this.#crypto.aeadOpen('chacha20-poly1305', this.#k, nonce(this.#n++), this.h, sealed);
    this.mixHash(sealed);
    return plain;
  }

  wipe(): void {
    this.ck.fill(0);
    this.#k?.fill(0);
  }

  #replaceKeys(ck: Uint8Array, key: Uint8Array): void {
    this.wipe();
    this.ck = ck;
    this.#k = key;
    this.#n = 0;
  }
}

/** HKDF as in §4.3, always three outputs: the first two do not depend on the third. */
function hkdf(crypto: Crypto, chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const secret = crypto.hmacBlake2s(chainingKey, input);
  const first = crypto.hmacBlake2s(secret, Uint8Array.of(1));
  const second = crypto.hmacBlake2s(secret, first, Uint8Array.of(2));
  const third = crypto.hmacBlake2s(secret, second, Uint8Array.of(3));
  secret.fill(0);
  return [first, second, third];
}

/** 32 zero bits and the counter, little-endian (§12.3). */
function nonce(counter: number): Uint8Array {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setUint32(4, counter, true);
  return bytes;
}
