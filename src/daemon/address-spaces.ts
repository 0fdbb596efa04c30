// The address spaces of all networks that this host knows, and the space that ids of networks are leased from, as one: records
// and messages find their space by the network that they name; what concerns a host (a link, its removal, a pause) concerns all
// of its spaces. Records of a network that is not known yet are no loss: the directory keeps them.

import type { FabricError } from '../base/errors.ts';
import { NETWORK_IDS_VNI, type PeerId, type Vni } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import type { Ipam } from '../ipam/ipam.ts';
import { leaseMessageNetwork } from '../ipam/lease-message.ts';
import type { LeaseRow } from '../ipam/types.ts';

const IDLE_TICK_MS = 1000;

export class AddressSpaces {
  readonly #spaces = new Map<Vni, Ipam>();
  /** By both: what is said again is kept once. */
  readonly #removals = new Map<string, { readonly peer: PeerId; readonly by: PeerId }>();
  #stopped: FabricError | null = null;
  /** Messages for spaces that this host does not have. */
  strays = 0;

  /** `known`: what the directory holds of that network's leases. */
  add(network: Vni, ipam: Ipam, known: Iterable<readonly [PeerId, LeaseRecord]>): void {
    this.#spaces.set(network, ipam);
    for (const [author, record] of known) ipam.observe(author, record);
    for (const { peer, by } of this.#removals.values()) ipam.peerRemoved(peer, by);
    if (this.#stopped !== null) ipam.setAllocating(this.#stopped);
  }

  remove(network: Vni): void {
    this.#spaces.get(network)?.close();
    this.#spaces.delete(network);
  }

  /** All that this host publishes. */
  records(): readonly LeaseRecord[] {
    return this.#all().flatMap((ipam) => ipam.records());
  }

  /** Every block of every network, but not the space of ids. */
  leases(): readonly LeaseRow[] {
    return [...this.#spaces].flatMap(([network, ipam]) => (network === NETWORK_IDS_VNI ? [] : ipam.leases()));
  }

  observe(author: PeerId, record: LeaseRecord): void {
    this.#spaces.get(record.network)?.observe(author, record);
  }

  withdraw(author: PeerId, record: LeaseRecord): void {
    this.#spaces.get(record.network)?.withdraw(author, record);
  }

  linked(peer: PeerId): void {
    for (const ipam of this.#all()) ipam.linked(peer);
  }

  receive(peer: PeerId, bytes: Uint8Array): void {
    const network = leaseMessageNetwork(bytes);
    const ipam = network === null ? undefined : this.#spaces.get(network);
    if (ipam === undefined) this.strays++;
    else ipam.receive(peer, bytes);
  }

  peerRemoved(peer: PeerId, by: PeerId): void {
    this.#removals.set(`${peer} ${by}`, { peer, by });
    for (const ipam of this.#all()) ipam.peerRemoved(peer, by);
  }

  setAllocating(stopped: FabricError | null): void {
    this.#stopped = stopped;
    for (const ipam of this.#all()) ipam.setAllocating(stopped);
  }

  /** Returns the milliseconds after which to call it again. */
  tick(): number {
    return this.#all().reduce((ms, ipam) => Math.min(ms, ipam.tick()), IDLE_TICK_MS);
  }

  /** See {@link Ipam.surrender}; ids of networks that were made here are known to all and no longer held. */
  surrender(to: PeerId): readonly LeaseRecord[] {
    const ids = this.#spaces.get(NETWORK_IDS_VNI);
    for (const { owner } of ids?.reservations() ?? []) ids?.release(owner);
    return this.#all().flatMap((ipam) => ipam.surrender(to));
  }

  /** See {@link Ipam.giveUnused}. */
  giveUnused(to: PeerId): readonly LeaseRecord[] {
    return this.#all().flatMap((ipam) => ipam.giveUnused(to));
  }

  isConfirmed(record: LeaseRecord): boolean {
    return this.#spaces.get(record.network)?.isConfirmed(record) ?? true;
  }

  #all(): readonly Ipam[] {
    return [...this.#spaces.values()];
  }
}
