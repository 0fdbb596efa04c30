// What attachments need of the rest of the daemon, as one port: the kernel, address management, claims in the mesh. The
// daemon wires it (member.ts), tests fake it.

import type { Cidr } from '../base/address.ts';
import type { Clock, Crypto, Log, Random, Timers } from '../base/capabilities.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { NameService, NamespaceHandle } from '../cni-plugin/backend.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { AttachmentStore } from './attachment-store.ts';
import type { Tell } from './events/event-kinds.ts';

/** A namespace that was opened for an operation; the descriptor is closed by `close`. */
export interface OpenNamespace {
  readonly fd: number;
  close(): void;
}

export interface NetworkAddressing {
  readonly range: Cidr;
  readonly range6: Cidr | null;
  /** Null where the network has none of that family. */
  readonly gateway: string | null;
  readonly gateway6: string | null;
}

export interface AddressWish {
  /** Who will hold the address. */
  readonly owner: string;
  readonly family: 4 | 6;
  /** This address and no other; null: any. */
  readonly wanted: string | null;
  /** Out of these blocks of one family; absent: out of the whole network. */
  readonly within?: readonly Cidr[];
}

/** A network and its address management, as far as attachments and reservations use them. */
export interface AddressPorts {
  readonly id: Vni;
  readonly addressing: NetworkAddressing;
  /** Durable with the caller's next synced write; idempotent per owner and family. Rejects with `address-…`. */
  allocate(wish: AddressWish): Promise<string>;
  /** Frees all addresses of an owner; durable with the caller's next synced write. */
  release(owner: string): void;
}

/** A network that containers join. */
export interface AttachmentNetwork extends AddressPorts {
  readonly bridge: string;
  /** Puts the claim into this host's gossip map, durably, and into our own tables. */
  publish(record: AttachmentRecord): Promise<void>;
  withdraw(mac: Mac): Promise<void>;
  /** Who has this MAC, in words; null: nobody has. */
  macHolder(mac: Mac): string | null;
  /** Resolves once no container of another live host has the MAC, after a moment at the latest. */
  macReleased(mac: Mac): Promise<void>;
  /** Why that MAC or address (canonical text) may not come here now, in words; null: it may. */
  heldMove(what: string): string | null;
  /** True when the address was elsewhere or had another MAC before, so that neighbours may remember that. */
  hasMoved(ip: string): boolean;
  /** Who holds an address that no lease covers, in words; null: nobody does. */
  freeAddressHolder(ip: string): string | null;
}

/** How networks are found by those who use them. */
export interface NetworkFinder<T> {
  /** For something new in it. Throws `network-unknown`. */
  networkNamed(name: string): T;
  /** Of something that is in it; null: nothing is known of it any more. */
  networkOf(id: Vni): T | null;
}

/** What a network has for a container that comes next. */
export interface NetworkOutlook {
  readonly id: Vni;
  /** Why no address would be found now, in words; null: one would. */
  addressObstacle(): string | null;
  /** What its containers are told of names; null: nothing. */
  nameService(): NameService | null;
}

export interface AttachmentPorts extends NetworkFinder<AttachmentNetwork> {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly log: Log;
  readonly tell: Tell;
  readonly entries: AttachmentStore;
  readonly host: HostNetwork;
  /** Of all interfaces, in bytes. */
  readonly mtu: number;
  /** Resolves when kernel and datapath are ready for a container of the network; idempotent. */
  enter(network: Vni): Promise<void>;
  /** A container left the network, or did not come after all. */
  left(network: Vni): void;
  /** Checks pid, device and inode and opens the namespace in this process; throws `namespace-invalid`. */
  openNamespace(handle: NamespaceHandle): OpenNamespace;
  /** Null: there is no network of that name. */
  findNetwork(name: string): NetworkOutlook | null;
  /** Why nothing can be attached now; null: it can. */
  readiness(): { readonly reason: string; readonly degraded: boolean } | null;
}
