// What comes and goes over the links to neighbours, and what it says of who lives: joins gossip, rumours and liveness to the mesh
// and keeps their time. It knows nothing of leases, routes or tunnels, so that a simulator runs it by the thousand.

import type { Clock, Timers } from '../base/capabilities.ts';
import type { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { Gossip } from '../gossip/gossip.ts';
import { NewsLag } from '../gossip/news-lag.ts';
import { PeerLiveness, type PeerState, type PeerView } from '../gossip/peer-liveness.ts';
import { Rumours } from '../gossip/rumours.ts';
import type { CloseReason } from '../host/mesh/connection.ts';
import { Ticker } from './ticker.ts';

export interface NeighbourhoodPorts {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly gossip: Gossip;
  /** False when the link would block or is not there. */
  send(peer: PeerId, channel: 'gossip' | 'life', bytes: Uint8Array): boolean;
  /** True for hosts whose records say who they are. */
  isMember(peer: PeerId): boolean;
  /** Writes a newer version of our own records, which says nothing but that we live. */
  refute(): void;
  /** A peer's state changed; `before`: who was not remembered was alive. */
  judged(peer: PeerId, view: PeerView, before: PeerState): void;
  /** A core could not store what it had to: expected, and tried again. */
  failed(error: FabricError): void;
  /** Gossip: all that this host heard of has come, so many milliseconds after the first of it. */
  caughtUp(ms: number): void;
}

export class Neighbourhood {
  readonly liveness: PeerLiveness;
  readonly rumours: Rumours;
  /** How far this host is behind its neighbours. */
  readonly lag: NewsLag;
  readonly #ports: NeighbourhoodPorts;
  readonly #gossipTicker: Ticker;
  readonly #livenessTicker: Ticker;

  constructor(ports: NeighbourhoodPorts) {
    const { self, clock, timers, gossip } = ports;
    this.#ports = ports;
    this.liveness = new PeerLiveness({ clock, changed: (peer, view, before) => ports.judged(peer, view, before) });
    this.rumours = new Rumours({
      self,
      clock,
      liveness: this.liveness,
      versionOf: (peer) => (peer === self || ports.isMember(peer) ? gossip.version(peer) : 0),
      refute: () => ports.refute(),
    });
    this.lag = new NewsLag(clock, (ms) => ports.caughtUp(ms));
    const failed = (error: FabricError): void => ports.failed(error);
    this.#gossipTicker = new Ticker(timers, () => this.#gossipTick(), failed);
    const tick = (): number => Math.min(this.liveness.tick(), this.rumours.tick());
    this.#livenessTicker = new Ticker(timers, tick, failed);
  }

  /** To be called once at the start, and after a pause: what is due is done. */
  wake(): void {
    this.#gossipTicker.wake();
    this.#livenessTicker.wake();
  }

  stop(): void {
    this.#gossipTicker.stop();
    this.#livenessTicker.stop();
  }

  /** Gossip has something to send. */
  wrote(): void {
    this.#gossipTicker.wake(this.#ports.gossip.dueMs());
  }

  /** Records of the author changed. */
  changed(author: PeerId): void {
    this.rumours.newer(author);
    this.#livenessTicker.wake();
  }

  met(peer: PeerId): void {
    this.rumours.met(peer);
    this.#livenessTicker.wake();
  }

  /** It lives, whatever becomes of the connection: its Welcome may be late. */
  heard(peer: PeerId): void {
    this.liveness.heard(peer);
  }

  unreached(peer: PeerId): void {
    if (!this.#ports.isMember(peer)) return;
    this.rumours.unreached(peer);
    this.#livenessTicker.wake();
  }

  linkUp(peer: PeerId): void {
    const { gossip, send } = this.#ports;
    this.rumours.linkUp(peer, { send: (bytes) => send(peer, 'life', bytes) });
    gossip.linkUp(peer, { send: (bytes) => send(peer, 'gossip', bytes) });
    this.wrote();
    this.#livenessTicker.wake();
  }

  linkDown(peer: PeerId, reason: CloseReason): void {
    this.rumours.linkDown(peer, endOf(reason));
    this.#ports.gossip.linkDown(peer);
    this.#livenessTicker.wake();
  }

  message(peer: PeerId, channel: 'gossip' | 'life', bytes: Uint8Array): void {
    this.liveness.heard(peer);
    if (channel === 'gossip') {
      this.#ports.gossip.receive(peer, bytes);
      this.lag.observe(this.#ports.gossip.missing);
    } else this.rumours.receive(peer, bytes);
    this.wrote();
    this.#livenessTicker.wake(this.rumours.dueMs());
  }

  writable(peer: PeerId): void {
    this.#ports.gossip.writable(peer);
    this.rumours.writable(peer);
  }

  #gossipTick(): number {
    const dueMs = this.#ports.gossip.tick();
    this.lag.observe(this.#ports.gossip.missing);
    return dueMs;
  }
}

/** Said goodbye for now or for good, gave up a link that was one too many, or was lost. */
function endOf(reason: CloseReason): 'left' | 'released' | 'lost' {
  if (reason === 'stopping' || reason === 'leaving') return 'left';
  return reason === 'surplus' ? 'released' : 'lost';
}
