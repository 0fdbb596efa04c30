// How many strangers may be at our door: connections that have not greeted yet, in all and per address, and new ones per
// address and second. Everything here is bounded, so that a flood costs little and members still get in.

import type { Clock } from '../../base/capabilities.ts';

export interface CallerLimits {
  /** Connections in their handshake or greeting at once. Default 64. */
  readonly pendingMax: number;
  /** Of these from one address. Default 16. */
  readonly pendingPerAddressMax: number;
  /** New connections from one address: at once, and per second after that. Default 32 and 8. */
  readonly burst: number;
  readonly perSecond: number;
}

export const CALLER_LIMITS: CallerLimits = { pendingMax: 64, pendingPerAddressMax: 16, burst: 32, perSecond: 8 };
/** Addresses remembered; beyond it the longest unseen one is forgotten. */
const ADDRESSES_MAX = 4_096;

interface Caller {
  pending: number;
  tokens: number;
  refilledMs: number;
}

export class CallerGate {
  readonly #clock: Clock;
  readonly #limits: CallerLimits;
  readonly #callers = new Map<string, Caller>();
  #pending = 0;

  constructor(clock: Clock, limits: CallerLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Null: let in, and `leave` must be called once. Else the reason for the drop counter. */
  enter(address: string): 'caller-pending' | 'caller-rate' | null {
    const { pendingMax, pendingPerAddressMax } = this.#limits;
    const caller = this.#refill(address);
    if (this.#pending >= pendingMax || caller.pending >= pendingPerAddressMax) return 'caller-pending';
    if (caller.tokens < 1) return 'caller-rate';
    caller.tokens--;
    caller.pending++;
    this.#pending++;
    return null;
  }

  /** The connection greeted or ended. */
  leave(address: string): void {
    this.#pending--;
    const caller = this.#callers.get(address);
    if (caller !== undefined && caller.pending > 0) caller.pending--;
  }

  #refill(address: string): Caller {
    const nowMs = this.#clock.monotonicMs();
    const { burst, perSecond } = this.#limits;
    const caller = this.#callers.get(address) ?? { pending: 0, tokens: burst, refilledMs: nowMs };
    this.#callers.delete(address);
    if (this.#callers.size >= ADDRESSES_MAX) {
      const [oldest] = this.#callers.keys();
      if (oldest !== undefined) this.#callers.delete(oldest);
    }
    this.#callers.set(address, caller);
    caller.tokens = Math.min(burst, caller.tokens + ((nowMs - caller.refilledMs) * perSecond) / 1_000);
    caller.refilledMs = nowMs;
    return caller;
  }
}
