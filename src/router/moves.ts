// Which MACs and addresses went from host to host, and how often: the memory behind the mobility sequence (RFC 7432 §15) and behind
// duplicate detection (§15.1). Who returns after others had its place claims by a sequence above all that were seen, also of
// claims that were withdrawn; and what moves five times within 180 s is held where it is, because two have it. Pure and bounded.

import type { Mac, PeerId, Vni } from '../base/ids.ts';

/** RFC 7432 §15.1: N and M. */
export const MOVES_MAX = 5;
export const MOVES_WINDOW_MS = 180_000;
/** Our tuning: what was forgotten may move five times more before it is held. */
const REMEMBERED_MAX = 4096;

/** What moved so often that it is held. */
export interface HeldMove {
  readonly network: Vni;
  /** A MAC or an address, canonical text. */
  readonly what: string;
  /** Where it is held, and where it was before. */
  readonly at: PeerId;
  readonly from: PeerId;
  /** Clock.monotonicMs when it may move again. */
  readonly untilMs: number;
}

interface Trail {
  readonly network: Vni;
  readonly what: string;
  at: PeerId;
  /** Null: it never moved. */
  from: PeerId | null;
  /** Highest mobility sequence of the claims that left; 0 for an address. */
  sequence: number;
  /** Clock.monotonicMs of the latest moves, oldest first, at most {@link MOVES_MAX}. */
  movesMs: readonly number[];
}

export interface MovesPorts {
  readonly self: PeerId;
  /** Clock.monotonicMs. */
  nowMs(): number;
  /** What was at another host before is at this one now. */
  moved(network: Vni, what: string, at: PeerId): void;
}

/** `what` is a MAC or an address, canonical text. */
export class Moves {
  readonly #ports: MovesPorts;
  /** Of what left its place at least once; the one that was touched longest ago first. */
  readonly #trails = new Map<string, Trail>();

  constructor(ports: MovesPorts) {
    this.#ports = ports;
  }

  /** It is no longer at that host. `sequence`: of the claim that was in force there. */
  left(network: Vni, what: string, { at, sequence = 0 }: { readonly at: PeerId; readonly sequence?: number }): void {
    const key = keyOf(network, what);
    const trail = this.#trails.get(key) ?? { network, what, at, from: null, sequence, movesMs: [] };
    trail.sequence = Math.max(trail.sequence, sequence);
    if (trail.at !== at) [trail.from, trail.at] = [trail.at, at];
    this.#trails.delete(key);
    this.#trails.set(key, trail);
    if (this.#trails.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#trails.keys();
    if (oldest !== undefined) this.#trails.delete(oldest);
  }

  /** It is at that host now. */
  arrived(network: Vni, what: string, at: PeerId): void {
    const trail = this.#trails.get(keyOf(network, what));
    if (trail === undefined || trail.at === at) return;
    trail.from = trail.at;
    trail.at = at;
    trail.movesMs = [...trail.movesMs, this.#ports.nowMs()].slice(-MOVES_MAX);
    this.#ports.moved(network, what, at);
  }

  /** True when it was somewhere before, so that neighbours may remember it. */
  isKnown(network: Vni, what: string): boolean {
    return this.#trails.has(keyOf(network, what));
  }

  /** Highest sequence of the claims on a MAC that left; -1 when none did, as far as is remembered. */
  lastSequence(network: Vni, mac: Mac): number {
    return this.#trails.get(keyOf(network, mac))?.sequence ?? -1;
  }

  /** What keeps it from coming here; null: nothing, or it is here. */
  heldElsewhere(network: Vni, what: string): HeldMove | null {
    const trail = this.#trails.get(keyOf(network, what));
    const held = trail === undefined ? null : this.#held(trail);
    return held === null || held.at === this.#ports.self ? null : held;
  }

  /** All that is held now, wherever. */
  held(): readonly HeldMove[] {
    return [...this.#trails.values()].flatMap((trail) => this.#held(trail) ?? []);
  }

  /** An operator says that its moves were in order: it may move at once. False when there were none. */
  clear(network: Vni, what: string): boolean {
    const trail = this.#trails.get(keyOf(network, what));
    if (trail === undefined || trail.movesMs.length === 0) return false;
    trail.movesMs = [];
    return true;
  }

  #held({ network, what, at, from, movesMs }: Trail): HeldMove | null {
    const [firstMs] = movesMs;
    if (from === null || firstMs === undefined || movesMs.length < MOVES_MAX) return null;
    const untilMs = firstMs + MOVES_WINDOW_MS;
    return untilMs > this.#ports.nowMs() ? { network, what, at, from, untilMs } : null;
  }
}

function keyOf(network: Vni, what: string): string {
  return `${network}/${what}`;
}
