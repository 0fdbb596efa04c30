// Whom to ask for address space, and in which order. Pure: what is known in, peers out.

import { addressBits } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { LeaseView } from './lease-view.ts';
import type { Need } from './space-requests.ts';
import type { IpamOptions } from './types.ts';

type Facts = Pick<IpamOptions, 'self' | 'candidates' | 'isAlive' | 'random'> & { readonly view: LeaseView };

/**
 * For an exact address its owner; else linked peers, then living owners without a link, because in a large cluster most have none: each
 * time those with the most space first, equals in random order.
 */
export function donorsFor(need: Need, { self, view, candidates, isAlive, random }: Facts): readonly PeerId[] {
  if (need.exact !== null) {
    const owner = view.ownerOf({ family: need.family, value: need.exact.base });
    return owner === null || owner === self ? [] : [owner];
  }
  const space = new Map<PeerId, number>();
  for (const { owner, cidr } of view.regions(need.family)) {
    space.set(owner, (space.get(owner) ?? 0) + 2 ** (addressBits(cidr.family) - cidr.prefix));
  }
  const linked = new Set(candidates());
  const distant = [...space.keys()].filter((peer) => !linked.has(peer) && isAlive?.(peer) === true);
  const bySpace = (peers: readonly PeerId[]): readonly PeerId[] =>
    peers
      .filter((peer) => peer !== self)
      .map((peer) => ({ peer, space: space.get(peer) ?? 0, draw: random.fraction() }))
      .sort((a, b) => b.space - a.space || a.draw - b.draw)
      .map(({ peer }) => peer);
  return [...bySpace([...linked]), ...bySpace(distant)];
}

/** True when it may be reached though there is no link now: nobody else has the address, or it is asked after all that are linked. */
export function isWorthALink(donor: PeerId, { exact }: Need, { candidates, isAlive }: Facts): boolean {
  return isAlive?.(donor) === true && (exact !== null || !candidates().includes(donor));
}
