// The control side of the encrypted tunnels: decides when to shake hands with which peer, hands session keys to the datapath,
// and replaces and ends them in time. Without I/O and clocks of its own: datagrams, events and ticks come in, commands to the
// datapath go out. Follows WireGuard (https://www.wireguard.com/papers/wireguard.pdf) §5 and §6.
// Invariants: keys come only from a handshake with an authenticated member; a session sends for at most 180 s; the old session
// stays receivable while a new one takes over; bad datagrams are counted drops.
//
//   datapath ── handshake datagram, sessionWanted, sessionConfirmed, … ──▶ Tunnels ── addSession, useSession, sendRaw ──▶
//   gossip   ── setPeer, removePeer ──▶                                                   ── peerSeen ──▶ daemon
//   a datapath that works ── begin ──▶

import { equalBytes } from '../base/bytes.ts';
import type { Endpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';
import { equalNatFacts, type NatFacts, NOT_BEHIND_NAT } from '../base/nat-facts.ts';
import type { PeerCounters } from './datapath.ts';
import { Tai64nSource } from './tai64n.ts';
import { type LeftTunnels, TunnelAdopter } from './tunnel-adopter.ts';
import { TunnelInitiator } from './tunnel-initiator.ts';
import { HandshakeLoad } from './tunnel-load.ts';
import {
  type HandshakeCounts,
  TUNNEL_LIMITS,
  type TunnelDrop,
  type TunnelOptions,
  type TunnelStatus,
} from './tunnel-options.ts';
import { endpointOf, isRelayPath, relayOf, type TunnelPath } from './tunnel-path.ts';
import type { TunnelPeer } from './tunnel-peer.ts';
import { TunnelPeers } from './tunnel-peers.ts';
import { RecentPeers } from './tunnel-recent.ts';
import { TunnelRelays } from './tunnel-relays.ts';
import { TunnelResponder } from './tunnel-responder.ts';
import type { Session } from './tunnel-sessions.ts';
import { CONFIRM_WAIT_MS, IDLE_POLL_MS, NAT_KEEPALIVE_MS, POLL_MS, REKEY_ATTEMPT_MS } from './tunnel-timing.ts';
import { DatagramType, datagramType } from './wire-format.ts';

/** Below every size of the search for the path's MTU, which takes no notice of the answer. */
export const PROD_BYTES = 300;

export class Tunnels {
  readonly #options: TunnelOptions;
  readonly #persistentMs: number | null;
  readonly #peers: TunnelPeers;
  readonly #initiator: TunnelInitiator;
  readonly #responder: TunnelResponder;
  readonly #recent: RecentPeers;
  readonly #adopter: TunnelAdopter;
  readonly #relays: TunnelRelays;
  /** Peers with a session, a handshake or a waiting frame: time passes for no others. */
  readonly #active = new Set<TunnelPeer>();
  /** When the owner will call {@link tick} next, as far as it has been told. */
  #promisedMs = Number.NEGATIVE_INFINITY;

  /** Throws `state-damaged` when the stored timestamp is damaged. Call {@link begin} once a datapath works. */
  constructor(options: TunnelOptions) {
    const limits = { ...TUNNEL_LIMITS, ...options.limits };
    const load = new HandshakeLoad(limits);
    this.#options = options;
    this.#persistentMs = options.persistentKeepaliveMs ?? null;
    this.#peers = new TunnelPeers(options, limits.peersMax);
    const timestamps = new Tai64nSource(options);
    const connect = (id: PeerId): void => this.relayWanted(id);
    this.#relays = new TunnelRelays({ options, peers: this.#peers, active: this.#active, connect });
    this.#initiator = new TunnelInitiator({ options, peers: this.#peers, load, timestamps, relays: this.#relays });
    this.#responder = new TunnelResponder({ options, peers: this.#peers, load });
    this.#recent = new RecentPeers(options);
    this.#adopter = new TunnelAdopter({ options, peers: this.#peers });
    for (const { peer: id, staticKey, endpoint } of this.#recent.list()) {
      const peer = this.#peers.ensure(id, staticKey);
      if (peer !== null) peer.advertised = [endpoint];
    }
  }

  /**
   * A datapath works, the first one or another: takes over what it kept of earlier control sides, and initiates at once to
   * recent peers that have no session in it.
   */
  begin(left: LeftTunnels): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const peer of this.#adopter.adopt(left, nowMs)) this.#rearm(peer, nowMs);
    for (const { localIndex, role, confirmed } of left.sessions) {
      if (role === 'next' && confirmed) this.sessionConfirmed(localIndex); // while nobody heard the event
    }
    for (const { peer } of this.#recent.list()) {
      if (this.#peers.get(peer) !== undefined) this.sessionWanted(peer);
    }
  }

  /** What gossip says of a peer; repeats are cheap. `endpoints`: best first, at most eight are used. */
  setPeer(id: PeerId, facts: { staticKey: Uint8Array; endpoints: readonly Endpoint[]; nat?: NatFacts }): void {
    const { staticKey, endpoints, nat = NOT_BEHIND_NAT } = facts;
    if (id === this.#options.self.peer) return;
    const peer = this.#peers.ensure(id, staticKey);
    if (peer === null) {
      this.#peers.drop('peer-limit');
      return;
    }
    peer.gossiped = true;
    if (!equalBytes(peer.staticKey, staticKey)) peer.staticKey = staticKey.slice();
    const isMoved = peer.advertise(endpoints) || !equalNatFacts(peer.nat, nat);
    peer.nat = nat;
    if (isMoved) this.#tryDirectly(peer);
    if (peer.wantedMs !== null && peer.series === null && peer.slots.current === null) this.sessionWanted(id);
  }

  /** A stream to or from the peer has opened: packets pass between the two. */
  reached(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) this.#tryDirectly(peer);
  }

  #tryDirectly(peer: TunnelPeer): void {
    if (relayOf(peer.path) === null) return;
    const nowMs = this.#options.clock.monotonicMs();
    peer.punching.restart(nowMs);
    this.#rearm(peer, nowMs);
  }

  /** Ends the tunnel at once and forgets the peer: it left, or was revoked (then `verifyMembership` refuses it too). */
  removePeer(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) this.#end(peer);
    this.#peers.delete(id);
    this.#recent.forget(id);
    this.#relays.forget(id);
    this.#peers.observed.forget(id);
    this.#options.datapath.removePeer(id);
    this.#leaveRelay(id);
  }

  /** Ends the tunnel at once; the peer stays known, and may prove itself anew. */
  cut(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer !== undefined) this.#end(peer);
    this.#leaveRelay(id);
  }

  /** A handshake datagram from the socket: anything at all. */
  handleDatagram(datagram: Uint8Array, from: TunnelPath): void {
    const nowMs = this.#options.clock.monotonicMs();
    switch (datagramType(datagram)) {
      case DatagramType.initiation: {
        const peer = this.#responder.initiation(datagram, from, nowMs);
        if (peer !== null) this.#rearm(peer, nowMs);
        return;
      }
      case DatagramType.response: {
        const peer = this.#initiator.response(datagram, from, nowMs);
        if (peer !== null) this.#established(peer, nowMs);
        return;
      }
      case DatagramType.cookie: {
        const peer = this.#initiator.cookieReply(datagram, nowMs);
        if (peer !== null) this.#rearm(peer, nowMs);
        return;
      }
      default:
        this.#peers.drop('malformed');
    }
  }

  /**
   * Datapath event: a frame waits for a session. Also the way to bring a tunnel up without a frame. Of a peer that is not known nothing
   * is kept: it has just left, and the datapath says so of a frame from before.
   */
  sessionWanted(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (peer.slots.current !== null && !peer.slots.current.exhausted) return;
    peer.wantedMs = nowMs;
    if (!this.#awaitsConfirmation(peer, nowMs)) this.#initiator.begin(peer, nowMs);
    this.#rearm(peer, nowMs);
  }

  /**
   * Datapath event: what is relayed waits for a direct session with this peer. Its endpoints are tried once, and no relay of its own:
   * else one host that nobody reaches would make all others look for a way to it.
   */
  relayWanted(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || (peer.slots.current !== null && relayOf(peer.path) === null)) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#awaitsConfirmation(peer, nowMs)) this.#initiator.begin(peer, nowMs, 'direct');
    this.#rearm(peer, nowMs);
  }

  /**
   * Shows the peer a datagram now: a small probe on the session, else an initiation to its next endpoint, whatever pause the last
   * one left. For people who wait; at most a few times per second.
   */
  prod(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (peer.slots.current !== null) {
      this.#options.datapath.sendProbe(id, PROD_BYTES);
    } else if (peer.series === null) {
      this.sessionWanted(id);
    } else {
      peer.series.retryAtMs = nowMs;
      this.#initiator.service(peer, nowMs);
      this.#rearm(peer, nowMs);
    }
  }

  /** A new handshake although a session lives: the peer is known to have restarted and lost its sessions. */
  renew(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || peer.slots.current === null) return;
    const nowMs = this.#options.clock.monotonicMs();
    this.#initiator.begin(peer, nowMs);
    this.#rearm(peer, nowMs);
  }

  /** Datapath event: the first valid datagram of this session arrived. */
  sessionConfirmed(localIndex: number): void {
    const peer = this.#peers.byIndex(localIndex);
    if (peer === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#responder.confirmed(peer, localIndex, nowMs)) return;
    this.#initiator.cancel(peer);
    this.#established(peer, nowMs);
  }

  /** Datapath event: the session's counter neared its limit. */
  sessionExhausted(localIndex: number): void {
    const peer = this.#peers.byIndex(localIndex);
    const session = peer?.slots.current;
    if (peer === undefined || session?.localIndex !== localIndex) return;
    const nowMs = this.#options.clock.monotonicMs();
    session.exhausted = true;
    this.#initiator.begin(peer, nowMs);
    this.#rearm(peer, nowMs);
  }

  /** Datapath event: valid data came from another endpoint, where the datapath sends already, unless a relay was taken meanwhile. */
  roamed(id: PeerId, endpoint: Endpoint): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || relayOf(peer.path) !== null) return;
    const { current, next } = peer.slots;
    peer.path = endpoint;
    if (current !== null) current.path = endpoint;
    if (next !== null && !isRelayPath(next.path)) next.path = endpoint;
    this.#options.events.placed(id, { endpoint, pathMtu: current?.pathMtu ?? null });
    const nowMs = this.#options.clock.monotonicMs();
    peer.mtuSearch.recheck(nowMs);
    if (peer.active) this.#rearm(peer, nowMs);
  }

  /** Datapath event: the peer received a probe that made an outer IP packet of `bytes`. */
  probeAnswered(id: PeerId, bytes: number): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || peer.slots.current === null) return;
    this.#options.events.probed?.(id, bytes);
    const nowMs = this.#options.clock.monotonicMs();
    peer.mtuSearch.answered(bytes, nowMs);
    this.#peers.applyPathMtu(peer);
    this.#rearm(peer, nowMs);
  }

  /**
   * Does what is due and returns the milliseconds until the next call is wanted (0 to 60,000); `wake` says when it must come
   * earlier. `stats` are the datapath's counters of now; peers that it does not name keep their last ones.
   */
  tick(stats: readonly PeerCounters[]): number {
    const nowMs = this.#options.clock.monotonicMs();
    for (const counters of stats) {
      const peer = this.#peers.get(counters.peer);
      if (peer !== undefined) peer.counters = counters;
    }
    this.#peers.expireObserved(nowMs);
    this.#relays.seekRendezvous(this.#peers.observed, nowMs);
    let nextMs = nowMs + IDLE_POLL_MS;
    for (const peer of this.#active) {
      this.#service(peer, nowMs);
      if (peer.active) {
        nextMs = Math.min(nextMs, this.#dueMs(peer, nowMs));
      } else {
        this.#active.delete(peer);
        this.#recent.forget(peer.peer);
      }
    }
    this.#promisedMs = nextMs;
    return Math.max(0, nextMs - nowMs);
  }

  /** Null for a peer that is not known. */
  status(peer: PeerId): TunnelStatus | null {
    return this.#peers.get(peer)?.status(this.#options.clock.monotonicMs(), this.#peers.observed) ?? null;
  }

  /** All known peers, in no order. */
  statuses(): readonly TunnelStatus[] {
    const nowMs = this.#options.clock.monotonicMs();
    return [...this.#peers.all()].map((peer) => peer.status(nowMs, this.#peers.observed));
  }

  handshakes(): HandshakeCounts {
    return this.#peers.handshakes;
  }

  /** Handshake datagrams dropped since start, by reason. */
  drops(): Readonly<Record<TunnelDrop, number>> {
    return this.#peers.drops;
  }

  /** How much is remembered: all bounded. */
  sizes(): Readonly<Record<'peers' | 'indexes' | 'active' | 'relaysAwaited', number>> {
    const { size: peers, indexes } = this.#peers;
    return { peers, indexes, active: this.#active.size, relaysAwaited: this.#relays.awaited };
  }

  /** Ends all sessions; they and their keys leave the datapath. Recent peers stay remembered. */
  close(): void {
    for (const peer of this.#peers.all()) {
      this.#end(peer);
      peer.agreedMtu = null; // the next datapath has not heard of it
    }
  }

  #service(peer: TunnelPeer, nowMs: number): void {
    peer.slots.expire(nowMs);
    if (peer.wantedMs !== null && nowMs - peer.wantedMs >= REKEY_ATTEMPT_MS) peer.wantedMs = null;
    const { current } = peer.slots;
    if (current !== null) {
      this.#watch(peer, current, nowMs);
      const probeBytes = peer.mtuSearch.tick(nowMs, peer.counters?.lastDataSentMs ?? null);
      if (probeBytes !== null) this.#options.datapath.sendProbe(peer.peer, probeBytes);
    }
    const needed = current === null ? peer.wantedMs !== null : this.#needsNewSession(peer, current, nowMs);
    if (needed && !this.#awaitsConfirmation(peer, nowMs)) this.#initiator.begin(peer, nowMs);
    if (current !== null) this.#punch(peer, nowMs);
    this.#initiator.service(peer, nowMs);
  }

  /** While the tunnel is relayed: looks for a direct path, when it is time, at the same time as the other end. */
  #punch(peer: TunnelPeer, nowMs: number): void {
    const step = peer.punching.step(nowMs, { last: this.#options.self.peer > peer.peer });
    if (step !== null) this.#initiator.begin(peer, nowMs, step === 'call' ? 'any' : 'direct');
  }

  #watch(peer: TunnelPeer, current: Session, nowMs: number): void {
    const { traffic } = peer;
    const { datapath, events } = this.#options;
    if (peer.counters !== null) traffic.observe(peer.counters, nowMs);
    const keepaliveMs = this.#persistentMs ?? (this.#crossesNat(current) ? NAT_KEEPALIVE_MS : null);
    if (keepaliveMs !== null && traffic.keepaliveDue(nowMs, keepaliveMs)) {
      datapath.sendKeepalive(peer.peer);
      traffic.keepaliveSent(nowMs);
    }
    const silent = traffic.silent(nowMs);
    if (silent !== peer.silent) {
      peer.silent = silent;
      events.turned?.(peer.peer, { to: silent ? 'silent' : 'answering' });
    }
    if (traffic.probeDue(nowMs)) {
      datapath.sendProbe(peer.peer, PROD_BYTES);
      traffic.probed(nowMs);
    }
  }

  #needsNewSession(peer: TunnelPeer, current: Session, nowMs: number): boolean {
    if (current.exhausted || peer.silent) return true;
    if (nowMs < current.rekeyAtMs) return false;
    if (this.#persistentMs !== null || this.#peers.observed.rendezvous.includes(peer.peer)) return true;
    const { lastDataSentMs, lastDataReceivedMs } = peer.counters ?? { lastDataSentMs: null, lastDataReceivedMs: null };
    return Math.max(lastDataSentMs ?? -1, lastDataReceivedMs ?? -1) >= current.createdMs;
  }

  /** Only what goes out keeps a NAT's mapping alive, so each end cares for its own. One that an earlier run made may cross one. */
  #crossesNat({ path, observed }: Session): boolean {
    if (isRelayPath(path)) return false;
    return observed === 'unknown' || this.#peers.observed.isMapped(observed);
  }

  /** An initiator is about to confirm the session that we offered; a handshake of our own would only cross it. */
  #awaitsConfirmation(peer: TunnelPeer, nowMs: number): boolean {
    const { next } = peer.slots;
    return next !== null && nowMs - next.createdMs < CONFIRM_WAIT_MS;
  }

  #established(peer: TunnelPeer, nowMs: number): void {
    const endpoint = endpointOf(peer.path);
    if (endpoint !== null) {
      this.#recent.remember({ peer: peer.peer, staticKey: peer.staticKey, endpoint });
    }
    this.#rearm(peer, nowMs);
    for (const waiting of this.#relays.waitingFor(peer)) {
      this.#initiator.relayCame(waiting, nowMs);
      this.#rearm(waiting, nowMs);
    }
  }

  #dueMs(peer: TunnelPeer, nowMs: number): number {
    let dueMs = peer.slots.nextExpiryMs;
    if (peer.slots.current !== null) {
      dueMs = Math.min(dueMs, nowMs + POLL_MS, peer.mtuSearch.dueMs, peer.traffic.dueMs(nowMs), peer.punching.dueMs);
    }
    if (peer.series !== null) {
      const { retryAtMs, relaysAtMs, startedMs } = peer.series;
      dueMs = Math.min(dueMs, retryAtMs, relaysAtMs, startedMs + REKEY_ATTEMPT_MS);
    }
    if (peer.wantedMs !== null) {
      dueMs = Math.min(dueMs, peer.wantedMs + REKEY_ATTEMPT_MS);
      if (this.#awaitsConfirmation(peer, nowMs)) dueMs = Math.min(dueMs, peer.slots.next!.createdMs + CONFIRM_WAIT_MS);
    }
    return Math.max(dueMs, nowMs);
  }

  #rearm(peer: TunnelPeer, nowMs: number): void {
    this.#active.add(peer);
    const dueMs = this.#dueMs(peer, nowMs);
    if (dueMs >= this.#promisedMs) return;
    this.#promisedMs = dueMs;
    this.#options.events.wake(dueMs - nowMs);
  }

  /** Whom it relayed to is reached by another one at once: that nothing passes needs no watching. */
  #leaveRelay(relay: PeerId): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const peer of this.#active) {
      if (peer.slots.current === null || relayOf(peer.path) !== relay) continue;
      this.#initiator.begin(peer, nowMs);
      this.#rearm(peer, nowMs);
    }
  }

  #end(peer: TunnelPeer): void {
    this.#initiator.cancel(peer);
    peer.slots.clear();
    peer.wantedMs = null;
    this.#active.delete(peer);
  }
}
