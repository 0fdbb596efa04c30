// How datagrams reach a peer: straight to an endpoint of the underlay, or by a relay, a third host that passes them on without being
// able to read them. Invariant: a relay is itself reached directly; a relay behind a relay does not exist.

import { type Endpoint, equalEndpoints, formatEndpoint } from '../base/endpoint.ts';
import type { PeerId } from '../base/ids.ts';

export interface RelayPath {
  readonly relay: PeerId;
  /** Whom the relay passes datagrams on to, and from whom those come that it brings. */
  readonly peer: PeerId;
}

export type TunnelPath = Endpoint | RelayPath;

export function isRelayPath(path: TunnelPath): path is RelayPath {
  return 'relay' in path;
}

/** The endpoint of a direct path; null for a relay and for no path. */
export function endpointOf(path: TunnelPath | null): Endpoint | null {
  return path === null || isRelayPath(path) ? null : path;
}

/** The relay that the path takes; null for a direct one and for no path. */
export function relayOf(path: TunnelPath | null): PeerId | null {
  return path !== null && isRelayPath(path) ? path.relay : null;
}

export function equalPaths(a: TunnelPath, b: TunnelPath): boolean {
  if (isRelayPath(a)) return isRelayPath(b) && a.relay === b.relay && a.peer === b.peer;
  return !isRelayPath(b) && equalEndpoints(a, b);
}

/** For people: `192.0.2.1:6783`, or the relay. */
export function formatPath(path: TunnelPath): string {
  return isRelayPath(path) ? `relay ${path.relay}` : formatEndpoint(path);
}
