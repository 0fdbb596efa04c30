// The watch over one peer's session: says when to probe it because it has been quiet while there is traffic, and when it counts as
// silent. Pure arithmetic over the datapath's counters. A probe is answered by the other side's datapath, whether its daemon
// runs or not, so silence means that the path or the host is gone. Nobody is called silent who was not asked several times: a
// process that was stopped for a while has heard nothing either.

import type { PeerCounters } from './datapath.ts';

/** A session is watched for this long after its last data, sent or received. */
const WATCHED_MS = 10_000;
/** Quiet for this long while watched: probes begin. */
const QUIET_MS = 1_000;
/** Between two probes: several may be lost on a full path, which must not look like silence. */
export const PROBE_EVERY_MS = 250;
/** Quiet for this long, with enough probes unanswered: silent. */
const SILENT_MS = 2_500;
const PROBES_MIN = 5;

export class TrafficWatch {
  /** The last authentic datagram of the peer, or when the pause that has ended since was last seen. */
  #quietSinceMs = Number.NEGATIVE_INFINITY;
  #heardMs = Number.NEGATIVE_INFINITY;
  #silent = false;
  #asks = false;
  #dataMs = Number.NEGATIVE_INFINITY;
  #observedMs = Number.NEGATIVE_INFINITY;
  #probedMs = Number.NEGATIVE_INFINITY;
  #unanswered = 0;
  #sentMs = Number.NEGATIVE_INFINITY;

  /** A handshake with the peer has just succeeded: it lives. `asks`: it answers probes; who does not is never called silent. */
  restart(nowMs: number, { asks }: { asks: boolean }): void {
    this.#asks = asks;
    this.#hear(nowMs);
    this.#sentMs = nowMs;
  }

  /** Counters of now. */
  observe({ lastDataSentMs, lastDataReceivedMs, lastReceivedMs }: PeerCounters, nowMs: number): void {
    const sentMs = lastDataSentMs ?? Number.NEGATIVE_INFINITY;
    const dataMs = Math.max(sentMs, lastDataReceivedMs ?? Number.NEGATIVE_INFINITY);
    // In a pause nobody was asked anything: quiet begins with the data that ends it. Counters have only the last data, so it
    // counts from when there was none yet: too early costs a probe, too late would be told late.
    if (dataMs - this.#dataMs > WATCHED_MS) {
      this.#quietSinceMs = Math.max(this.#quietSinceMs, Math.min(dataMs, this.#observedMs));
      this.#unanswered = 0;
    }
    this.#observedMs = nowMs;
    this.#dataMs = Math.max(this.#dataMs, dataMs);
    this.#sentMs = Math.max(this.#sentMs, sentMs);
    if (lastReceivedMs !== null && lastReceivedMs > this.#heardMs) this.#hear(lastReceivedMs);
  }

  /** When the next probe is due, were nothing heard meanwhile; infinite when there is no traffic. */
  dueMs(nowMs: number): number {
    if (!this.#asks || nowMs - this.#dataMs >= WATCHED_MS) return Number.POSITIVE_INFINITY;
    return Math.max(this.#quietSinceMs + QUIET_MS, this.#probedMs + PROBE_EVERY_MS);
  }

  probeDue(nowMs: number): boolean {
    return nowMs >= this.dueMs(nowMs);
  }

  /** Call {@link silent} before: a probe that has just been sent is not unanswered. */
  probed(nowMs: number): void {
    this.#probedMs = nowMs;
    this.#unanswered++;
  }

  /** Nothing came back though there is traffic and it was asked: the host, or the path to it, is gone. Until it is heard. */
  silent(nowMs: number): boolean {
    const isWatched = nowMs - this.#dataMs < WATCHED_MS;
    this.#silent ||= isWatched && this.#unanswered >= PROBES_MIN && nowMs - this.#quietSinceMs >= SILENT_MS;
    return this.#silent;
  }

  /** For how long nothing has come from it. */
  quietMs(nowMs: number): number {
    return nowMs - this.#heardMs;
  }

  /** Nothing has been sent for `everyMs`: time for a keepalive. */
  keepaliveDue(nowMs: number, everyMs: number): boolean {
    return nowMs - this.#sentMs >= everyMs;
  }

  keepaliveSent(nowMs: number): void {
    this.#sentMs = nowMs;
  }

  #hear(ms: number): void {
    this.#heardMs = ms;
    this.#quietSinceMs = Math.max(this.#quietSinceMs, ms);
    this.#unanswered = 0;
    this.#silent = false;
  }
}
