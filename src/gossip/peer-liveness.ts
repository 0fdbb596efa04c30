// Which peers are alive, as this host sees it: SWIM's three states (Das, Gupta, Motivala 2002) driven by link evidence. A
// link makes a peer alive, a lost link makes it suspect at once, silence for the suspicion time makes it dead, and a
// goodbye makes it dead without waiting. Nothing here is gossiped state: a heartbeat never lives in a record.
//
//              link up, vouched for                           suspicion time passed, nothing heard
//   suspect ─────────────────────────────▶ alive     suspect ───────────────────────▶ dead
//      ▲                                     │                                          │
//      └────────── last link lost ───────────┘          goodbye: any state ─▶ dead      └── link up ─▶ alive

import type { Clock } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';

export type PeerState = 'alive' | 'suspect' | 'dead';

/** Why a peer has its state, for status and events. */
export type LivenessReason = 'link-up' | 'link-lost' | 'vouched' | 'silent' | 'goodbye' | 'known-only';

export interface PeerView {
  readonly state: PeerState;
  readonly reason: LivenessReason;
  /** Clock.monotonicMs of the last evidence that it lives; null: never since this start. */
  readonly lastSeenAtMs: number | null;
}

interface Entry {
  state: PeerState;
  reason: LivenessReason;
  lastSeenAtMs: number | null;
  links: number;
  /** When a suspect is declared dead; of no meaning in the other states. */
  deadlineMs: number;
}

export interface PeerLivenessOptions {
  readonly clock: Clock;
  /** A suspect is dead after this time without evidence. */
  readonly suspicionMs?: number;
  /** Peers that are remembered at most; evidence about more is ignored. */
  readonly peersMax?: number;
  /** Called after each change of state, never for a repeat. */
  readonly changed: (peer: PeerId, view: PeerView) => void;
}

const SUSPICION_MS = 5_000;
const PEERS_MAX = 16_384;

export class PeerLiveness {
  readonly #clock: Clock;
  readonly #suspicionMs: number;
  readonly #peersMax: number;
  readonly #changed: (peer: PeerId, view: PeerView) => void;
  readonly #peers = new Map<PeerId, Entry>();
  readonly #suspects = new Set<PeerId>();

  constructor({ clock, suspicionMs = SUSPICION_MS, peersMax = PEERS_MAX, changed }: PeerLivenessOptions) {
    this.#clock = clock;
    this.#suspicionMs = suspicionMs;
    this.#peersMax = peersMax;
    this.#changed = changed;
  }

  /** A peer that records name but nobody has linked to yet: suspect, and dead unless evidence comes. */
  known(peer: PeerId): void {
    if (this.#peers.has(peer)) return;
    const entry = this.#entry(peer);
    if (entry !== null) this.#become(peer, entry, 'suspect', 'known-only');
  }

  /** Counted: a second link may come up before the first goes down. */
  linkUp(peer: PeerId): void {
    const entry = this.#entry(peer);
    if (entry === null) return;
    entry.links++;
    entry.lastSeenAtMs = this.#clock.monotonicMs();
    this.#become(peer, entry, 'alive', 'link-up');
  }

  linkDown(peer: PeerId): void {
    const entry = this.#peers.get(peer);
    if (entry === undefined || entry.links === 0) return;
    entry.links--;
    entry.lastSeenAtMs = this.#clock.monotonicMs();
    if (entry.links === 0 && entry.state === 'alive') this.#become(peer, entry, 'suspect', 'link-lost');
  }

  /**
   * Something arrived from the peer at that time, on a link or through its tunnel. It keeps a suspect from being declared dead:
   * a host whose daemon restarts still forwards frames.
   */
  heard(peer: PeerId, atMs = this.#clock.monotonicMs()): void {
    const entry = this.#peers.get(peer);
    if (entry !== undefined) entry.lastSeenAtMs = Math.max(entry.lastSeenAtMs ?? atMs, atMs);
  }

  /**
   * An alive peer says that this one lives (SWIM's indirect evidence); the caller checks that the statement is fresh. It
   * does not bring back a peer that said goodbye: only a link does.
   */
  vouchedFor(peer: PeerId): void {
    const entry = this.#entry(peer);
    if (entry === null || entry.reason === 'goodbye') return;
    entry.lastSeenAtMs = this.#clock.monotonicMs();
    if (entry.links === 0) this.#become(peer, entry, 'alive', 'vouched');
  }

  /** An indirect witness lost the peer: suspect, unless we hold a link of our own. */
  doubted(peer: PeerId): void {
    const entry = this.#peers.get(peer);
    if (entry?.state === 'alive' && entry.links === 0) this.#become(peer, entry, 'suspect', 'link-lost');
  }

  /** The peer said that it stops. Its link may still be up for a moment; the linkDown that follows changes nothing. */
  goodbye(peer: PeerId): void {
    const entry = this.#entry(peer);
    if (entry !== null) this.#become(peer, entry, 'dead', 'goodbye');
  }

  /** `rmpeer`: nothing is remembered, no event is sent. */
  forget(peer: PeerId): void {
    this.#peers.delete(peer);
    this.#suspects.delete(peer);
  }

  view(peer: PeerId): PeerView | null {
    const entry = this.#peers.get(peer);
    return entry === undefined ? null : viewOf(entry);
  }

  /** Age of the last evidence in ms, as `status` shows it. A peer with a link up that is idle ages too: call heard(). */
  lastSeenMs(peer: PeerId): number | null {
    const at = this.#peers.get(peer)?.lastSeenAtMs ?? null;
    return at === null ? null : this.#clock.monotonicMs() - at;
  }

  *peers(): IterableIterator<readonly [PeerId, PeerView]> {
    for (const [peer, entry] of this.#peers) yield [peer, viewOf(entry)];
  }

  /** Declares overdue suspects dead; returns the ms until the next one is due, Infinity without suspects. */
  tick(): number {
    const nowMs = this.#clock.monotonicMs();
    let dueMs = Number.POSITIVE_INFINITY;
    for (const peer of [...this.#suspects]) {
      const entry = this.#peers.get(peer);
      if (entry === undefined || entry.state !== 'suspect') continue;
      const deadlineMs = Math.max(entry.deadlineMs, (entry.lastSeenAtMs ?? 0) + this.#suspicionMs);
      if (deadlineMs <= nowMs) this.#become(peer, entry, 'dead', 'silent');
      else dueMs = Math.min(dueMs, deadlineMs - nowMs);
    }
    return dueMs;
  }

  #entry(peer: PeerId): Entry | null {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#peersMax) return null;
    const entry: Entry = { state: 'dead', reason: 'known-only', lastSeenAtMs: null, links: 0, deadlineMs: 0 };
    this.#peers.set(peer, entry);
    return entry;
  }

  #become(peer: PeerId, entry: Entry, state: PeerState, reason: LivenessReason): void {
    const news = entry.state !== state || (reason === 'goodbye' && entry.reason !== 'goodbye');
    if (state === 'suspect' && entry.state !== 'suspect')
      entry.deadlineMs = this.#clock.monotonicMs() + this.#suspicionMs;
    entry.state = state;
    entry.reason = reason;
    if (state === 'suspect') this.#suspects.add(peer);
    else this.#suspects.delete(peer);
    if (news) this.#changed(peer, viewOf(entry));
  }
}

function viewOf({ state, reason, lastSeenAtMs }: Entry): PeerView {
  return { state, reason, lastSeenAtMs };
}
