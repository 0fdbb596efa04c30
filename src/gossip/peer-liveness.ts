// Which peers are alive, as this host sees it: SWIM's three states (Das, Gupta, Motivala 2002) driven by link evidence and by
// what others say (rumours.ts). A link makes a peer alive, a lost link makes it suspect at once, silence for the suspicion
// time makes it dead, and a goodbye makes it dead without waiting. Invariant: who is not remembered here is alive as far as
// anybody knows, so that memory grows with links and losses, not with the cluster.
//
//              link up, vouched for                           suspicion time passed, nothing heard
//   suspect ─────────────────────────────▶ alive     suspect ───────────────────────▶ dead
//      ▲                                     │                                          │
//      └──── last link lost, doubted ────────┘     goodbye: any state ─▶ dead           └── link up, vouched for ─▶ alive

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
  /** Called after each change of state, never for a repeat. `before`: who was not remembered was alive. */
  readonly changed: (peer: PeerId, view: PeerView, before: PeerState) => void;
}

const SUSPICION_MS = 5_000;
/** Who loses a link has this long to make it anew before it tells others: their suspicion is shorter by as much. */
export const RELINK_MS = 2_000;
const PEERS_MAX = 16_384;

export class PeerLiveness {
  readonly #clock: Clock;
  readonly #suspicionMs: number;
  readonly #peersMax: number;
  readonly #changed: PeerLivenessOptions['changed'];
  readonly #peers = new Map<PeerId, Entry>();
  readonly #suspects = new Set<PeerId>();
  /** No suspect is due before. */
  #dueAtMs = Number.POSITIVE_INFINITY;

  constructor({ clock, suspicionMs = SUSPICION_MS, peersMax = PEERS_MAX, changed }: PeerLivenessOptions) {
    this.#clock = clock;
    this.#suspicionMs = suspicionMs;
    this.#peersMax = peersMax;
    this.#changed = changed;
  }

  /** A peer that records name while nobody can say whether it lives: suspect, and dead unless evidence comes. */
  known(peer: PeerId): void {
    if (this.#peers.has(peer)) return;
    const entry = this.#entry(peer);
    if (entry !== null) this.#become(peer, entry, 'suspect', 'known-only');
  }

  /** Counted: a second link may come up before the first goes down. */
  linkUp(peer: PeerId): void {
    const isNew = !this.#peers.has(peer);
    const entry = this.#entry(peer);
    if (entry === null) return;
    entry.links++;
    entry.lastSeenAtMs = this.#clock.monotonicMs();
    this.#become(peer, entry, 'alive', 'link-up', isNew);
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

  /** The link was given up in good order: the peer lives on. */
  released(peer: PeerId): void {
    const entry = this.#peers.get(peer);
    if (entry === undefined || entry.links === 0) return;
    entry.links--;
    if (entry.links === 0 && entry.state === 'alive') this.#peers.delete(peer);
  }

  /** Fresh evidence from elsewhere that the peer lives, for example newer records of its own; without a link it is forgotten. */
  vouchedFor(peer: PeerId): void {
    const entry = this.#peers.get(peer);
    if (entry === undefined || entry.links > 0) return;
    this.#become(peer, entry, 'alive', 'vouched');
    this.#peers.delete(peer);
  }

  /** Another host lost the peer a while ago: suspect, unless we hold a link of our own or know worse. */
  doubted(peer: PeerId): void {
    const known = this.#peers.get(peer);
    if (known !== undefined && (known.links > 0 || known.state === 'dead')) return;
    const entry = known ?? this.#entry(peer);
    if (entry === null || entry.state === 'suspect') return;
    this.#become(peer, entry, 'suspect', 'link-lost');
    entry.deadlineMs = this.#clock.monotonicMs() + this.#suspicionMs - RELINK_MS;
    this.#dueAtMs = Math.min(this.#dueAtMs, entry.deadlineMs);
  }

  /**
   * Another host knows that the peer is gone, unless we hold a link of our own. Who is only silent to others, and was heard here within
   * the suspicion time, is a suspect.
   */
  declaredDead(peer: PeerId, reason: 'silent' | 'goodbye'): void {
    const entry = this.#peers.get(peer) ?? this.#entry(peer);
    if (entry === null || entry.links > 0) return;
    const quietMs = this.#clock.monotonicMs() - (entry.lastSeenAtMs ?? Number.NEGATIVE_INFINITY);
    if (reason === 'goodbye' || quietMs >= this.#suspicionMs) this.#become(peer, entry, 'dead', reason);
    else if (entry.state === 'alive') this.#become(peer, entry, 'suspect', 'link-lost');
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

  /** Null: nothing speaks against the peer, and there is no link. */
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
    if (nowMs < this.#dueAtMs) return this.#dueAtMs - nowMs;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const peer of [...this.#suspects]) {
      const entry = this.#peers.get(peer);
      if (entry === undefined || entry.state !== 'suspect') continue;
      const deadlineMs = Math.max(
        entry.deadlineMs,
        (entry.lastSeenAtMs ?? Number.NEGATIVE_INFINITY) + this.#suspicionMs,
      );
      if (deadlineMs <= nowMs) this.#become(peer, entry, 'dead', 'silent');
      else dueMs = Math.min(dueMs, deadlineMs - nowMs);
    }
    this.#dueAtMs = nowMs + dueMs;
    return dueMs;
  }

  #entry(peer: PeerId): Entry | null {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#peersMax) return null;
    const entry: Entry = { state: 'alive', reason: 'vouched', lastSeenAtMs: null, links: 0, deadlineMs: 0 };
    this.#peers.set(peer, entry);
    return entry;
  }

  #become(peer: PeerId, entry: Entry, state: PeerState, reason: LivenessReason, isNews = false): void {
    const { state: before } = entry;
    const news = isNews || before !== state || (reason === 'goodbye' && entry.reason !== 'goodbye');
    if (state === 'suspect' && before !== 'suspect') {
      entry.deadlineMs = this.#clock.monotonicMs() + this.#suspicionMs;
      this.#dueAtMs = Math.min(this.#dueAtMs, entry.deadlineMs);
    }
    entry.state = state;
    entry.reason = reason;
    if (state === 'suspect') this.#suspects.add(peer);
    else this.#suspects.delete(peer);
    if (news) this.#changed(peer, viewOf(entry), before);
  }
}

function viewOf({ state, reason, lastSeenAtMs }: Entry): PeerView {
  return { state, reason, lastSeenAtMs };
}
