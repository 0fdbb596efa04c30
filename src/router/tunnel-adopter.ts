// Takes over the sessions that a datapath kept alive while no control side was there: each returns to the slot that it had, its
// age goes on, and no key is seen. Invariant: what is not taken over is ended, so that the datapath never holds a session that
// nobody replaces in time.

import type { PeerId } from '../base/ids.ts';
import type { LastingSession } from './datapath.ts';
import type { TunnelOptions } from './tunnel-options.ts';
import { endpointOf, isRelayPath } from './tunnel-path.ts';
import type { TunnelPeer } from './tunnel-peer.ts';
import type { TunnelPeers } from './tunnel-peers.ts';
import type { Session } from './tunnel-sessions.ts';
import { REJECT_AFTER_MS, rekeyTimeMs } from './tunnel-timing.ts';

/** What a datapath kept. */
export interface LeftTunnels {
  /** Of each peer the oldest first. */
  readonly sessions: readonly LastingSession[];
  /** All that it knows anything of. */
  readonly peers: readonly PeerId[];
}

export class TunnelAdopter {
  readonly #options: TunnelOptions;
  readonly #peers: TunnelPeers;

  constructor(parts: { options: TunnelOptions; peers: TunnelPeers }) {
    this.#options = parts.options;
    this.#peers = parts.peers;
  }

  /**
   * The peers that have sessions now. Those that nobody knows any more, neither gossip nor the list of recent peers, leave the datapath
   * with all they had there: whoever was removed is among them.
   */
  adopt({ sessions, peers }: LeftTunnels, nowMs: number): ReadonlySet<TunnelPeer> {
    const { datapath } = this.#options;
    for (const id of new Set([...peers, ...sessions.map(({ peer }) => peer)])) {
      if (this.#peers.get(id) === undefined) datapath.removePeer(id);
    }
    const adopted = new Set<TunnelPeer>();
    for (const session of sessions) {
      const peer = this.#peers.get(session.peer);
      if (peer === undefined) continue;
      if (this.#take(peer, session, nowMs)) adopted.add(peer);
      else datapath.removeSession(session.localIndex);
    }
    return adopted;
  }

  #take(peer: TunnelPeer, left: LastingSession, nowMs: number): boolean {
    const { localIndex, remoteIndex, initiator, cipher, createdMs, pathMtu, capabilities, exhausted, path } = left;
    const alive = createdMs <= nowMs && nowMs < createdMs + REJECT_AFTER_MS;
    if (!alive || path === null || !this.#peers.keepIndex(localIndex, peer)) return false;
    const rekeyAtMs = rekeyTimeMs(createdMs, initiator, this.#options.random.fraction());
    const slot = { localIndex, remoteIndex, initiator, cipher, createdMs, rekeyAtMs };
    const session: Session = { ...slot, pathMtu, capabilities, path, observed: 'unknown', exhausted };
    peer.slots.adopt(session, left.role);
    peer.path = path;
    if (left.role === 'current') {
      this.#peers.startProbing(peer, session, nowMs); // until it knows more, the datapath goes on with what it found
      peer.wantedMs = null;
      if (isRelayPath(path)) peer.punching.restart(nowMs); // whatever was due is forgotten, perhaps at the other end, too
      this.#options.events.placed(peer.peer, { endpoint: endpointOf(path), pathMtu });
    }
    return true;
  }
}
