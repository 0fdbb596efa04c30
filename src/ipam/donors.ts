// Whom to ask for address space, and in which order. Pure: what is known in, peers out.

import { addressBits } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { LeaseView } from './lease-view.ts';
import type { Need } from './space-requests.ts';
import type { IpamOptions } from './types.ts';

/** For an exact address its owner; else linked peers, those with the most space first, equals in random order. */
export function donorsFor(
  need: Need,
  {
    self,
    view,
    candidates,
    random,
  }: Pick<IpamOptions, 'self' | 'candidates' | 'random'> & { readonly view: LeaseView },
): readonly PeerId[] {
  if (need.exact !== null) {
    const owner = view.ownerOf({ family: need.family, value: need.exact.base });
    return owner === null || owner === self ? [] : [owner];
  }
  const space = new Map<PeerId, number>();
  for (const { owner, cidr } of view.regions(need.family)) {
    space.set(owner, (space.get(owner) ?? 0) + 2 ** (addressBits(cidr.family) - cidr.prefix));
  }
  return candidates()
    .filter((peer) => peer !== self)
    .map((peer) => ({ peer, space: space.get(peer) ?? 0, draw: random.fraction() }))
    .sort((a, b) => b.space - a.space || a.draw - b.draw)
    .map(({ peer }) => peer);
}
