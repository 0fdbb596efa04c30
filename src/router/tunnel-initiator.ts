// The side that asks for a session: series of initiations over a peer's endpoints and the token's generations, and what comes
// back for them. Invariant: at most one initiation per peer is under way; an answer that does not authenticate changes
// nothing but a counter.

import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import { COOKIE_USABLE_MS, cookieReceiverIndex } from './cookie.ts';
import { InitiatorHandshake } from './handshake.ts';
import { parseResponse } from './handshake-message.ts';
import { Capability, type ResponsePayload } from './handshake-payload.ts';
import type { TransportKeys } from './noise.ts';
import type { Tai64nSource } from './tai64n.ts';
import type { HandshakeLoad } from './tunnel-load.ts';
import type { TunnelDrop, TunnelOptions } from './tunnel-options.ts';
import type { HandshakeSeries, TunnelPeer } from './tunnel-peer.ts';
import type { TunnelPeers } from './tunnel-peers.ts';
import type { Session } from './tunnel-sessions.ts';
import { QUICK_RETRY_MS, REKEY_ATTEMPT_MS, rekeyTimeMs, retryDelayMs } from './tunnel-timing.ts';

const KEY_BYTES = 32;

/** An authenticated response, read. */
interface Answer {
  readonly payload: ResponsePayload;
  readonly keys: TransportKeys;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly from: Endpoint;
  readonly nowMs: number;
}

export class TunnelInitiator {
  readonly #options: TunnelOptions;
  readonly #peers: TunnelPeers;
  readonly #load: HandshakeLoad;
  readonly #timestamps: Tai64nSource;

  constructor(parts: { options: TunnelOptions; peers: TunnelPeers; load: HandshakeLoad; timestamps: Tai64nSource }) {
    this.#options = parts.options;
    this.#peers = parts.peers;
    this.#load = parts.load;
    this.#timestamps = parts.timestamps;
  }

  /** Sends the first initiation of a series, unless one is under way or nobody knows where to send it. */
  begin(peer: TunnelPeer, nowMs: number): void {
    if (peer.series !== null) return;
    if (!peer.gaveUp) peer.failure = null;
    peer.series = {
      startedMs: nowMs,
      attempts: 0,
      retryAtMs: nowMs,
      sentMs: nowMs,
      endpoint: null,
      handshake: null,
      offered: this.#options.ciphers,
    };
    this.#attempt(peer, peer.series, nowMs);
  }

  /** Retries or gives up when it is time. */
  service(peer: TunnelPeer, nowMs: number): void {
    const { series } = peer;
    if (series === null) return;
    if (nowMs - series.startedMs >= REKEY_ATTEMPT_MS) {
      const tried = peer.candidates.map(formatEndpoint).join(', ');
      const hint = peer.trouble ?? 'UDP must pass in both directions and both hosts need the same token';
      peer.gaveUp = true;
      this.#peers.count('gaveUp');
      this.#fail(peer, `no answer for ${REKEY_ATTEMPT_MS / 1000} s from ${tried}: ${hint}`);
      this.#options.log.warn('tunnel handshake gave up', { peer: peer.peer, tried, hint });
    } else if (nowMs >= series.retryAtMs) {
      this.#attempt(peer, series, nowMs);
    }
  }

  /** Ends the series; an answer that comes later is dropped. */
  cancel(peer: TunnelPeer): void {
    if (peer.series !== null) this.#discard(peer.series);
    peer.series = null;
  }

  /** The peer whose tunnel is established now; null when the datagram was dropped. */
  response(datagram: Uint8Array, from: Endpoint, nowMs: number): TunnelPeer | null {
    return this.#countDrop(this.#readResponse(datagram, from, nowMs));
  }

  /** The peer that is tried again soon, with the cookie; null when the datagram was dropped. */
  cookieReply(datagram: Uint8Array, nowMs: number): TunnelPeer | null {
    return this.#countDrop(this.#readCookie(datagram, nowMs));
  }

  #readResponse(datagram: Uint8Array, from: Endpoint, nowMs: number): TunnelPeer | TunnelDrop {
    const response = parseResponse(datagram);
    if (response === null) return 'malformed';
    const peer = this.#peers.byIndex(response.receiverIndex);
    const series = peer?.series ?? null;
    const handshake = series?.handshake ?? null;
    if (peer === undefined || series === null || handshake?.localIndex !== response.receiverIndex) {
      return 'unexpected-response';
    }
    if (!handshake.mac1Valid(datagram)) return 'mac1';
    if (!this.#load.admitResponse(nowMs)) return 'work-limit';
    const result = handshake.readResponse(response);
    if (result === 'decrypt') {
      peer.trouble = `the answer from ${formatEndpoint(from)} is not of this peer, or it has another token`;
      return 'decrypt';
    }
    if (result === 'payload' || !series.offered.includes(result.payload.cipher)) {
      peer.trouble = `the answer from ${formatEndpoint(from)} makes no sense to this version of fabric`;
      this.#discard(series);
      if (result !== 'payload') {
        result.keys.sendKey.fill(0);
        result.keys.receiveKey.fill(0);
      }
      return 'payload';
    }
    handshake.wipe();
    peer.series = null;
    peer.handshakeRttMs = nowMs - series.sentMs;
    const remoteIndex = response.senderIndex;
    this.#establish(peer, { ...result, localIndex: handshake.localIndex, remoteIndex, from, nowMs });
    return peer;
  }

