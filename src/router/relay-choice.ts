// Which relays to try for a peer that no endpoint reaches: those that it names itself, then those that answer soonest. Pure: facts in,
// a short list out. Invariant: at most RELAYS_TRIED_MAX at a time, each reached directly; over several rounds every one has its turn.

import type { PeerId } from '../base/ids.ts';

/** Our tuning: each costs one handshake datagram, and one of them mostly suffices. */
export const RELAYS_TRIED_MAX = 3;

export interface RelayCandidate {
  readonly peer: PeerId;
  /** Round trip of a handshake with it; null: not measured. */
  readonly rttMs: number | null;
}

export interface RelayFacts {
  /** Whose relay is sought. */
  readonly peer: PeerId;
  /** The relay in use; null: none. */
  readonly current: PeerId | null;
  /** What the peer's own record names, best first. */
  readonly published: readonly PeerId[];
  /** With whom this host has a direct session that answers, and who relay. */
  readonly ready: readonly RelayCandidate[];
  /** Live hosts with which a session could be made, best first. */
  readonly neighbours: readonly PeerId[];
}

export interface RelayChoice {
  /** To be tried now, best first. */
  readonly use: readonly PeerId[];
  /** To shake hands with, so that they can be tried later. */
  readonly connect: readonly PeerId[];
}

/** `round` counts the tries for this peer, from 0. */
export function chooseRelays({ peer, current, published, ready, neighbours }: RelayFacts, round: number): RelayChoice {
  const rank = (id: PeerId): number => {
    if (id === current) return -1;
    const place = published.indexOf(id);
    return place < 0 ? published.length : place;
  };
  const ordered = ready
    .filter((candidate) => candidate.peer !== peer)
    .sort((a, b) => rank(a.peer) - rank(b.peer) || soonest(a, b))
    .map((candidate) => candidate.peer);
  const use = turn(ordered, RELAYS_TRIED_MAX, round);
  const known = new Set([peer, ...ordered]);
  const others = [...new Set([...published, ...neighbours])].filter((id) => !known.has(id));
  return { use, connect: turn(others, RELAYS_TRIED_MAX - use.length, round) };
}

/** `count` of them, further on with each round. */
function turn(peers: readonly PeerId[], count: number, round: number): readonly PeerId[] {
  const taken = Math.min(count, peers.length);
  return Array.from({ length: taken }, (_, i) => peers[(round * taken + i) % peers.length]!);
}

function soonest(a: RelayCandidate, b: RelayCandidate): number {
  const [first, second] = [a.rttMs ?? Number.POSITIVE_INFINITY, b.rttMs ?? Number.POSITIVE_INFINITY];
  if (first !== second) return first - second;
  return a.peer < b.peer ? -1 : 1;
}
