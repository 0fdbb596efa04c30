// The voter's side of leases: to whom it has promised not to vote against them, counted from receipt. Only in memory: after a start,
// and after each new list of voters, it votes against nobody for one lease time, because it may have promised before, or others
// may count promises of voters that are none any more.

import type { Clock } from '../../base/capabilities.ts';
import type { PeerId } from '../../base/ids.ts';

/** Hosts of a cluster, with room. */
const OWNERS_MAX = 65_536;

export class Promises {
  readonly #clock: Clock;
  readonly #untilMs = new Map<PeerId, number>();
  #silentUntilMs: number;

  constructor(clock: Clock, silentMs: number) {
    this.#clock = clock;
    this.#silentUntilMs = clock.monotonicMs() + silentMs;
  }

  /** False when there are too many. */
  give(owner: PeerId, leaseMs: number): boolean {
    const now = this.#clock.monotonicMs();
    if (this.#untilMs.size >= OWNERS_MAX && !this.#untilMs.has(owner)) {
      for (const [peer, untilMs] of this.#untilMs) if (untilMs <= now) this.#untilMs.delete(peer);
      if (this.#untilMs.size >= OWNERS_MAX) return false;
    }
    this.#untilMs.set(owner, Math.max(this.#untilMs.get(owner) ?? 0, now + leaseMs));
    return true;
  }

  isLive(owner: PeerId): boolean {
    return (this.#untilMs.get(owner) ?? Number.NEGATIVE_INFINITY) > this.#clock.monotonicMs();
  }

  /** From now on it votes against nobody for so long. */
  silence(ms: number): void {
    this.#silentUntilMs = Math.max(this.#silentUntilMs, this.#clock.monotonicMs() + ms);
  }

  get isSilent(): boolean {
    return this.#silentUntilMs > this.#clock.monotonicMs();
  }
}
