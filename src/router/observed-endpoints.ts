// Where peers see this host: the endpoints that a NAT on the way gave it (its mappings, RFC 4787 §4.1), as handshakes with them tell.
// What agrees is published, so that others know where to punch a hole; a NAT that gives each destination another port ("symmetric",
// endpoint-dependent mapping) has nothing to publish. Invariants: an endpoint is forgotten when no handshake has confirmed it for as
// long as a session may live; one that this host itself has is no NAT's; what one peer says counts once.

import { type Endpoint, equalEndpoints, formatEndpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';
import { equalNatFacts, type NatFacts, NOT_BEHIND_NAT, OBSERVED_MAX, RENDEZVOUS_MAX } from '../base/nat-facts.ts';
import { REJECT_AFTER_MS } from './tunnel-timing.ts';

/** Our limit: more say nothing new. */
const OBSERVERS_MAX = 64;

interface Observation {
  readonly endpoint: Endpoint;
  readonly atMs: number;
  readonly relays: boolean;
}

export class ObservedEndpoints {
  readonly #own: () => readonly Endpoint[] | null;
  readonly #startedMs: number;
  readonly #seen = new Map<PeerId, Observation>();
  /** Null: nothing yet; what an earlier run published may still be true. */
  #told: NatFacts | null = null;

  /** `own`: what this host says of itself without a NAT; null: nothing is to be concluded. */
  constructor(own: () => readonly Endpoint[] | null, nowMs: number) {
    this.#own = own;
    this.#startedMs = nowMs;
  }

  /** Whether datagrams to a peer that sees this host there cross a NAT. */
  isMapped(endpoint: Endpoint | null): boolean {
    const own = this.#own();
    if (endpoint === null || own === null || own.length === 0) return false;
    return !own.some((one) => equalEndpoints(one, endpoint));
  }

  /** A handshake over a direct path has just succeeded; `relays`: that peer passes datagrams on. */
  note(peer: PeerId, endpoint: Endpoint | null, { relays, nowMs }: { relays: boolean; nowMs: number }): void {
    if (endpoint === null || !this.isMapped(endpoint)) this.#seen.delete(peer);
    else if (this.#seen.has(peer) || this.#seen.size < OBSERVERS_MAX) {
      this.#seen.set(peer, { endpoint, atMs: nowMs, relays });
    }
  }

  forget(peer: PeerId): void {
    this.#seen.delete(peer);
  }

  expire(nowMs: number): void {
    for (const [peer, { atMs }] of this.#seen) if (nowMs - atMs >= REJECT_AFTER_MS) this.#seen.delete(peer);
  }

  /** A NAT is between this host and some peer. */
  get behindNat(): boolean {
    return this.#seen.size > 0;
  }

  /** With them a session is kept, whether it is used or not: others find this host by them. */
  get rendezvous(): readonly PeerId[] {
    const relays = [...this.#seen].filter(([, one]) => one.relays).map(([peer]) => peer);
    return relays.slice(0, RENDEZVOUS_MAX);
  }

  /** What is to be published from now on; null: as before. */
  news(nowMs: number): NatFacts | null {
    const { facts } = this;
    if (this.#told === null && !this.behindNat && nowMs - this.#startedMs < REJECT_AFTER_MS) return null;
    if (this.#told !== null && equalNatFacts(facts, this.#told)) return null;
    this.#told = facts;
    return facts;
  }

  /** What is to be published, always in the same order. */
  get facts(): NatFacts {
    if (!this.behindNat) return NOT_BEHIND_NAT;
    const { observed, symmetric } = agreed([...this.#seen.values()].map(({ endpoint }) => endpoint));
    return { observed, symmetric, rendezvous: this.rendezvous };
  }
}

/** Of each address the ports that most peers see; where no two of several agree, the NAT is symmetric. */
function agreed(seen: readonly Endpoint[]): Pick<NatFacts, 'observed' | 'symmetric'> {
  const counts = new Map<string, { readonly endpoint: Endpoint; count: number }>();
  const most = new Map<string, number>();
  for (const endpoint of seen) {
    const text = formatEndpoint(endpoint);
    const tally = counts.get(text) ?? { endpoint, count: 0 };
    tally.count++;
    counts.set(text, tally);
    most.set(endpoint.ip, Math.max(most.get(endpoint.ip) ?? 0, tally.count));
  }
  const disagrees = (ip: string): boolean => most.get(ip) === 1 && seen.filter((one) => one.ip === ip).length > 1;
  const observed = [...counts]
    .filter(([, { endpoint, count }]) => count === most.get(endpoint.ip) && !disagrees(endpoint.ip))
    .sort(([a, one], [b, other]) => other.count - one.count || (a < b ? -1 : 1))
    .map(([, { endpoint }]) => endpoint);
  return { observed: observed.slice(0, OBSERVED_MAX), symmetric: [...most.keys()].some(disagrees) };
}
