// All peers of the tunnels, the receiver indexes of their handshakes and sessions, and the counters of what was dropped: the
// state that initiator and responder share. Invariant: an index belongs to at most one handshake or session at a time, and
// each session that leaves its slot is removed from the datapath.

import type { PeerId } from '../base/ids.ts';
import { Capability } from './handshake-payload.ts';
import { type HandshakeCounts, TUNNEL_DROPS, type TunnelDrop, type TunnelOptions } from './tunnel-options.ts';
import { TunnelPeer } from './tunnel-peer.ts';
import type { Session } from './tunnel-sessions.ts';

export class TunnelPeers {
  readonly #options: TunnelOptions;
  readonly #peersMax: number;
  readonly #peers = new Map<PeerId, TunnelPeer>();
  readonly #byIndex = new Map<number, TunnelPeer>();
  readonly #drops = Object.fromEntries(TUNNEL_DROPS.map((reason) => [reason, 0])) as Record<TunnelDrop, number>;
  readonly #handshakes = { initiations: 0, established: 0, rekeyed: 0, gaveUp: 0 };

  constructor(options: TunnelOptions, peersMax: number) {
    this.#options = options;
    this.#peersMax = peersMax;
  }

  get(peer: PeerId): TunnelPeer | undefined {
    return this.#peers.get(peer);
  }

  /** Null when there are too many; a peer that only a handshake named and that is idle gives way. */
  ensure(peer: PeerId): TunnelPeer | null {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#peersMax && !this.#makeRoom()) return null;
    const created = new TunnelPeer(peer, (session) => this.#retire(session));
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
    // Ends because there are far fewer indexes in use (five a peer) than numbers.
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
    peer.endpoint = session.endpoint;
    datapath.setEndpoint(peer.peer, session.endpoint);
    const another = peer.agreedMtu !== session.pathMtu;
    this.startProbing(peer, session, nowMs);
    if (another) this.applyPathMtu(peer);
    events.placed(peer.peer, session);
    datapath.useSession(session.localIndex);
    peer.wantedMs = null;
    peer.failure = null;
    peer.gaveUp = false;
    peer.trouble = null;
  }

  /** The session is the peer's current one: what its path carries, and whether it is alive, is found out from now on. */
  startProbing(peer: TunnelPeer, { pathMtu, capabilities }: Session, nowMs: number): void {
    const topBytes = Math.min(pathMtu, this.#options.neededMtu ?? pathMtu);
    peer.agreedMtu = pathMtu;
    const asks = (capabilities & Capability.answersProbes) !== 0;
    peer.path.agree({ topBytes, asks }, nowMs);
    peer.traffic.restart(nowMs, { asks });
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
