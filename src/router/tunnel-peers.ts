// All peers of the tunnels, the receiver indexes of their handshakes and sessions, and the counters of what was dropped: the
// state that initiator and responder share. Invariant: an index belongs to at most one handshake or session at a time, and
// each session that leaves its slot is removed from the datapath.

import type { PeerId } from '../base/ids.ts';
import { Capability } from './handshake-payload.ts';
import { ObservedEndpoints } from './observed-endpoints.ts';
import { RELAY_OVERHEAD_BYTES } from './relay-message.ts';
import { type HandshakeCounts, TUNNEL_DROPS, type TunnelDrop, type TunnelOptions } from './tunnel-options.ts';
import { endpointOf, isRelayPath, relayOf } from './tunnel-path.ts';
import { TunnelPeer } from './tunnel-peer.ts';
import type { Session } from './tunnel-sessions.ts';
import { IPV4_BYTES, IPV6_BYTES } from './wire-format.ts';

export class TunnelPeers {
  /** Where peers see this host. */
  readonly observed: ObservedEndpoints;
  readonly #options: TunnelOptions;
  readonly #peersMax: number;
  readonly #peers = new Map<PeerId, TunnelPeer>();
  readonly #byIndex = new Map<number, TunnelPeer>();
  readonly #drops = Object.fromEntries(TUNNEL_DROPS.map((reason) => [reason, 0])) as Record<TunnelDrop, number>;
  readonly #handshakes = { initiations: 0, established: 0, rekeyed: 0, gaveUp: 0 };

  constructor(options: TunnelOptions, peersMax: number) {
    this.#options = options;
    this.#peersMax = peersMax;
    this.observed = new ObservedEndpoints(options.ownEndpoints ?? (() => null), options.clock.monotonicMs());
  }

  get(peer: PeerId): TunnelPeer | undefined {
    return this.#peers.get(peer);
  }

