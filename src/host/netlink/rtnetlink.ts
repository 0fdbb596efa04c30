// The rtnetlink client of one network namespace: links, bridge ports, addresses, routes, neighbours and forwarding entries,
// without executing `ip`. Calls reach the kernel in the order in which they are made; those made without awaiting in between
// share a system call, and then an error of one does not stop the next. Each rejects with a NetlinkError naming the
// operation, the errno and the kernel's words. RFC 3549; linux/rtnetlink.h.

import type { Family } from '../../base/address.ts';
import { NETLINK_ROUTE } from '../native.ts';
import { addAddressRequest, deleteAddressRequest, listAddressesRequest, parseAddress } from './addresses.ts';
import { hasErrno, NetlinkError } from './errors.ts';
import {
  createBridgeRequest,
  createVethRequest,
  createVxlanRequest,
  deleteLinkGroupRequest,
  deleteLinkRequest,
  getLinkRequest,
  listLinksRequest,
  parseLink,
  setBridgePortForwardingRequest,
  setBridgePortRequest,
  setBridgeRequest,
  setLinkRequests,
} from './links.ts';
import type { Message, Request } from './message.ts';
import {
  deleteFdbEntryRequest,
  deleteNeighbourRequest,
  listFdbRequest,
  listNeighboursRequest,
  parseFdbEntry,
  parseNeighbour,
  setFdbEntryRequest,
  setNeighbourRequest,
} from './neighbours.ts';
import { NetlinkSocket } from './netlink-socket.ts';
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
  VxlanConfig,
} from './objects.ts';
import { addRouteRequest, deleteRouteRequest, listRoutesRequest, parseRoute } from './routes.ts';

export class Rtnetlink {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the namespace of `namespaceFd` (needed only during this call), or in the process's own. Throws NetlinkError. */
  static open(namespaceFd: number | null = null): Rtnetlink {
    return new Rtnetlink(NetlinkSocket.open(NETLINK_ROUTE, namespaceFd));
  }

  /** Idempotent; calls still waiting reject with ECANCELED. */
  close(): void {
    this.#socket.close();
  }

  /** See {@link NetlinkSocket.writeSysctls}. */
  async writeSysctls(values: Readonly<Record<string, string>>): Promise<void> {
    await this.#socket.writeSysctls(values);
  }

  /** Null when there is no such link. */
  async getLink(link: LinkRef): Promise<Link | null> {
    try {
      const [found] = collect(await this.#socket.request(getLinkRequest(link)), parseLink);
      return found ?? null;
    } catch (error) {
      if (hasErrno(error, 'ENODEV')) return null;
      throw error;
    }
  }

  async listLinks(filter: { readonly master?: number; readonly kind?: string } = {}): Promise<readonly Link[]> {
    const links = collect(await this.#socket.request(listLinksRequest(filter)), parseLink);
    // The kernel ignores a kind that it has not loaded yet, and a master that does not exist.
    return links.filter(
      ({ kind, master }) =>
        (filter.kind === undefined || kind === filter.kind) &&
        (filter.master === undefined || master === filter.master),
    );
  }

  /**
   * Returns the first end. EEXIST when a name is taken on either side; nothing is left behind when it rejects. One system call
   * for a pair without alias and address generation.
   */
  async createVeth(config: VethConfig): Promise<Link> {
    const { alias, addressGeneration, up } = config;
    // The address generation mode must be there before the link is up.
    const upLater = addressGeneration !== undefined;
    const created = this.#do(createVethRequest(config, up === true && !upLater));
    if (alias === undefined && !upLater) {
      const [, link] = await Promise.all([created, this.getLink(config.name)]);
      return link ?? deletedAtOnce(config.name);
    }
    await created;
    return this.#complete(config.name, {
      ...(alias === undefined ? {} : { alias }),
      ...(addressGeneration === undefined ? {} : { addressGeneration }),
      ...(upLater && up === true ? { up } : {}),
    });
  }

