// The side that asks for a session: series of initiations over a peer's endpoints, then over relays beside them, and the token's
// generations, and what comes back for them. Invariant: at most one series per peer is under way; the first answer ends it, and one
// that does not authenticate, or comes by another path than was asked, changes nothing but a counter.
//
//   0 s        1 s        1.1 s      1.5 s      2 s                after silence, or when the last series failed:
//   endpoint   endpoint   3 relays   3 relays   endpoint …         endpoint and 0.1 s later relays at once

import { formatEndpoint } from '../base/endpoint.ts';
import { COOKIE_USABLE_MS, cookieReceiverIndex } from './cookie.ts';
import { InitiatorHandshake } from './handshake.ts';
import { parseResponse } from './handshake-message.ts';
import { CAPABILITIES, type ResponsePayload } from './handshake-payload.ts';
import type { TransportKeys } from './noise.ts';
import type { Tai64nSource } from './tai64n.ts';
import type { HandshakeLoad } from './tunnel-load.ts';
import type { TunnelDrop, TunnelOptions } from './tunnel-options.ts';
import { endpointOf, equalPaths, formatPath, isRelayPath, relayOf, type TunnelPath } from './tunnel-path.ts';
import type { HandshakeSeries, HandshakeTry, TunnelPeer } from './tunnel-peer.ts';
import type { TunnelPeers } from './tunnel-peers.ts';
import type { TunnelRelays } from './tunnel-relays.ts';
import type { Session } from './tunnel-sessions.ts';
import {
  QUICK_RETRIES,
  QUICK_RETRY_MS,
  REKEY_ATTEMPT_MS,
  RELAY_AGAIN_MS,
  RELAY_STAGGER_MS,
  RELAY_TRIES,
  rekeyTimeMs,
  retryDelayMs,
} from './tunnel-timing.ts';

const KEY_BYTES = 32;

/** An authenticated response, read. */
interface Answer {
  readonly payload: ResponsePayload;
  readonly keys: TransportKeys;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly from: TunnelPath;
  readonly nowMs: number;
}

export class TunnelInitiator {
  readonly #options: TunnelOptions;
  readonly #peers: TunnelPeers;
  readonly #load: HandshakeLoad;
  readonly #timestamps: Tai64nSource;
  readonly #relays: TunnelRelays;

  constructor(parts: {
    options: TunnelOptions;
    peers: TunnelPeers;
    load: HandshakeLoad;
    timestamps: Tai64nSource;
    relays: TunnelRelays;
  }) {
    this.#options = parts.options;
    this.#peers = parts.peers;
    this.#load = parts.load;
    this.#timestamps = parts.timestamps;
    this.#relays = parts.relays;
  }

  /**
   * Sends the first initiation of a series, unless one is under way or nobody knows where to send it. One for any path takes the
   * place of one for a direct path.
   */
  begin(peer: TunnelPeer, nowMs: number, aim: HandshakeSeries['aim'] = 'any'): void {
    if (peer.series !== null && (aim === 'direct' || peer.series.aim === 'any')) return;
    this.cancel(peer);
    if (!peer.gaveUp) peer.failure = null;
    peer.series = {
      aim,
      startedMs: nowMs,
      attempts: 0,
      retryAtMs: nowMs,
      relaysAtMs: Number.POSITIVE_INFINITY,
      relayTries: 0,
      lacksRelay: false,
      path: null,
      tries: [],
      offered: this.#options.ciphers,
    };
    this.#attempt(peer, peer.series, nowMs);
  }

  /** Retries or gives up when it is time. */
  service(peer: TunnelPeer, nowMs: number): void {
    const { series } = peer;
    if (series === null) return;
    if (nowMs - series.startedMs >= REKEY_ATTEMPT_MS) {
      const tried = peer.candidates.map(formatEndpoint).join(', ') || 'any relay';
      const hint = peer.trouble ?? 'UDP must pass in both directions and both hosts need the same token';
      peer.gaveUp = true;
      this.#peers.count('gaveUp');
      this.#fail(peer, `no answer for ${REKEY_ATTEMPT_MS / 1000} s from ${tried}: ${hint}`);
      this.#options.log.warn('tunnel handshake gave up', { peer: peer.peer, tried, hint });
    } else if (nowMs >= series.retryAtMs) {
      this.#attempt(peer, series, nowMs);
    } else if (nowMs >= series.relaysAtMs) {
      this.#tryRelays(peer, series, nowMs);
    }
  }

  /** A relay that was missing is there. */
  relayCame(peer: TunnelPeer, nowMs: number): void {
    if (peer.series === null) return;
    peer.series.relayTries = 0;
    this.#tryRelays(peer, peer.series, nowMs);
  }

