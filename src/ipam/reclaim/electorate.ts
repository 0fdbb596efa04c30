// Who should vote, and what should be decided next, as one voter sees it. Lists grow to three, five and seven with the cluster and
// lose who is gone; one voter changes at a time. Pure: facts in, an intent out.

import type { PeerId } from '../../base/ids.ts';
import { VOTERS_MAX, VOTERS_MIN } from './decision.ts';
import type { Intent } from './proposer.ts';

export interface ElectorateFacts {
  readonly self: PeerId;
  readonly voters: readonly PeerId[];
  /** Hosts that live, speak this protocol and were not removed; ourselves included. */
  readonly able: readonly PeerId[];
  /** Voters that were removed, or are gone for so long that another one should stand in for them. */
  readonly lost: readonly PeerId[];
  readonly leaseMs: number;
}

/** Null when the list is as it should be, or another voter is to say so. */
export function nextVoters({ self, voters, able, lost, leaseMs }: ElectorateFacts): Intent | null {
  const leader = voters.find((peer) => able.includes(peer));
  if (leader !== self) return null;
  const candidates = able.filter((peer) => !voters.includes(peer)).sort();
  const [candidate] = candidates;
  const [gone] = lost.filter((peer) => voters.includes(peer));
  if (gone !== undefined && voters.length > VOTERS_MIN) {
    return { kind: 'voters', voters: voters.filter((peer) => peer !== gone), leaseMs };
  }
  const grows = voters.length - (gone === undefined ? 0 : 1) < wantedSize(voters.length + candidates.length);
  if (candidate === undefined || !grows) return null;
  return { kind: 'voters', voters: [...voters, candidate].sort(), leaseMs };
}

/** Odd, because a fourth voter only makes majorities larger; one where three can't be had. */
export function wantedSize(hosts: number): number {
  if (hosts < VOTERS_MIN) return 1;
  return Math.min(VOTERS_MAX, hosts % 2 === 0 ? hosts - 1 : hosts);
}
