// The names of every network, each in a zone of its own: what claims and operators of all hosts say, sorted by network. A zone is
// there as long as somebody says something of that network, also before this host knows the network itself; what counts is judged
// when somebody asks (src/dns/zone.ts).

import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { AttachmentRecord, NameRecord } from '../base/records.ts';
import { Zone } from '../dns/zone.ts';
import type { ClaimKeeper } from './claim-keepers.ts';

export interface ZonesPorts {
  readonly domain: string;
  /** Whose claim on that MAC counts in that network now; null: nobody's. */
  holderOf(network: Vni, mac: Mac): PeerId | null;
  isAlive(peer: PeerId): boolean;
  /** See {@link Zone}; absent: addresses take turns. */
  distanceTo?(peer: PeerId): number;
}

export class Zones implements ClaimKeeper {
  readonly #ports: ZonesPorts;
  readonly #zones = new Map<Vni, Zone>();
  /** Of zones that are gone. */
  #unusableBefore = 0;

  constructor(ports: ZonesPorts) {
    this.#ports = ports;
  }

  get domain(): string {
    return this.#ports.domain;
  }

  /** Names in records that are none. */
  get unusable(): number {
    return [...this.#zones.values()].reduce((sum, { unusable }) => sum + unusable, this.#unusableBefore);
  }

  /** Of a network without names it is empty. */
  of(network: Vni): Zone {
    const known = this.#zones.get(network);
    if (known !== undefined) return known;
    const { domain, holderOf, isAlive, distanceTo } = this.#ports;
    const zone = new Zone({
      domain,
      holderOf: (mac) => holderOf(network, mac),
      isAlive,
      ...(distanceTo === undefined ? {} : { distanceTo }),
    });
    this.#zones.set(network, zone);
    return zone;
  }

  all(): readonly (readonly [Vni, Zone])[] {
    return [...this.#zones];
  }

  claim(author: PeerId, record: AttachmentRecord): void {
    // Hosts have their place in the overlay, but no name in the domain: nicknames are not theirs alone.
    const named = record.kind === 'container' ? record : { ...record, name: '', aliases: [] };
    this.of(record.network).setClaim(author, named);
  }

  withdraw(author: PeerId, network: Vni, mac: Mac): void {
    this.of(network).removeClaim(author, mac);
    this.#dropIfEmpty(network);
  }

  added(author: PeerId, record: NameRecord): void {
    this.of(record.network).setAdded(author, record);
  }

  gone(author: PeerId, { network, name }: NameRecord): void {
    this.of(network).removeAdded(author, name);
    this.#dropIfEmpty(network);
  }

  #dropIfEmpty(network: Vni): void {
    const zone = this.#zones.get(network);
    if (zone?.isEmpty !== true) return;
    this.#unusableBefore += zone.unusable;
    this.#zones.delete(network);
  }
}