  #readCookie(datagram: Uint8Array, nowMs: number): TunnelPeer | TunnelDrop {
    const index = cookieReceiverIndex(datagram);
    if (index === null) return 'malformed';
    const peer = this.#peers.byIndex(index);
    const series = peer?.series ?? null;
    if (peer === undefined || series?.handshake?.localIndex !== index) return 'unexpected-cookie';
    const value = series.handshake.openCookie(datagram);
    if (value === null) return 'cookie-invalid';
    peer.cookie = { value, receivedMs: nowMs };
    peer.trouble = 'it is busy with handshakes and asked for a proof of address';
    series.retryAtMs = Math.min(series.retryAtMs, nowMs + QUICK_RETRY_MS);
    return peer;
  }

  #attempt(peer: TunnelPeer, series: HandshakeSeries, nowMs: number): void {
    const { random, datapath } = this.#options;
    if (!this.#load.admitOutgoing(nowMs)) {
      series.retryAtMs = nowMs + random.fraction() * QUICK_RETRY_MS;
      return;
    }
    const handshake = this.#start(peer, series, nowMs);
    if (typeof handshake === 'string') {
      this.#fail(peer, handshake);
      return;
    }
    const { candidates } = peer;
    const endpoint = candidates[series.attempts % candidates.length]!;
    this.#discard(series);
    series.handshake = handshake;
    series.attempts++;
    series.sentMs = nowMs;
    series.endpoint = endpoint;
    const timing = { attempts: series.attempts, endpoints: candidates.length, patient: peer.gaveUp };
    series.retryAtMs = nowMs + retryDelayMs(timing, random.fraction());
    this.#peers.count('initiations');
    datapath.sendRaw(handshake.datagram, endpoint);
  }

  /** A fresh initiation for the series' next try, or why there can be none. */
  #start(peer: TunnelPeer, series: HandshakeSeries, nowMs: number): InitiatorHandshake | string {
    const { crypto, random, self, mtu, ciphers, capabilities = Capability.answersProbes } = this.#options;
    if (peer.staticKey === null) return 'its static key is not known yet: gossip has not brought its record';
    if (peer.candidates.length === 0) return 'no address of it is known';
    // All endpoints under the newest token first: a peer that missed a rotation answers to the one before.
    const secrets = this.#options.secrets().filter((one) => this.#options.admits?.(peer.peer, one) ?? true);
    const secret = secrets[Math.floor(series.attempts / peer.candidates.length) % Math.max(1, secrets.length)];
    if (secret === undefined) return 'this host holds no token';
    const timestamp = this.#nextTimestamp();
    if (timestamp === null) return 'the state directory cannot be written';
    const cookieGood = peer.cookie !== null && nowMs - peer.cookie.receivedMs < COOKIE_USABLE_MS;
    const localIndex = this.#peers.takeIndex(peer);
    const handshake = InitiatorHandshake.start(crypto, {
      self,
      remoteStatic: peer.staticKey,
      secret,
      localIndex,
      ephemeralPrivate: random.bytes(KEY_BYTES),
      payload: { timestamp, membership: this.#options.membership(secret), mtu, ciphers, capabilities },
      cookie: cookieGood ? peer.cookie!.value : null,
    });
    if (handshake !== null) return handshake;
    this.#peers.freeIndex(localIndex);
    return 'its static key is not a valid X25519 key';
  }

  #establish(peer: TunnelPeer, answer: Answer): void {
    const { payload, keys, localIndex, remoteIndex, from, nowMs } = answer;
    const { datapath, log, mtu, random } = this.#options;
    const session: Session = {
      localIndex,
      remoteIndex,
      initiator: true,
      cipher: payload.cipher,
      createdMs: nowMs,
      rekeyAtMs: rekeyTimeMs(nowMs, true, random.fraction()),
      pathMtu: Math.min(mtu, payload.mtu),
      capabilities: payload.capabilities,
      endpoint: from,
      exhausted: false,
    };
    const rekey = peer.slots.current !== null;
    peer.slots.establish(session);
    datapath.addSession({ peer: peer.peer, localIndex, remoteIndex, cipher: payload.cipher, ...keys, facts: session });
    this.#peers.sendOn(peer, session, { rekey, nowMs });
    // The responder sends nothing on the session before it has heard us on it.
    datapath.sendKeepalive(peer.peer);
    const fields = { peer: peer.peer, endpoint: formatEndpoint(from), cipher: payload.cipher };
    if (rekey) log.debug('tunnel has new keys', fields);
    else log.info('tunnel established', { ...fields, rttMs: peer.handshakeRttMs });
  }

  #countDrop(outcome: TunnelPeer | TunnelDrop): TunnelPeer | null {
    if (typeof outcome !== 'string') return outcome;
    this.#peers.drop(outcome);
    return null;
  }

  /** A store that fails is the host's trouble, not a reason to end the daemon: tunnels that exist go on. */
  #nextTimestamp(): Uint8Array | null {
    try {
      return this.#timestamps.next();
    } catch (error) {
      this.#options.log.error('handshake timestamp not stored', { error: String(error) });
      return null;
    }
  }

  #fail(peer: TunnelPeer, failure: string): void {
    this.cancel(peer);
    const isNews = peer.failure === null && peer.slots.current === null;
    peer.failure = failure;
    if (isNews) this.#options.events.turned?.(peer.peer, { to: 'failed', reason: failure });
  }

  #discard(series: HandshakeSeries): void {
    if (series.handshake === null) return;
    this.#peers.freeIndex(series.handshake.localIndex);
    series.handshake.wipe();
    series.handshake = null;
  }
}