  /**
   * `staticKey` is that of a new one. Null when there are too many; a peer that only a handshake named and that is idle gives way.
   */
  ensure(peer: PeerId, staticKey: Uint8Array): TunnelPeer | null {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#peersMax && !this.#makeRoom()) return null;
    const created = new TunnelPeer({ peer, staticKey, retire: (session) => this.#retire(session) });
    this.#peers.set(peer, created);
    return created;
  }

  delete(peer: PeerId): void {
    this.#peers.delete(peer);
  }

  all(): IterableIterator<TunnelPeer> {
    return this.#peers.values();
  }

  get size(): number {
    return this.#peers.size;
  }

  byIndex(localIndex: number): TunnelPeer | undefined {
    return this.#byIndex.get(localIndex);
  }

  /** Random, so that nobody off the path can guess it; unique, not zero. */
  takeIndex(peer: TunnelPeer): number {
    const bytes = this.#options.random.bytes(4);
    let index = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    // Ends because there are far fewer indexes in use (some twenty a peer at most) than numbers.
    while (index === 0 || this.#byIndex.has(index)) index = (index + 1) >>> 0;
    this.#byIndex.set(index, peer);
    return index;
  }

  /** The index of a session that lives already; false when it is in use. */
  keepIndex(localIndex: number, peer: TunnelPeer): boolean {
    if (this.#byIndex.has(localIndex)) return false;
    this.#byIndex.set(localIndex, peer);
    return true;
  }

  freeIndex(localIndex: number): void {
    this.#byIndex.delete(localIndex);
  }

  get indexes(): number {
    return this.#byIndex.size;
  }

  drop(reason: TunnelDrop): void {
    this.#drops[reason]++;
  }

  get drops(): Readonly<Record<TunnelDrop, number>> {
    return { ...this.#drops };
  }

  count(what: keyof HandshakeCounts): void {
    this.#handshakes[what]++;
  }

  get handshakes(): HandshakeCounts {
    return { ...this.#handshakes };
  }

  /**
   * The session has become the peer's current one: its datagrams go out on it, to where it was made. `rekey`: another one was
   * before it.
   */
  sendOn(peer: TunnelPeer, session: Session, { rekey, nowMs }: { rekey: boolean; nowMs: number }): void {
    const { datapath, events } = this.#options;
    this.count(rekey ? 'rekeyed' : 'established');
    if (!rekey) {
      peer.silent = false;
      events.turned?.(peer.peer, { to: 'established' });
    }
    const before = relayOf(peer.path);
    const relay = relayOf(session.path);
    peer.path = session.path;
    datapath.setPath(peer.peer, session.path);
    if (relay === null) {
      peer.punching.rest();
      this.#noteObserved(peer, session, nowMs);
      if (before !== null) events.turned?.(peer.peer, { to: 'direct', nat: peer.natOf(this.observed) ?? 'none' });
    } else {
      peer.punching.signalled(nowMs, { first: before === null });
      if (relay !== before) events.turned?.(peer.peer, { to: 'relayed', relay });
    }
    const agreedMtu = peer.agreedMtu;
    this.startProbing(peer, session, nowMs);
    if (agreedMtu !== peer.agreedMtu) this.applyPathMtu(peer);
    events.placed(peer.peer, { endpoint: endpointOf(session.path), pathMtu: session.pathMtu });
    datapath.useSession(session.localIndex);
    peer.wantedMs = null;
    peer.failure = null;
    peer.gaveUp = false;
    peer.trouble = null;
  }

  /** Time has passed: what no peer has confirmed for long is forgotten. */
  expireObserved(nowMs: number): void {
    this.observed.expire(nowMs);
    this.#tellNat(nowMs);
  }

  #noteObserved({ peer }: TunnelPeer, { observed, capabilities }: Session, nowMs: number): void {
    if (observed === 'unknown') return;
    this.observed.note(peer, observed, { relays: (capabilities & Capability.relays) !== 0, nowMs });
    this.#tellNat(nowMs);
  }

  #tellNat(nowMs: number): void {
    const facts = this.observed.news(nowMs);
    if (facts !== null) this.#options.events.natChanged?.(facts);
  }

  /** The session is the peer's current one: what its path carries, and whether it is alive, is found out from now on. */
  startProbing(peer: TunnelPeer, session: Session, nowMs: number): void {
    const { capabilities } = session;
    const pathMtu = this.#carriedMtu(session);
    const topBytes = Math.min(pathMtu, this.#options.neededMtu ?? pathMtu);
    peer.agreedMtu = pathMtu;
    const asks = (capabilities & Capability.answersProbes) !== 0;
    peer.mtuSearch.agree({ topBytes, asks }, nowMs);
    peer.traffic.restart(nowMs, { asks });
  }

  /** What both sides take; by a relay no more than what its path carries inside of its own datagrams. */
  #carriedMtu({ path, pathMtu }: Session): number {
    if (!isRelayPath(path)) return pathMtu;
    const relay = this.#peers.get(path.relay);
    const isIpv6 = endpointOf(relay?.path ?? null)?.ip.includes(':') === true;
    const addedBytes = RELAY_OVERHEAD_BYTES + (isIpv6 ? IPV6_BYTES - IPV4_BYTES : 0);
    return Math.min(pathMtu, (relay?.pathMtu ?? this.#options.mtu) - addedBytes);
  }

  applyPathMtu({ peer, pathMtu }: TunnelPeer): void {
    if (pathMtu !== null) this.#options.datapath.setPathMtu(peer, pathMtu);
  }

  #retire(session: Session): void {
    this.freeIndex(session.localIndex);
    this.#options.datapath.removeSession(session.localIndex);
  }

  #makeRoom(): boolean {
    for (const [id, peer] of this.#peers) {
      if (peer.gossiped || peer.active) continue;
      this.#peers.delete(id);
      return true;
    }
    return false;
  }
}
