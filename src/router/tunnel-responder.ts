// The side that answers initiations. Checks go from cheap to dear: form, mac1, load, Diffie-Hellman, membership, timestamp;
// each failure is a counted drop without an answer. Invariant: whoever gets an answer is a member of the cluster with a fresh
// initiation; nothing is sent on the new session, and no endpoint changes, before it proves to hold its keys.

import type { AeadCipher } from '../base/capabilities.ts';
import { CookieIssuer } from './cookie.ts';
import { ResponderHandshake, type TunnelSecret } from './handshake.ts';
import { deriveMacKeys, type MacKeys, mac1Valid, parseInitiation } from './handshake-message.ts';
import { CAPABILITIES } from './handshake-payload.ts';
import { compareTai64n } from './tai64n.ts';
import type { HandshakeLoad } from './tunnel-load.ts';
import type { TunnelDrop, TunnelOptions } from './tunnel-options.ts';
import { endpointOf, formatPath, isRelayPath, type TunnelPath } from './tunnel-path.ts';
import type { TunnelPeer } from './tunnel-peer.ts';
import type { TunnelPeers } from './tunnel-peers.ts';
import type { Session } from './tunnel-sessions.ts';
import { INITIATION_INTERVAL_MS, rekeyTimeMs } from './tunnel-timing.ts';

const KEY_BYTES = 32;

interface OwnSecret {
  readonly secret: TunnelSecret;
  /** With which mac1 of datagrams to us are made. */
  readonly keys: MacKeys;
}

export class TunnelResponder {
  readonly #options: TunnelOptions;
  readonly #peers: TunnelPeers;
  readonly #load: HandshakeLoad;
  readonly #cookies: CookieIssuer;
  #own: readonly OwnSecret[] = [];

  constructor(parts: { options: TunnelOptions; peers: TunnelPeers; load: HandshakeLoad }) {
    this.#options = parts.options;
    this.#peers = parts.peers;
    this.#load = parts.load;
    this.#cookies = new CookieIssuer(parts.options);
  }

  /** The peer whose tunnel changed; null when the datagram was dropped. */
  initiation(datagram: Uint8Array, from: TunnelPath, nowMs: number): TunnelPeer | null {
    const outcome = this.#read(datagram, from, nowMs);
    if (typeof outcome !== 'string') return outcome;
    this.#peers.drop(outcome);
    return null;
  }

  #read(datagram: Uint8Array, from: TunnelPath, nowMs: number): TunnelPeer | TunnelDrop {
    const { crypto, random, self } = this.#options;
    const initiation = parseInitiation(datagram);
    if (initiation === null) return 'malformed';
    const own = this.#ownSecrets().find(({ keys }) => mac1Valid(crypto, keys.mac1Key, datagram));
    if (own === undefined) return 'mac1';

    const overloaded = this.#options.overloaded?.() ?? false;
    const proven = () => this.#cookies.proven(datagram, from);
    const admission = this.#load.admitInitiation(nowMs, from, overloaded, proven);
    if (admission === 'cookie') {
      const receiver = { receiverIndex: initiation.senderIndex, cookieKey: own.keys.cookieKey };
      this.#options.datapath.sendRaw(this.#cookies.reply(datagram, from, receiver), from);
      return 'cookie-required';
    }
    if (admission !== 'read') return admission;

