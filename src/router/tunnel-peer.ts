// What a host remembers of one peer's tunnel: where it may be, its sessions, the handshake under way, and in words why it
// is not better. Data with small derivations; the decisions are in tunnels.ts, tunnel-initiator.ts, tunnel-responder.ts.

import type { AeadCipher } from '../base/capabilities.ts';
import { type Endpoint, equalEndpoints, formatEndpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';
import type { PeerCounters } from './datapath.ts';
import type { InitiatorHandshake } from './handshake.ts';
import { PathSearch } from './path-search.ts';
import { TrafficWatch } from './traffic-watch.ts';
import type { TunnelState, TunnelStatus } from './tunnel-options.ts';
import { type Session, SessionSlots } from './tunnel-sessions.ts';
import { REKEY_TIMEOUT_MS } from './tunnel-timing.ts';

const ENDPOINTS_MAX = 8;

/** Tries to shake hands with a peer, one after the other, until one succeeds or 90 s have passed. */
export interface HandshakeSeries {
  readonly startedMs: number;
  attempts: number;
  retryAtMs: number;
  sentMs: number;
  /** Where the last try went. */
  endpoint: Endpoint | null;
  /** The last try's state; null when it could not be sent or its answer was nonsense. */
  handshake: InitiatorHandshake | null;
  offered: readonly AeadCipher[];
}

export class TunnelPeer {
  readonly peer: PeerId;
  readonly slots: SessionSlots;
  readonly traffic = new TrafficWatch();
  /** From gossip, or from the membership in its handshake. */
  staticKey: Uint8Array | null = null;
  /** Named by gossip, not only seen in a handshake. */
  gossiped = false;
  #advertised: readonly Endpoint[] = [];
  /** Where authenticated datagrams came from last. */
  endpoint: Endpoint | null = null;
  series: HandshakeSeries | null = null;
  /** When a frame last waited for a session; null when none does. */
  wantedMs: number | null = null;
  cookie: { readonly value: Uint8Array; readonly receivedMs: number } | null = null;
  /** TAI64N of the last initiation that we accepted from it. */
  highestTimestamp: Uint8Array | null = null;
  lastInitiationMs = Number.NEGATIVE_INFINITY;
  counters: PeerCounters | null = null;
  handshakeRttMs: number | null = null;
  /** The smaller of both sides' MTU in the last handshake; null: the datapath has not heard of one. */
  agreedMtu: number | null = null;
  readonly path = new PathSearch();
  /** Why the last series failed or could not begin; null after a success. */
  failure: string | null = null;
  /** Nothing comes back on the session: told once, until something does. */
  silent = false;
  /** A whole series went unanswered since the last success: later ones try less often. */
  gaveUp = false;
  /** What went wrong with the tries since the last success; makes `failure` more precise. */
  trouble: string | null = null;

  constructor(peer: PeerId, retire: (session: Session) => void) {
    this.peer = peer;
    this.slots = new SessionSlots(retire);
  }

  set advertised(endpoints: readonly Endpoint[]) {
    this.#advertised = endpoints.slice(0, ENDPOINTS_MAX);
  }

  /** Needs time's attention. */
  get active(): boolean {
    return this.series !== null || this.wantedMs !== null || !this.slots.empty;
  }

  /** Where to try handshakes: first where it proved to be, then as advertised. */
  get candidates(): readonly Endpoint[] {
    const proven = this.endpoint;
    if (proven === null) return this.#advertised;
    return [proven, ...this.#advertised.filter((endpoint) => !equalEndpoints(endpoint, proven))];
  }

  get state(): TunnelState {
    if (this.slots.current !== null) return 'established';
    if (this.failure !== null) return 'failed';
    return this.series !== null || this.slots.next !== null ? 'handshaking' : 'idle';
  }

  /** The largest outer IP packet to send. */
  get pathMtu(): number | null {
    return this.#narrow ? this.path.bytes : this.agreedMtu;
  }

  status(nowMs: number): TunnelStatus {
    const session = this.slots.current;
    return {
      peer: this.peer,
      state: this.state,
      reason: this.#reason(nowMs),
      cipher: session?.cipher ?? null,
      handshakeRttMs: this.handshakeRttMs,
      endpoint: this.endpoint,
      pathMtu: session === null ? null : this.pathMtu,
      sessionAgeMs: session === null ? null : nowMs - session.createdMs,
      capabilities: session?.capabilities ?? null,
      unansweredMs: this.series === null ? null : nowMs - this.series.startedMs,
      heardMs: this.#heardMs,
    };
  }

  get #heardMs(): number | null {
    const { current } = this.slots;
    const heardMs = Math.max(
      this.lastInitiationMs,
      this.counters?.lastReceivedMs ?? Number.NEGATIVE_INFINITY,
      current?.initiator === true ? current.createdMs : Number.NEGATIVE_INFINITY,
    );
    return Number.isFinite(heardMs) ? heardMs : null;
  }

  /** The path carries less than both sides would take. */
  get #narrow(): boolean {
    return this.path.bytes < this.path.topBytes;
  }

  #reason(nowMs: number): string | null {
    const because = this.trouble === null ? '' : `; ${this.trouble}`;
    const { series } = this;
    const waiting = series?.endpoint == null ? null : `no answer from ${formatEndpoint(series.endpoint)}`;
    switch (this.state) {
      case 'established': {
        if (this.silent) {
          const seconds = Math.floor(this.traffic.quietMs(nowMs) / 1_000);
          return `it has answered nothing for ${seconds} s${waiting === null ? '' : `; ${waiting}`}${because}`;
        }
        const overdue = series !== null && nowMs - series.startedMs >= REKEY_TIMEOUT_MS;
        if (overdue && waiting !== null) return `new keys are overdue: ${waiting}${because}`;
        const { bytes, topBytes } = this.path;
        return this.#narrow ? `the path carries ${bytes} of ${topBytes} bytes: larger frames go in pieces` : null;
      }
      case 'failed':
        return series === null ? this.failure : `${this.failure}; trying again`;
      case 'handshaking':
        if (series === null) return 'answered its handshake; waiting for its first datagram';
        return waiting === null ? 'too many handshakes at once; waiting for a turn' : `${waiting} yet${because}`;
      case 'idle':
        return null;
    }
  }
}
