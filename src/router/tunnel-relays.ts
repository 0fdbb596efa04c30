// The relays of the tunnels: who of the peers can relay now, to whom a session is made so that it can, and by whom a host behind a NAT
// is found. Invariants: a relay is reached directly and said that it relays; looking for one never makes a host look for another's
// relay.

import type { PeerId } from '../base/ids.ts';
import { RENDEZVOUS_MAX } from '../base/nat-facts.ts';
import { CAPABILITIES, Capability } from './handshake-payload.ts';
import type { ObservedEndpoints } from './observed-endpoints.ts';
import { chooseRelays, type RelayChoice } from './relay-choice.ts';
import type { TunnelOptions } from './tunnel-options.ts';
import { relayOf } from './tunnel-path.ts';
import type { TunnelPeer } from './tunnel-peer.ts';
import type { TunnelPeers } from './tunnel-peers.ts';

/** Our tuning: how often a host behind a NAT asks one more neighbour while too few know it. */
const RENDEZVOUS_PAUSE_MS = 60_000;

export class TunnelRelays {
  readonly #options: TunnelOptions;
  readonly #peers: TunnelPeers;
  readonly #active: ReadonlySet<TunnelPeer>;
  readonly #connect: (peer: PeerId) => void;
  /** Sessions are being made with these, in order to relay. Bounded by the peers that there are; left when they are established. */
  readonly #connecting = new Set<PeerId>();
  #soughtMs = Number.NEGATIVE_INFINITY;
  #sought = 0;

  /** `connect` shakes hands with a peer over its endpoints alone. */
  constructor(parts: {
    options: TunnelOptions;
    peers: TunnelPeers;
    active: ReadonlySet<TunnelPeer>;
    connect: (peer: PeerId) => void;
  }) {
    this.#options = parts.options;
    this.#peers = parts.peers;
    this.#active = parts.active;
    this.#connect = parts.connect;
  }

  /** With how many it is being shaken hands. */
  get awaited(): number {
    return this.#connecting.size;
  }

  /** This host's datapath relays, so that looking for relays is of use. */
  get works(): boolean {
    return ((this.#options.capabilities ?? CAPABILITIES) & Capability.relays) !== 0;
  }

  /** Whom to ask in this round; where that are few, sessions with more are begun. */
  choose(peer: TunnelPeer, round: number): RelayChoice {
    if (!this.works) return { use: [], connect: [] };
    const ready = [...this.#active].filter(canRelay).map((one) => ({ peer: one.peer, rttMs: one.handshakeRttMs }));
    const isKnown = (id: PeerId): boolean => this.#peers.get(id) !== undefined;
    const neighbours = (this.#options.neighbours?.() ?? []).filter(isKnown);
    // A member may publish anything: of hosts that it alone names nothing is kept.
    const published = peer.nat.rendezvous.filter(isKnown);
    const facts = { peer: peer.peer, current: relayOf(peer.path), published, ready, neighbours };
    const choice = chooseRelays(facts, round);
    for (const id of choice.connect) {
      this.#connecting.add(id);
      this.#connect(id);
    }
    return choice;
  }

  /** A tunnel came up. Those that wait for it as their relay. */
  waitingFor({ peer }: TunnelPeer): readonly TunnelPeer[] {
    if (!this.#connecting.delete(peer)) return [];
    return [...this.#active].filter(({ series }) => series?.lacksRelay === true);
  }

  forget(peer: PeerId): void {
    this.#connecting.delete(peer);
  }

  /** Who is behind a NAT is found by those with whom it has a session: where that are too few, neighbours are asked in turn. */
  seekRendezvous(observed: ObservedEndpoints, nowMs: number): void {
    const isEnough = !observed.behindNat || observed.rendezvous.length >= RENDEZVOUS_MAX;
    if (isEnough || nowMs - this.#soughtMs < RENDEZVOUS_PAUSE_MS) return;
    const others = (this.#options.neighbours?.() ?? []).filter((id) => !observed.rendezvous.includes(id));
    this.#soughtMs = nowMs;
    if (others.length > 0) this.#connect(others[this.#sought++ % others.length]!);
  }
}

function canRelay({ slots: { current }, path, silent }: TunnelPeer): boolean {
  if (current === null || current.exhausted || silent || path === null || relayOf(path) !== null) return false;
  return (current.capabilities & Capability.relays) !== 0;
}
