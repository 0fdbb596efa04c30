// Bounds the work that handshakes cost per second, so that a flood can't take the CPU from established tunnels (cookies:
// WireGuard §5.4.7). Counts in windows of one second, which bounds the table of sources without any sweeping.
// Invariant: below the threshold every initiation is read; above it only senders that proved their address are.

import { parseIp } from '../base/address.ts';
import type { TunnelLimits } from './tunnel-options.ts';
import { isRelayPath, type TunnelPath } from './tunnel-path.ts';
import type { HandshakeSeries } from './tunnel-peer.ts';

const WINDOW_MS = 1_000;
/** The state outlasts the flood by this much, else every second would begin with the whole threshold unproven. */
const LOADED_FOR_MS = 2_000;

interface SourceCount {
  initiations: number;
  cookies: number;
}

export type Admission = 'read' | 'cookie' | 'source-rate' | 'work-limit' | 'cookie-limit';

export class HandshakeLoad {
  readonly #limits: TunnelLimits;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #loadedUntilMs = Number.NEGATIVE_INFINITY;
  #unproven = 0;
  #proven = 0;
  #responses = 0;
  #outgoing = 0;
  #outgoingDirect = 0;
  #cookies = 0;
  /** At most 2 * (cookiesPerSecondMax + handshakesPerSecondMax) entries. */
  readonly #sources = new Map<string, SourceCount>();

  constructor(limits: TunnelLimits) {
    this.#limits = limits;
  }

  /** What to do with an initiation whose mac1 is valid; `proven` is asked only when it matters. */
  admitInitiation(nowMs: number, from: TunnelPath, overloaded: boolean, proven: () => boolean): Admission {
    this.#turnWindow(nowMs);
    this.#unproven++;
    if (this.#unproven > this.#limits.unprovenPerSecondMax || overloaded) this.#loadedUntilMs = nowMs + LOADED_FOR_MS;
    if (nowMs >= this.#loadedUntilMs) return 'read';
    if (!proven()) return this.#admitCookie(from);
    if (this.#proven >= this.#limits.handshakesPerSecondMax) return 'work-limit';
    if (!this.#take('initiations', from, this.#limits.perSourcePerSecondMax)) return 'source-rate';
    this.#proven++;
    return 'read';
  }

  /** A response for a handshake of ours, with a valid mac1. */
  admitResponse(nowMs: number): boolean {
    this.#turnWindow(nowMs);
    if (this.#responses >= this.#limits.handshakesPerSecondMax) return false;
    this.#responses++;
    return true;
  }

  /**
   * An initiation of ours. Those that look for a direct path alone leave most of the second to the others: any member can ask this host
   * to relay to hosts that do not answer.
   */
  admitOutgoing(nowMs: number, aim: HandshakeSeries['aim']): boolean {
    this.#turnWindow(nowMs);
    if (this.#outgoing >= this.#limits.outgoingPerSecondMax) return false;
    if (aim === 'direct') {
      if (this.#outgoingDirect >= this.#limits.directPerSecondMax) return false;
      this.#outgoingDirect++;
    }
    this.#outgoing++;
    return true;
  }

  /** Sources counted now; for tests of the bound. */
  get sources(): number {
    return this.#sources.size;
  }

  #admitCookie(from: TunnelPath): Admission {
    if (this.#cookies >= this.#limits.cookiesPerSecondMax) return 'cookie-limit';
    if (!this.#take('cookies', from, this.#limits.cookiesPerSourcePerSecondMax)) return 'cookie-limit';
    this.#cookies++;
    return 'cookie';
  }

  /** Counts one more, unless it is too many of its source, or of the relay that brought it and may have made its source up. */
  #take(what: keyof SourceCount, from: TunnelPath, max: number): boolean {
    const relay = isRelayPath(from) ? this.#source(from.relay) : null;
    if (relay !== null && relay[what] >= this.#limits.perRelayPerSecondMax) return false;
    const source = this.#source(sourceKey(from));
    if (source[what] >= max) return false;
    source[what]++;
    if (relay !== null) relay[what]++;
    return true;
  }

  #source(key: string): SourceCount {
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = { initiations: 0, cookies: 0 };
      this.#sources.set(key, source);
    }
    return source;
  }

  #turnWindow(nowMs: number): void {
    if (nowMs - this.#windowStartMs < WINDOW_MS) return;
    this.#windowStartMs = nowMs;
    this.#unproven = 0;
    this.#proven = 0;
    this.#responses = 0;
    this.#outgoing = 0;
    this.#outgoingDirect = 0;
    this.#cookies = 0;
    this.#sources.clear();
  }
}

/** An IPv4 address, or the /64 of an IPv6 one, all of whose addresses one host may have; of what is relayed the sender, by that relay. */
function sourceKey(from: TunnelPath): string {
  if (isRelayPath(from)) return `${from.relay} ${from.peer}`;
  const address = parseIp(from.ip);
  return address?.family === 6 ? (address.value >> 64n).toString(16) : from.ip;
}
