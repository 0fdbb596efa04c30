// What a host remembers of one peer's tunnel: where it may be, its sessions, the handshake under way, and in words why it
// is not better. Data with small derivations; the decisions are in tunnels.ts, tunnel-initiator.ts, tunnel-responder.ts.

import type { AeadCipher } from '../base/capabilities.ts';
import { type Endpoint, equalEndpoints, formatEndpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';
import { type NatFacts, NOT_BEHIND_NAT } from '../base/nat-facts.ts';
import type { NatPlace } from '../base/nat-place.ts';
import type { PeerCounters } from './datapath.ts';
import type { InitiatorHandshake } from './handshake.ts';
import { HolePunching } from './hole-punching.ts';
import type { ObservedEndpoints } from './observed-endpoints.ts';
import { PathSearch } from './path-search.ts';
import { TrafficWatch } from './traffic-watch.ts';
import type { TunnelState, TunnelStatus } from './tunnel-options.ts';
import { endpointOf, formatPath, relayOf, type TunnelPath } from './tunnel-path.ts';
import { type Session, SessionSlots } from './tunnel-sessions.ts';
import { REKEY_TIMEOUT_MS } from './tunnel-timing.ts';

const ENDPOINTS_MAX = 8;

/** An initiation under way. */
export interface HandshakeTry {
  readonly path: TunnelPath;
  readonly handshake: InitiatorHandshake;
  readonly sentMs: number;
}

/**
 * Tries to shake hands with a peer until one succeeds. `any`: by endpoints one after the other, then by relays beside them, for 90 s.
 * `direct`: by each endpoint once; it ends without a word.
 */
export interface HandshakeSeries {
  readonly aim: 'any' | 'direct';
  readonly startedMs: number;
  attempts: number;
  retryAtMs: number;
  /** When relays are tried in this round; infinite: they are not. */
  relaysAtMs: number;
  /** How often they were, in this round. */
  relayTries: number;
  /** There was none to try; one may be on its way. */
  lacksRelay: boolean;
  /** How the last try went out; null: none could be sent. */
  path: TunnelPath | null;
  /** Of this round, and not answered with nonsense: one by an endpoint, RELAY_TRIES times RELAYS_TRIED_MAX by relays at most. */
  tries: HandshakeTry[];
  readonly offered: readonly AeadCipher[];
}

export class TunnelPeer {
  readonly peer: PeerId;
  readonly slots: SessionSlots;
  readonly traffic = new TrafficWatch();
  /** From gossip, from an earlier run, or from the membership in its handshake. */
  staticKey: Uint8Array;
  /** Named by gossip, not only seen in a handshake. */
  gossiped = false;
  #advertised: readonly Endpoint[] = [];
  /** What its NAT makes of it, as it says itself. */
  nat: NatFacts = NOT_BEHIND_NAT;
  #path: TunnelPath | null = null;
  /** Where its authenticated datagrams came from last, by no relay. */
  #proven: Endpoint | null = null;
  readonly punching = new HolePunching();
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
  readonly mtuSearch = new PathSearch();
  /** Why the last series failed or could not begin; null after a success. */
  failure: string | null = null;
  /** Nothing comes back on the session: told once, until something does. */
  silent = false;
  /** A whole series went unanswered since the last success: later ones try less often. */
  gaveUp = false;
  /** What went wrong with the tries since the last success; makes `failure` more precise. */
  trouble: string | null = null;

  constructor(parts: { peer: PeerId; staticKey: Uint8Array; retire: (session: Session) => void }) {
    this.peer = parts.peer;
    this.staticKey = parts.staticKey.slice();
    this.slots = new SessionSlots(parts.retire);
  }

  set advertised(endpoints: readonly Endpoint[]) {
    this.#advertised = endpoints.slice(0, ENDPOINTS_MAX);
  }

  /** Says whether they are others than before. */
  advertise(endpoints: readonly Endpoint[]): boolean {
    const before = this.#advertised;
    this.advertised = endpoints;
    const now = this.#advertised;
    return now.length !== before.length || now.some((endpoint, i) => !equalEndpoints(endpoint, before[i]!));
  }

  /** How authenticated datagrams came last. */
  get path(): TunnelPath | null {
    return this.#path;
  }

  set path(path: TunnelPath | null) {
    this.#path = path;
    this.#proven = endpointOf(path) ?? this.#proven;
  }

  /** Needs time's attention. */
  get active(): boolean {
    return this.series !== null || this.wantedMs !== null || !this.slots.empty;
  }

  /** Where to try handshakes: first where it proved to be, then as advertised, then where others see it behind its NAT. */
  get candidates(): readonly Endpoint[] {
    const proven = this.#proven === null ? [] : [this.#proven];
    return withoutRepeats([...proven, ...this.#advertised, ...this.nat.observed]);
  }

  /** The same for a host that they do not reach, both sides at once: where both have a mapping comes first. */
  get punchable(): readonly Endpoint[] {
    return withoutRepeats([...this.nat.observed, ...this.candidates]);
  }

  /** Where the NATs of its path are; null: it is reached by a relay, or not at all. */
  natOf(observed: ObservedEndpoints): NatPlace | null {
    const endpoint = endpointOf(this.path);
    const session = this.slots.current;
    if (session === null || endpoint === null) return null;
    const here = session.observed !== 'unknown' && observed.isMapped(session.observed);
    const isIts = (one: Endpoint): boolean => equalEndpoints(one, endpoint);
    const there = (this.nat.symmetric || this.nat.observed.length > 0) && !this.#advertised.some(isIts);
    if (here) return there ? 'both' : 'here';
    return there ? 'there' : 'none';
  }

  get state(): TunnelState {
    if (this.slots.current !== null) return 'established';
    if (this.failure !== null) return 'failed';
    return this.series !== null || this.slots.next !== null ? 'handshaking' : 'idle';
  }

  /** The largest outer IP packet to send. */
  get pathMtu(): number | null {
    return this.#narrow ? this.mtuSearch.bytes : this.agreedMtu;
  }

  status(nowMs: number, observed: ObservedEndpoints): TunnelStatus {
    const session = this.slots.current;
    return {
      peer: this.peer,
      state: this.state,
      reason: this.#reason(nowMs, observed),
      cipher: session?.cipher ?? null,
      handshakeRttMs: this.handshakeRttMs,
      endpoint: endpointOf(this.path),
      relay: relayOf(this.path),
      nat: this.natOf(observed),
      pathMtu: session === null ? null : this.pathMtu,
      sessionAgeMs: session === null ? null : nowMs - session.createdMs,
      capabilities: session?.capabilities ?? null,
      unansweredMs: this.series?.aim === 'any' ? nowMs - this.series.startedMs : null,
      heardMs: this.#heardMs,
    };
  }

  #whyRelayed({ facts }: ObservedEndpoints): string {
    const { candidates } = this;
    if (candidates.length === 0) return 'no address of it is known';
    const silent = `no answer from ${candidates.map(formatEndpoint).join(', ')}`;
    if (!facts.symmetric && !this.nat.symmetric) return silent;
    const whose = facts.symmetric ? (this.nat.symmetric ? 'both NATs give' : "this host's NAT gives") : 'its NAT gives';
    return `${silent}; ${whose} each destination another port (symmetric)`;
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
    return this.mtuSearch.bytes < this.mtuSearch.topBytes;
  }

  #reason(nowMs: number, observed: ObservedEndpoints): string | null {
    const because = this.trouble === null ? '' : `; ${this.trouble}`;
    const { series } = this;
    const waiting = series?.path == null ? null : `no answer from ${formatPath(series.path)}`;
    switch (this.state) {
      case 'established': {
        if (this.silent) {
          const seconds = Math.floor(this.traffic.quietMs(nowMs) / 1_000);
          return `it has answered nothing for ${seconds} s${waiting === null ? '' : `; ${waiting}`}${because}`;
        }
        const overdue = series?.aim === 'any' && nowMs - series.startedMs >= REKEY_TIMEOUT_MS;
        if (overdue && waiting !== null) return `new keys are overdue: ${waiting}${because}`;
        if (relayOf(this.path) !== null) return this.#whyRelayed(observed);
        const { bytes, topBytes } = this.mtuSearch;
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

function withoutRepeats(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.filter((one, place) => endpoints.findIndex((other) => equalEndpoints(one, other)) === place);
}