  /** Ends the series; an answer that comes later is dropped. */
  cancel(peer: TunnelPeer): void {
    if (peer.series !== null) this.#discard(peer.series);
    peer.series = null;
  }

  /** The peer whose tunnel is established now; null when the datagram was dropped. */
  response(datagram: Uint8Array, from: TunnelPath, nowMs: number): TunnelPeer | null {
    return this.#countDrop(this.#readResponse(datagram, from, nowMs));
  }

  /** The peer that is tried again soon, with the cookie; null when the datagram was dropped. */
  cookieReply(datagram: Uint8Array, nowMs: number): TunnelPeer | null {
    return this.#countDrop(this.#readCookie(datagram, nowMs));
  }

  #readResponse(datagram: Uint8Array, from: TunnelPath, nowMs: number): TunnelPeer | TunnelDrop {
    const response = parseResponse(datagram);
    if (response === null) return 'malformed';
    const peer = this.#peers.byIndex(response.receiverIndex);
    const series = peer?.series ?? null;
    const asked = tryOf(series, response.receiverIndex);
    if (peer === undefined || series === null || asked === undefined || !answersBy(asked.path, from)) {
      return 'unexpected-response';
    }
    const { handshake } = asked;
    if (!handshake.mac1Valid(datagram)) return 'mac1';
    if (!this.#load.admitResponse(nowMs)) return 'work-limit';
    const result = handshake.readResponse(response);
    if (result === 'decrypt') {
      peer.trouble = `the answer from ${formatPath(from)} is not of this peer, or it has another token`;
      return 'decrypt';
    }
    if (result === 'payload' || !series.offered.includes(result.payload.cipher)) {
      peer.trouble = `the answer from ${formatPath(from)} makes no sense to this version of fabric`;
      series.tries = series.tries.filter((one) => one !== asked);
      this.#forget(asked);
      if (result !== 'payload') {
        result.keys.sendKey.fill(0);
        result.keys.receiveKey.fill(0);
      }
      return 'payload';
    }
    handshake.wipe();
    series.tries = series.tries.filter((one) => one !== asked); // its index goes on as the session's
    this.cancel(peer);
    peer.handshakeRttMs = nowMs - asked.sentMs;
    const remoteIndex = response.senderIndex;
    this.#establish(peer, { ...result, localIndex: handshake.localIndex, remoteIndex, from, nowMs });
    return peer;
  }

