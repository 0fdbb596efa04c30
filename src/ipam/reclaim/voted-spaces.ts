// The leases of all networks about which one list of voters decides, as one: a promise to an owner is about all that it owns, and so is a
// ballot against it. Invariant: what is said of a block names its network, because two networks may have blocks of one address
// and epoch; and titles come in one order on every host, so that voters that report no more than a message takes report the same.

import type { PeerId, Vni } from '../../base/ids.ts';
import type { Title, Value } from './decision.ts';

export type Reclaimed = Extract<Value, { readonly kind: 'reclaim' }>;

/** The leases of one network, as the voting sees them. */
export interface VotedSpace {
  readonly network: Vni;
  owners(): readonly PeerId[];
  /** What a host owns for certain, in the order of addresses. */
  titlesOf(peer: PeerId): readonly Title[];
  /** What a host says that others gave it. */
  giftsTo(peer: PeerId): readonly Title[];
  /** What we own by others' gifts, by keys that stay and that no other network has. */
  ownTitles(): readonly string[];
  /** All that is known here of a host's records is understood. */
  isUnderstood(peer: PeerId): boolean;
  /** Durable already; also what is about other networks. Writes nothing: {@link changed} follows. */
  reclaimed(value: Reclaimed): void;
  /** Blocks were reclaimed, the fence opened or closed, or a title was confirmed. Throws what the store says. */
  changed(): void;
}

export class VotedSpaces {
  /** By ascending network. */
  #spaces: readonly VotedSpace[] = [];

  add(space: VotedSpace): void {
    this.#spaces = [...this.#spaces, space].sort((a, b) => a.network - b.network);
  }

  remove(network: Vni): void {
    this.#spaces = this.#spaces.filter((space) => space.network !== network);
  }

  owners(): readonly PeerId[] {
    return [...new Set(this.#spaces.flatMap((space) => space.owners()))];
  }

  titlesOf(peer: PeerId): readonly Title[] {
    return this.#spaces.flatMap((space) => space.titlesOf(peer));
  }

  giftsTo(peer: PeerId): readonly Title[] {
    return this.#spaces.flatMap((space) => space.giftsTo(peer));
  }

  ownTitles(): ReadonlySet<string> {
    return new Set(this.#spaces.flatMap((space) => space.ownTitles()));
  }

  isUnderstood(peer: PeerId): boolean {
    return this.#spaces.every((space) => space.isUnderstood(peer));
  }

  reclaimed(value: Reclaimed): void {
    const concerned = new Set(value.titles.map(({ network }) => network));
    for (const space of this.#spaces) if (concerned.has(space.network)) space.reclaimed(value);
  }

  changed(): void {
    for (const space of this.#spaces) space.changed();
  }
}
