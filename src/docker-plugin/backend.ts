// What the Docker plugin needs of the daemon: fabric's networks, addresses that are kept for Docker, and endpoints (one interface
// of one container each). The plugin is pure against this port; the daemon implements it on attachments and reservations.

import type { Cidr } from '../base/address.ts';
import type { Mac, Vni } from '../base/ids.ts';

/** One of fabric's networks, as far as Docker is told of it. */
export interface FabricNetwork {
  readonly id: Vni;
  readonly name: string;
  readonly range: Cidr;
  readonly range6: Cidr | null;
  /** Canonical text, as all addresses here. */
  readonly gateway: string;
  readonly gateway6: string | null;
  /** Made with `--internal`: nobody answers at its gateway. */
  readonly isInternal: boolean;
}

export interface HeldAddress {
  readonly network: string;
  readonly ip: string;
}

/** Addresses that belong to Docker until {@link release}; every call is durable when it returns. */
export interface AddressBook {
  all(): readonly HeldAddress[];
  /** `wanted`, or any out of `pool`. Rejects with `address-…`, `limit`, or `timeout` when `cancelled` fires. */
  reserve(
    request: { readonly network: string; readonly pool: Cidr; readonly wanted: string | null },
    cancelled: AbortSignal,
  ): Promise<string>;
  /** Idempotent. */
  release(address: HeldAddress): Promise<void>;
}

export interface Endpoint {
  /** Docker's id of it, 64 hex digits. */
  readonly id: string;
  readonly network: string;
  /** How the container's end is called until Docker moves and renames it. */
  readonly ifname: string;
  readonly mac: Mac;
  readonly ips: readonly string[];
  readonly state: EndpointState;
}

/** Its interface is being made, is there, or is being removed: by Docker's word, or because it vanished. */
export type EndpointState = 'making' | 'ready' | 'leaving';

export type WantedEndpoint = Omit<Endpoint, 'mac' | 'state'> & { readonly mac: Mac | null };

export interface EndpointService {
  all(): readonly Endpoint[];
  /** Null also for one that is leaving, or has no addresses yet. */
  find(id: string): Endpoint | null;
  /**
   * Makes the interface, with addresses that the book holds, as soon as those that had them have left. All or nothing; rejects with
   * `address-in-use`, `limit`, ….
   */
  create(endpoint: WantedEndpoint, cancelled: AbortSignal): Promise<Endpoint>;
  /** Idempotent. Resolves when nothing of it is left; its addresses stay in the book. */
  remove(id: string): Promise<void>;
}

export interface DockerBackend {
  /** Throws `network-unknown` when there is none of that name. */
  network(name: string): FabricNetwork;
  readonly addresses: AddressBook;
  readonly endpoints: EndpointService;
}