  #readCookie(datagram: Uint8Array, nowMs: number): TunnelPeer | TunnelDrop {
    const index = cookieReceiverIndex(datagram);
    if (index === null) return 'malformed';
    const peer = this.#peers.byIndex(index);
    const series = peer?.series ?? null;
    const asked = tryOf(series, index);
    if (peer === undefined || series === null || asked === undefined) return 'unexpected-cookie';
    const value = asked.handshake.openCookie(datagram);
    if (value === null) return 'cookie-invalid';
    peer.cookie = { value, receivedMs: nowMs };
    peer.trouble = 'it is busy with handshakes and asked for a proof of address';
    series.retryAtMs = Math.min(series.retryAtMs, nowMs + QUICK_RETRY_MS);
    return peer;
  }

  #attempt(peer: TunnelPeer, series: HandshakeSeries, nowMs: number): void {
    const candidates = series.aim === 'direct' ? peer.punchable : peer.candidates;
    if (series.aim === 'direct' && series.attempts >= candidates.length) {
      this.cancel(peer);
      return;
    }
    const renews = peer.slots.current !== null && relayOf(peer.path) !== null && !peer.silent;
    const byRelayFirst = series.aim === 'any' && (candidates.length === 0 || (renews && series.attempts === 0));
    const place = keepsPlace(peer, series) ? 0 : series.attempts % candidates.length;
    const endpoint = byRelayFirst ? undefined : candidates[place];
    if (endpoint !== undefined && !this.#try(peer, series, { path: endpoint, nowMs, begins: true })) return;
    series.relayTries = 0;
    series.relaysAtMs = this.#relaysAtMs(peer, series, byRelayFirst, nowMs);
    series.attempts++;
    const timing = { attempts: series.attempts, endpoints: candidates.length, patient: peer.gaveUp };
    series.retryAtMs = nowMs + retryDelayMs(timing, this.#options.random.fraction());
    if (byRelayFirst) this.#tryRelays(peer, series, nowMs);
  }

  /** In the round that begins: never while the first endpoint may still answer, unless there is reason to doubt it. */
  #relaysAtMs(peer: TunnelPeer, series: HandshakeSeries, first: boolean, nowMs: number): number {
    if (series.aim === 'direct' || !this.#relays.works) return Number.POSITIVE_INFINITY;
    if (first) return nowMs;
    const doubtful = series.attempts > 0 || peer.gaveUp || peer.silent || relayOf(peer.path) !== null;
    return doubtful ? nowMs + RELAY_STAGGER_MS : Number.POSITIVE_INFINITY;
  }

  #tryRelays(peer: TunnelPeer, series: HandshakeSeries, nowMs: number): void {
    const { use: relays, connect } = this.#relays.choose(peer, series.attempts - 1);
    series.relayTries++;
    const again = relays.length > 0 && series.relayTries < RELAY_TRIES;
    series.relaysAtMs = again ? nowMs + RELAY_AGAIN_MS : Number.POSITIVE_INFINITY;
    series.lacksRelay = relays.length === 0;
    for (const relay of relays) {
      if (!this.#try(peer, series, { path: { relay, peer: peer.peer }, nowMs, begins: false })) return;
    }
    if (relays.length + connect.length + peer.candidates.length === 0) this.#fail(peer, 'no address of it is known');
  }

  /** Sends one initiation; `begins`: a round, which ends the tries of the one before. False when it could not be sent. */
  #try(
    peer: TunnelPeer,
    series: HandshakeSeries,
    { path, nowMs, begins }: { path: TunnelPath; nowMs: number; begins: boolean },
  ): boolean {
    if (!this.#load.admitOutgoing(nowMs, series.aim)) {
      if (series.aim === 'direct')
        this.cancel(peer); // whoever wants it asks again
      else series.retryAtMs = nowMs + this.#options.random.fraction() * QUICK_RETRY_MS;
      return false;
    }
    const handshake = this.#start(peer, series, { path, nowMs });
    if (typeof handshake === 'string') {
      this.#fail(peer, handshake);
      return false;
    }
    if (begins) this.#discard(series);
    series.tries.push({ path, handshake, sentMs: nowMs });
    series.path = path;
    this.#peers.count('initiations');
    this.#options.datapath.sendRaw(handshake.datagram, path);
    return true;
  }

  /** A fresh initiation for the series' next try, or why there can be none. */
  #start(
    peer: TunnelPeer,
    series: HandshakeSeries,
    { path, nowMs }: { path: TunnelPath; nowMs: number },
  ): InitiatorHandshake | string {
    const { crypto, random, self, mtu, ciphers, capabilities = CAPABILITIES } = this.#options;
    // All endpoints under the newest token first: a peer that missed a rotation answers to the one before.
    const secrets = this.#options.secrets().filter((one) => this.#options.admits?.(peer.peer, one) ?? true);
    const round = Math.floor(series.attempts / Math.max(1, peer.candidates.length));
    const secret = secrets[round % Math.max(1, secrets.length)];
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
      payload: {
        timestamp,
        membership: this.#options.membership(secret),
        mtu,
        ciphers,
        capabilities,
        observed: endpointOf(path),
      },
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
      path: from,
      observed: payload.observed,
      exhausted: false,
    };
    const rekey = peer.slots.current !== null;
    peer.slots.establish(session);
    datapath.addSession({ peer: peer.peer, localIndex, remoteIndex, cipher: payload.cipher, ...keys, facts: session });
    this.#peers.sendOn(peer, session, { rekey, nowMs });
    // The responder sends nothing on the session before it has heard us on it.
    datapath.sendKeepalive(peer.peer);
    const fields = { peer: peer.peer, endpoint: formatPath(from), cipher: payload.cipher };
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
    for (const one of series.tries) this.#forget(one);
    series.tries = [];
  }

  #forget({ handshake }: HandshakeTry): void {
    this.#peers.freeIndex(handshake.localIndex);
    handshake.wipe();
  }
}

/**
 * New keys for a path that works: who does not answer there at once is restarting. Another address may carry less, and the session
 * would stay there.
 */
function keepsPlace({ slots, path, silent }: TunnelPeer, { attempts }: HandshakeSeries): boolean {
  return slots.current !== null && endpointOf(path) !== null && !silent && attempts <= QUICK_RETRIES;
}

function tryOf(series: HandshakeSeries | null, localIndex: number): HandshakeTry | undefined {
  return series?.tries.find(({ handshake }) => handshake.localIndex === localIndex);
}

/** An endpoint may answer from another one; a relay brings the answer itself. */
function answersBy(asked: TunnelPath, from: TunnelPath): boolean {
  return isRelayPath(asked) ? equalPaths(asked, from) : !isRelayPath(from);
}