    const ephemeralPrivate = random.bytes(KEY_BYTES);
    const handshake = ResponderHandshake.read(crypto, initiation, { self, secret: own.secret, ephemeralPrivate });
    if (typeof handshake === 'string') return handshake;
    const accepted = this.#accept(handshake, own.secret, from, nowMs);
    handshake.wipe();
    // Worth a line: whoever gets here holds the token. Replays and duplicates are everyday.
    if (typeof accepted === 'string' && accepted !== 'timestamp') {
      this.#options.log.warn('tunnel handshake refused', { from: formatPath(from), reason: accepted });
    }
    return accepted;
  }

  #accept(
    handshake: ResponderHandshake,
    secret: TunnelSecret,
    from: TunnelPath,
    nowMs: number,
  ): TunnelPeer | TunnelDrop {
    const { payload, remoteStatic } = handshake;
    const member = this.#options.verifyMembership(payload.membership, secret);
    if (member === null) return 'membership';
    if (!this.#options.crypto.equal(member.staticKey, remoteStatic)) return 'static-key';
    if (member.peer === this.#options.self.peer) return 'self';
    if (isRelayPath(from) && from.peer !== member.peer) return 'relay-source';
    const peer = this.#peers.ensure(member.peer, remoteStatic);
    if (peer === null) return 'peer-limit';
    if (peer.highestTimestamp !== null && compareTai64n(payload.timestamp, peer.highestTimestamp) <= 0) {
      return 'timestamp';
    }
    if (nowMs - peer.lastInitiationMs < INITIATION_INTERVAL_MS) return 'initiation-rate';
    peer.highestTimestamp = payload.timestamp.slice();
    peer.lastInitiationMs = nowMs;
    const cipher = chooseCipher(payload.ciphers, this.#options.ciphers);
    if (cipher === null) {
      peer.failure = `its handshake offers none of our ciphers: ${this.#options.ciphers.join(', ')}`;
      return 'no-common-cipher';
    }
    return this.#answer(peer, handshake, { cipher, from, nowMs });
  }

  #answer(
    peer: TunnelPeer,
    handshake: ResponderHandshake,
    { cipher, from, nowMs }: { cipher: AeadCipher; from: TunnelPath; nowMs: number },
  ): TunnelPeer | TunnelDrop {
    const { datapath, mtu, random } = this.#options;
    const localIndex = this.#peers.takeIndex(peer);
    const capabilities = this.#options.capabilities ?? CAPABILITIES;
    const answer = handshake.answer(localIndex, { mtu, cipher, capabilities, observed: endpointOf(from) });
    if (answer === null) {
      this.#peers.freeIndex(localIndex);
      return 'decrypt';
    }
    const { remoteIndex } = handshake;
    const session: Session = {
      localIndex,
      remoteIndex,
      initiator: false,
      cipher,
      createdMs: nowMs,
      rekeyAtMs: rekeyTimeMs(nowMs, false, random.fraction()),
      pathMtu: Math.min(mtu, handshake.payload.mtu),
      capabilities: handshake.payload.capabilities,
      path: from,
      observed: handshake.payload.observed,
      exhausted: false,
    };
    peer.slots.offer(session);
    datapath.addSession({ peer: peer.peer, localIndex, remoteIndex, cipher, ...answer.keys, facts: session });
    datapath.sendRaw(answer.datagram, from);
    return peer;
  }

  /** The first valid data came on this session: the initiator has the keys, so we may send on it. */
  confirmed(peer: TunnelPeer, localIndex: number, nowMs: number): Session | null {
    const rekey = peer.slots.current !== null;
    const session = peer.slots.confirm(localIndex);
    if (session === null) return null;
    this.#peers.sendOn(peer, session, { rekey, nowMs });
    const fields = { peer: peer.peer, endpoint: formatPath(session.path), cipher: session.cipher };
    if (rekey) this.#options.log.debug('tunnel has new keys', fields);
    else this.#options.log.info('tunnel established', fields);
    if (!peer.gossiped) {
      this.#options.events.peerSeen({ peer: peer.peer, staticKey: peer.staticKey, endpoint: endpointOf(session.path) });
    }
    return session;
  }

  /** Derived once per token generation, not once per datagram. */
  #ownSecrets(): readonly OwnSecret[] {
    const secrets = this.#options.secrets();
    const same = secrets.length === this.#own.length && secrets.every((secret, i) => this.#own[i]?.secret === secret);
    if (!same) {
      const { crypto, self } = this.#options;
      this.#own = secrets.map((secret) => ({
        secret,
        keys: deriveMacKeys(crypto, secret.mac1Key, self.staticPublic),
      }));
    }
    return this.#own;
  }
}

/** The initiator's first that we have too; but ChaCha20-Poly1305 when we put it first, because AES is slow here. */
function chooseCipher(offered: readonly AeadCipher[], own: readonly AeadCipher[]): AeadCipher | null {
  if (own[0] === 'chacha20-poly1305' && offered.includes('chacha20-poly1305')) return 'chacha20-poly1305';
  return offered.find((cipher) => own.includes(cipher)) ?? null;
}
