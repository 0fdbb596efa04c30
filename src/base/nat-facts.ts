// What a NAT (RFC 4787) makes of a host, as its peers see it: found by src/router/observed-endpoints.ts, published in the host's record,
// used by whoever punches a hole towards it.

import { type Endpoint, equalEndpoints } from './endpoint.ts';
import type { PeerId } from './ids.ts';

/** Our limits: few NATs have more public addresses than that, and two hosts by which one is found cover each other. */
export const OBSERVED_MAX = 4;
export const RENDEZVOUS_MAX = 2;

export interface NatFacts {
  /** Where peers see it, other than its own endpoints: mappings that it keeps open. At most {@link OBSERVED_MAX}. */
  readonly observed: readonly Endpoint[];
  /** Each destination sees another port: no hole can be punched towards it. */
  readonly symmetric: boolean;
  /** Hosts that relay, with which it always has a session, so that it is found. At most {@link RENDEZVOUS_MAX}. */
  readonly rendezvous: readonly PeerId[];
}

export const NOT_BEHIND_NAT: NatFacts = { observed: [], symmetric: false, rendezvous: [] };

export function equalNatFacts(a: NatFacts, b: NatFacts): boolean {
  return (
    a.symmetric === b.symmetric &&
    equalLists(a.observed, b.observed, equalEndpoints) &&
    equalLists(a.rendezvous, b.rendezvous, (one, other) => one === other)
  );
}

function equalLists<T>(a: readonly T[], b: readonly T[], equal: (one: T, other: T) => boolean): boolean {
  return a.length === b.length && a.every((one, i) => equal(one, b[i]!));
}