  /** EEXIST when the name is taken; nothing is left behind when it rejects. */
  async createBridge(config: BridgeConfig): Promise<Link> {
    const { mtu, alias, addressGeneration, up } = config;
    await this.#do(createBridgeRequest(config));
    return this.#complete(config.name, {
      ...(mtu === undefined ? {} : { mtu }),
      ...(alias === undefined ? {} : { alias }),
      ...(addressGeneration === undefined ? {} : { addressGeneration }),
      ...(up === undefined ? {} : { up }),
    });
  }

  /** EEXIST when the name is taken, or the VNI on that port; nothing is left behind when it rejects. */
  async createVxlan(config: VxlanConfig): Promise<Link> {
    const { alias, addressGeneration, up } = config;
    await this.#do(createVxlanRequest(config));
    return this.#complete(config.name, {
      ...(alias === undefined ? {} : { alias }),
      ...(addressGeneration === undefined ? {} : { addressGeneration }),
      ...(up === undefined ? {} : { up }),
    });
  }

  async setBridge(index: number, options: Partial<BridgeOptions>): Promise<void> {
    const { vlanFiltering, ...others } = options;
    const calls = [others, ...(vlanFiltering === undefined ? [] : [{ vlanFiltering }])]
      .filter((some) => Object.keys(some).length > 0)
      .map((some) => this.#do(setBridgeRequest(index, some)));
    if (vlanFiltering === false) calls.push(unlessUnsupported(calls.pop()));
    await Promise.all(calls);
  }

  async setLink(link: LinkRef, settings: LinkSettings): Promise<void> {
    // A message that gives a name gives the new one: the link itself must be known by index.
    const renames = typeof link === 'string' && settings.name !== undefined;
    const target = renames ? await this.#indexOf(link) : link;
    await Promise.all(setLinkRequests(target, settings).map((request) => this.#do(request)));
  }

  async setBridgePort(index: number, flags: Partial<BridgePortFlags>): Promise<void> {
    await this.#do(setBridgePortRequest(index, flags));
  }

  /** Of a bridge without a spanning tree: until the port loses its carrier or leaves the bridge. */
  async setBridgePortForwarding(index: number, forwards: boolean): Promise<void> {
    await this.#do(setBridgePortForwardingRequest(index, forwards));
  }

  /** Of a veth both ends. A missing link is ENODEV. */
  async deleteLink(link: LinkRef): Promise<void> {
    await this.#do(deleteLinkRequest(link));
  }

  /** Of veths both ends. An empty group is ENODEV. */
  async deleteLinkGroup(group: number): Promise<void> {
    await this.#do(deleteLinkGroupRequest(group));
  }

  /** EEXIST when it is there. */
  async addAddress(config: AddressConfig): Promise<void> {
    await this.#do(addAddressRequest(config, 'refuse'));
  }

  /** Adds it, or changes flags and lifetime of the one that is there. */
  async replaceAddress(config: AddressConfig): Promise<void> {
    await this.#do(addAddressRequest(config, 'replace'));
  }

  /** A missing one is EADDRNOTAVAIL. */
  async deleteAddress(key: Pick<AddressConfig, 'index' | 'ip' | 'prefix'>): Promise<void> {
    await this.#do(deleteAddressRequest(key));
  }

  async listAddresses(filter: { readonly index?: number; readonly family?: Family } = {}): Promise<readonly Address[]> {
    try {
      return collect(await this.#socket.request(listAddressesRequest(filter)), parseAddress);
    } catch (error) {
      // The kernel checks the index of the filter.
      if (hasErrno(error, 'ENODEV')) return [];
      throw error;
    }
  }

  /** EEXIST when there is a route with the same destination and metric. */
  async addRoute(config: RouteConfig): Promise<void> {
    await this.#do(addRouteRequest(config, 'refuse'));
  }

  /** Replaces one of the same destination, table and metric, whoever made it. */
  async replaceRoute(config: RouteConfig): Promise<void> {
    await this.#do(addRouteRequest(config, 'replace'));
  }

  /** A missing one is ESRCH. */
  async deleteRoute(key: RouteKey): Promise<void> {
    await this.#do(deleteRouteRequest(key));
  }

  /** All tables unless filtered; without the kernel's cache. */
  async listRoutes(filter: RouteFilter = {}): Promise<readonly Route[]> {
    const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
    const lists = await Promise.all(families.map((family) => this.#listRoutesOf(family, filter)));
    return lists.flat();
  }

  /** A permanent entry, made or replaced. */
  async setNeighbour(config: NeighbourConfig): Promise<void> {
    await this.#do(setNeighbourRequest(config));
  }

  /** A missing one is ENOENT. */
  async deleteNeighbour(key: Pick<NeighbourConfig, 'index' | 'ip'>): Promise<void> {
    await this.#do(deleteNeighbourRequest(key));
  }

  async listNeighbours(
    filter: { readonly index?: number; readonly family?: Family } = {},
  ): Promise<readonly Neighbour[]> {
    return collect(await this.#socket.request(listNeighboursRequest(filter)), parseNeighbour);
  }

  /** A static entry, made or moved here from another port. */
  async setFdbEntry(config: FdbConfig): Promise<void> {
    await this.#do(setFdbEntryRequest(config));
  }

  /** A missing one is ENOENT. */
  async deleteFdbEntry(config: FdbConfig): Promise<void> {
    await this.#do(deleteFdbEntryRequest(config));
  }

  /** Includes entries of the devices' own tables (master null). */
  async listFdb(filter: { readonly bridge?: number; readonly port?: number } = {}): Promise<readonly FdbEntry[]> {
    const entries = collect(await this.#socket.request(listFdbRequest(filter)), parseFdbEntry);
    return filter.port === undefined ? entries : entries.filter(({ index }) => index === filter.port);
  }

  async #do(request: Request): Promise<void> {
    await this.#socket.request(request);
  }

  /** What creation left to do; the new link goes when that fails. */
  async #complete(name: string, settings: LinkSettings): Promise<Link> {
    const isPlain = Object.keys(settings).length === 0;
    try {
      // Both in one system call; the link is read as it is then.
      const [, completed] = await Promise.all([isPlain ? null : this.setLink(name, settings), this.getLink(name)]);
      if (completed !== null) return completed;
    } catch (error) {
      // The first failure is the one to tell; a link that even can't be deleted shows as EEXIST at the next attempt.
      await Promise.allSettled([this.deleteLink(name)]);
      throw error;
    }
    return deletedAtOnce(name);
  }

  async #indexOf(name: string): Promise<number> {
    const link = await this.getLink(name);
    if (link === null) throw new NetlinkError(`find the link ${name}`, 'ENODEV');
    return link.index;
  }

  async #listRoutesOf(family: Family, filter: RouteFilter): Promise<readonly Route[]> {
    try {
      const routes = collect(await this.#socket.request(listRoutesRequest(family, filter)), parseRoute);
      // A kernel without IPv6 answers with the routes of IPv4.
      return routes.filter(({ dst }) => dst.family === family);
    } catch (error) {
      // No such table, or no such interface: no such routes.
      if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ENODEV')) return [];
      throw error;
    }
  }
}

function deletedAtOnce(name: string): never {
  throw new NetlinkError(`create the link ${name}`, 'ENODEV', 'someone deleted it at once');
}

/** A kernel without VLAN filtering refuses even to switch it off. */
async function unlessUnsupported(call: Promise<void> | undefined): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!hasErrno(error, 'EOPNOTSUPP')) throw error;
  }
}

function collect<T>(messages: readonly Message[], parse: (message: Message) => T | null): readonly T[] {
  return messages.map(parse).filter((value) => value !== null);
}
