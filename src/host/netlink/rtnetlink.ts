// The rtnetlink client of one network namespace: links, bridge ports, addresses, routes, neighbours and forwarding entries,
// without executing `ip`. Calls reach the kernel in the order in which they are made; those made without awaiting in between
// share a system call, and then an error of one does not stop the next. Each rejects with a NetlinkError naming the
// operation, the errno and the kernel's words. RFC 3549; linux/rtnetlink.h.

import type { Family } from '../../base/address.ts';
import type {
  Address,
  AddressConfig,
  BridgeConfig,
  BridgeOptions,
  BridgePortFlags,
  FdbConfig,
  FdbEntry,
  Link,
  LinkRef,
  LinkSettings,
  Neighbour,
  NeighbourConfig,
  Route,
  RouteConfig,
  RouteFilter,
  RouteKey,
  VethConfig,
} from './objects.ts';

export declare class Rtnetlink {
  /** In the namespace of `namespaceFd` (needed only during this call), or in the process's own. */
  static open(namespaceFd?: number | null): Rtnetlink;
  /** Idempotent; calls still waiting reject. */
  close(): void;

  /** Null when there is no such link. */
  getLink(link: LinkRef): Promise<Link | null>;
  listLinks(filter?: { readonly master?: number; readonly kind?: string }): Promise<readonly Link[]>;
  /** Returns the first end. EEXIST when a name is taken on either side; nothing is left behind then. */
  createVeth(config: VethConfig): Promise<Link>;
  createBridge(config: BridgeConfig): Promise<Link>;
  setBridge(index: number, options: Partial<BridgeOptions>): Promise<void>;
  setLink(link: LinkRef, settings: LinkSettings): Promise<void>;
  setBridgePort(index: number, flags: Partial<BridgePortFlags>): Promise<void>;
  /** A missing link is ENODEV. */
  deleteLink(link: LinkRef): Promise<void>;

  /** EEXIST when it is there. */
  addAddress(config: AddressConfig): Promise<void>;
  /** Adds it, or changes flags and scope of the one that is there. */
  replaceAddress(config: AddressConfig): Promise<void>;
  /** A missing one is EADDRNOTAVAIL. */
  deleteAddress(key: Pick<AddressConfig, 'index' | 'ip' | 'prefix'>): Promise<void>;
  listAddresses(filter?: { readonly index?: number; readonly family?: Family }): Promise<readonly Address[]>;

  /** EEXIST when there is a route with the same destination and metric. */
  addRoute(config: RouteConfig): Promise<void>;
  /** Replaces one of the same destination, table and metric, whoever made it. */
  replaceRoute(config: RouteConfig): Promise<void>;
  /** A missing one is ESRCH. */
  deleteRoute(key: RouteKey): Promise<void>;
  /** All tables unless filtered; without the kernel's cache. */
  listRoutes(filter?: RouteFilter): Promise<readonly Route[]>;

  /** A permanent entry, made or replaced. */
  setNeighbour(config: NeighbourConfig): Promise<void>;
  /** A missing one is ENOENT. */
  deleteNeighbour(key: Pick<NeighbourConfig, 'index' | 'ip'>): Promise<void>;
  listNeighbours(filter?: { readonly index?: number; readonly family?: Family }): Promise<readonly Neighbour[]>;

  /** A static entry, made or moved here from another port. */
  setFdbEntry(config: FdbConfig): Promise<void>;
  /** A missing one is ENOENT. */
  deleteFdbEntry(config: FdbConfig): Promise<void>;
  listFdb(filter?: { readonly bridge?: number; readonly port?: number }): Promise<readonly FdbEntry[]>;
}
