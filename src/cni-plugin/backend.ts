// What the CNI operations need from the daemon. The operations (parsing, order, results, errors) are pure against this
// port; the daemon implements it on leases, rtnetlink and gossip, and `fabric attach` uses the same calls.

import type { Cidr } from '../base/address.ts';
import type { Mac, PeerId } from '../base/ids.ts';
import type { RouteAttributes } from '../base/route-attributes.ts';

/** A network namespace as its caller opened it: the daemon opens `/proc/PID/fd/FD` and checks device and inode. */
export interface NamespaceHandle {
  readonly pid: number;
  readonly fd: number;
  readonly dev: bigint;
  readonly ino: bigint;
  /** The path that the caller knows it by, for results and messages. */
  readonly path: string;
}

export interface AttachRequest {
  /** Name of the fabric network, `fabric` by default. */
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** Null: the interface stays in the host's namespace until the runtime moves it into the container's and sets it up there. */
  readonly namespace: NamespaceHandle | null;
  /**
   * Who asked, for GC: `cni:NAME` for the CNI network NAME, `cli` for `fabric attach`. Two CNI networks may use one fabric
   * network; a runtime's GC must free neither the other's attachments nor those made by hand. `docker` for Docker's endpoints.
   */
  readonly owner: string;
  /** What is wanted of our address management; it is not asked when `foreignIpam` is given. */
  readonly addresses: AddressWishes;
  /** Chooses the addresses in place of our own address management; null: ours does. */
  readonly foreignIpam: ForeignIpam | null;
  readonly mac: Mac | null;
  /** The container's name for people and DNS, or empty. */
  readonly name: string;
  /** Further names; absent: none. */
  readonly aliases?: readonly string[];
  /** True: add a default route where the namespace has none for that family. */
  readonly defaultRoute: boolean;
  /** Extra routes of the configuration. */
  readonly routes: readonly WantedRoute[];
}

export interface AddressWishes {
  /** Requested addresses with prefix length or without, canonical text. */
  readonly ips: readonly string[];
  /** One address out of each set; a set is blocks of one family. With neither this nor `ips`, one of each family is chosen. */
  readonly ranges: readonly (readonly Cidr[])[];
  /** True: who asks holds `ips` already, under another key, and gives them back: here they are only used. Absent: false. */
  readonly reserved?: boolean;
}

/** An address as a foreign IPAM plugin gives it. */
export interface GivenAddress {
  /** With the plugin's prefix length, canonical text. */
  readonly address: string;
  /** Null: the network's own. */
  readonly gateway: string | null;
}

export interface ForeignIpam {
  readonly plugin: string;
  /**
   * Runs the plugin, once, when the interface is there (the dhcp plugin talks through it). Rejects with the plugin's error; what
   * it reserved is given back by who made this object, after the attach has failed.
   */
  obtain(): Promise<{ readonly addresses: readonly GivenAddress[]; readonly routes: readonly WantedRoute[] }>;
}

export interface WantedRoute extends RouteAttributes {
  readonly dst: string;
  /** Null: by the network's gateway. */
  readonly gw: string | null;
}

export interface SetRoute extends RouteAttributes {
  readonly dst: string;
  readonly gw: string;
}

export interface AttachedAddress {
  /** Address with prefix length: the network's, `10.32.0.5/12`, or a foreign IPAM plugin's. */
  readonly address: string;
  /** Null where the network has no gateway of that family. */
  readonly gateway: string | null;
}

export interface Attachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly mac: Mac;
  readonly addresses: readonly AttachedAddress[];
  /** Routes that were set inside the namespace beyond the connected ones. */
  readonly routes: readonly SetRoute[];
  readonly name: string;
  readonly mtu: number;
  readonly bridge: { readonly name: string; readonly mac: Mac };
  readonly host: { readonly name: string; readonly mac: Mac };
  readonly namespacePath: string;
}

export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Addresses alone, for a plugin that makes the interface itself (`"ipam": {"type": "fabric"}` behind another type). */
export interface ReserveRequest extends AttachmentKey {
  readonly owner: string;
  /** Null when the caller could not open it; kept for people and for pruning. */
  readonly namespace: NamespaceHandle | null;
  readonly addresses: AddressWishes;
  /** True: it is kept when the host boots, because who asked remembers it, too. Absent: false. */
  readonly outlivesBoot?: boolean;
}

/** The part of the backend that serves as an IPAM plugin. Its keys are apart from those of attachments. */
export interface AddressService {
  /** Durable; all or none. Rejects with `attachment-exists`, `address-…`, `limit`. */
  reserve(request: ReserveRequest, cancelled: AbortSignal): Promise<readonly AttachedAddress[]>;
  /** Idempotent. */
  release(key: AttachmentKey): Promise<void>;
  /** Null when nothing is reserved under this key. */
  find(key: AttachmentKey): readonly AttachedAddress[] | null;
  listOwned(owner: string): readonly AttachmentKey[];
}

/** A difference between what was attached and what the kernel shows. */
export interface AttachmentFinding {
  readonly what: string;
}

/** What a container's resolv.conf shall say. */
export interface NameService {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
}

export interface CniBackend {
  readonly self: PeerId;
  readonly addresses: AddressService;
  /**
   * Attaches or rolls everything back. Rejects with FabricError: `attachment-exists`, `interface-exists`,
   * `namespace-invalid`, `address-exhausted`, `address-in-use`, `address-foreign`, `address-invalid`, ….
   * `cancelled` aborts when the caller hangs up: a half-done attach is rolled back.
   */
  attach(request: AttachRequest, cancelled: AbortSignal): Promise<Attachment>;
  /** Idempotent: an unknown attachment is success. Releases the addresses whatever happened to the namespace. */
  detach(key: AttachmentKey): Promise<void>;
  /** Compares reservation, interface, addresses, routes and forwarding entry with the kernel; empty: all is well. */
  check(key: AttachmentKey, namespace: NamespaceHandle): Promise<readonly AttachmentFinding[]>;
  /** What is attached under this key, from the reservation (the kernel is not asked); null: nothing. */
  find(key: AttachmentKey): Attachment | null;
  /** The attachments made with this {@link AttachRequest.owner}. */
  listOwned(owner: string): readonly AttachmentKey[];
  /** For containers of that network whose configuration says nothing else; null: no names are served there now. */
  nameService(network: string): NameService | null;
  /** Null when an ADD would work now, else why not; `degraded`: existing containers suffer too. */
  readiness(network: string): { readonly reason: string; readonly degraded: boolean } | null;
}
