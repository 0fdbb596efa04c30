// Container interfaces: a veth pair with one end in the bridge, locked to one MAC, and the other in the container's
// namespace. What a port may send is in the packet filter before the port is in the bridge, and leaves it after the port
// is taken down; a step that fails takes back all before it. The control plane announces addresses, so there is no duplicate address
// detection, and gratuitous ARP only where neighbours on the bridge may know an address by another MAC (RFC 5227 §3).

import { setTimeout as pause } from 'node:timers/promises';
import { type Cidr, parseIp } from '../../base/address.ts';
import type { Log } from '../../base/capabilities.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { ContainerInterfaceConfig, ContainerRoute, OverlayNetworkConfig, Removal } from '../host-network.ts';
import { hasErrno, isExists, isMissing } from '../netlink/errors.ts';
import type { Nfnetlink } from '../netlink/nfnetlink.ts';
import { type FdbEntry, type Link, ROUTE_TABLE_MAIN, type Route } from '../netlink/objects.ts';
import { Rtnetlink } from '../netlink/rtnetlink.ts';
import { elementChanges, type PortIdentity, portElements } from './anti-spoof.ts';
import { setUpContainerSide } from './container-side.ts';
import { DEPARTED, type InterfaceReaper, isDeparted } from './interface-reaper.ts';
import type { KnownPorts } from './known-ports.ts';
import { CONTAINER_ALIAS, CONTAINER_END_ALIAS, isInterfaceName } from './names.ts';
import {
  explainUnsupported,
  hostRoute,
  JOINED_SUPERFRAME_BYTES,
  linkDifferences,
  memberLimits,
  sameBlock,
  unlessMissing,
} from './overlay-bridge.ts';
import type { Overlay } from './overlays.ts';
import { MEMBER_PORT } from './port-veths.ts';

export interface AddedContainer {
  readonly host: Link;
  readonly routes: readonly ContainerRoute[];
}

/** A port of the bridge forwards within milliseconds; the kernel puts it off for a second at most. */
const FORWARDING_LOOK_MS = 2;
const FORWARDING_LOOKS_MAX = 500;

const NOTHING_TO_REMOVE: Removal = { gone: Promise.resolve() };

/** What the kernel shows of one port. */
export interface PortView {
  readonly link: Link;
  readonly fdb: readonly FdbEntry[];
  readonly routes: readonly Route[];
}

export interface ContainerPortsOptions {
  readonly netlink: Rtnetlink;
  readonly reaper: InterfaceReaper;
  readonly filter: Nfnetlink;
  /** Puts back tables and sets that someone removed. */
  readonly repairFilter: () => Promise<void>;
  readonly log: Log;
}

export class ContainerPorts {
  readonly #netlink: Rtnetlink;
  readonly #reaper: InterfaceReaper;
  readonly #filter: Nfnetlink;
  readonly #repairFilter: () => Promise<void>;
  readonly #log: Log;

  constructor({ netlink, reaper, filter, repairFilter, log }: ContainerPortsOptions) {
    this.#netlink = netlink;
    this.#reaper = reaper;
    this.#filter = filter;
    this.#repairFilter = repairFilter;
    this.#log = log;
  }

  /** Rejects with `interface-exists`, `limit`, `netlink`, …; nothing is left behind then. */
  async add(network: OverlayNetworkConfig, bridge: Link, config: ContainerInterfaceConfig): Promise<AddedContainer> {
    if (!isInterfaceName(config.hostIfname)) throw taken(`'${config.hostIfname}' can't be the name of an interface`);
    const { namespaceFd } = config;
    const inside = namespaceFd === null ? null : Rtnetlink.open(namespaceFd);
    try {
      const { host, present } = await this.#make(inside, network, bridge, config);
      const setUp = async (): Promise<readonly ContainerRoute[]> => {
        const bringUp = this.#bringUp(network, bridge, host, config);
        if (inside === null) {
          await Promise.all([bringUp, this.#leaveToRuntime(host)]);
          return [];
        }
        const [routes] = await Promise.all([setUpContainerSide(inside, network, config, { host, present }), bringUp]);
        if (config.announce === true) await this.#announce(inside, config, host);
        return routes;
      };
      const undo = async () => (await this.remove(bridge, config, host.index)).gone;
      return { host, routes: await this.#orUndo(setUp(), undo) };
    } finally {
      inside?.close();
    }
  }

  /** For an interface that {@link add} made without addresses. Resolves with the routes that were set. */
  async address(
    network: OverlayNetworkConfig,
    bridge: Link,
    config: ContainerInterfaceConfig,
  ): Promise<readonly ContainerRoute[]> {
    const host = await this.#netlink.getLink(config.hostIfname);
    if (host?.peerIndex == null) {
      throw new FabricError('namespace-invalid', {
        what: `the interface ${config.hostIfname} is gone`,
        why: 'the namespace ended while its addresses were being chosen',
      });
    }
    assert(config.namespaceFd !== null, 'what the runtime moves has its addresses from the start');
    const inside = Rtnetlink.open(config.namespaceFd);
    try {
      await this.#allow(config);
      const [present] = await Promise.all([
        inside.listRoutes({ table: ROUTE_TABLE_MAIN }),
        ...hostRoutes(network, config).map((dst) => this.#netlink.replaceRoute({ dst, index: bridge.index })),
      ]);
      const routes = await setUpContainerSide(inside, network, config, { host, present });
      if (config.announce === true) await this.#announce(inside, config, host);
      return routes;
    } finally {
      inside.close();
    }
  }

  /**
   * Idempotent. `index`: of its interface, when that is known. All but the freeing of the interface is done when it resolves. Only
   * routes over that bridge go: another network may have the same addresses. Null: there is no bridge, and so no route over it.
   */
  async remove(bridge: Link | null, port: PortIdentity, index: number | null): Promise<Removal> {
    const routes = bridge === null ? [] : routesTo(port).map((dst) => ({ dst, index: bridge.index }));
    const [removal] = await Promise.all([
      index === null ? this.removeInterface(port.hostIfname) : this.#takeDown(index),
      ...routes.map((route) => unlessMissing(this.#netlink.deleteRoute(route))),
      this.forget(port),
    ]);
    return removal;
  }

  /** For an interface of ours about which nothing more is known. */
  async removeInterface(hostIfname: string): Promise<Removal> {
    const link = await this.#netlink.getLink(hostIfname);
    if (link !== null && isDeparted(link)) return { gone: this.#reaper.free(link.index) };
    return link !== null && isContainerPort(link) ? this.#takeDown(link.index) : NOTHING_TO_REMOVE;
  }

  /** Takes the anti-spoof elements away: one transaction, or one by one when some are gone already. */
  async forget(port: PortIdentity): Promise<void> {
    const elements = portElements(port);
    try {
      await this.#filter.setElementsAll(elementChanges('delete', elements));
    } catch (error) {
      if (!isMissing(error)) throw error;
      for (const element of elements) {
        await unlessMissing(this.#filter.setElementsAll(elementChanges('delete', [element])));
      }
    }
  }

  /** Puts back what differs; resolves with the interface's index. Rejects with `attachment-unknown` when it is gone. */
  async adopt(network: OverlayNetworkConfig, bridge: Link, port: PortIdentity): Promise<number> {
    const link = await this.#netlink.getLink(port.hostIfname);
    if (link === null) {
      throw new FabricError('attachment-unknown', {
        what: `the interface ${port.hostIfname} is gone`,
        why: 'its container ended',
      });
    }
    await this.#allow(port);
    const fdb = await this.#netlink.listFdb({ port: link.index });
    await this.repair(network, bridge, port, { link, fdb, routes: [] });
    return link.index;
  }

  /** Compares with what a dump showed and changes only what differs; anti-spoof elements are not looked at. */
  async repair(
    network: OverlayNetworkConfig,
    bridge: Link,
    port: PortIdentity,
    { link, fdb, routes }: PortView,
  ): Promise<boolean> {
    const { index } = link;
    const work: Promise<void>[] = [];
    const wanted = { mtu: network.mtu, alias: CONTAINER_ALIAS, master: bridge.index, ...memberLimits(link) };
    const settings = linkDifferences(link, wanted);
    if (settings !== null) work.push(this.#netlink.setLink(index, settings));
    const flags = link.master === bridge.index ? wrongFlags(link) : ['all'];
    if (flags.length > 0) work.push(this.#netlink.setBridgePort(index, MEMBER_PORT));
    const entry = fdb.some((e) => e.index === index && e.mac === port.mac && e.state === 'static' && e.master !== null);
    if (!entry || settings?.master !== undefined) work.push(this.#netlink.setFdbEntry({ index, mac: port.mac }));
    for (const dst of hostRoutes(network, port)) {
      if (routes.some((route) => sameBlock(route.dst, dst) && route.index === bridge.index)) continue;
      work.push(this.#netlink.replaceRoute({ dst, index: bridge.index }));
    }
    if (!link.up) work.push(this.#netlink.setLink(index, { up: true }));
    await Promise.all(work);
    return work.length > 0;
  }

  /** The same for all live ports of a network; true for each that differed. One whose interface vanished lives no more. */
  async repairAll(
    { config, bridge }: Overlay,
    ports: KnownPorts,
    links: ReadonlyMap<string, Link>,
  ): Promise<readonly boolean[]> {
    const [fdb, routes] = await Promise.all([
      this.#netlink.listFdb({ bridge: bridge.index }),
      this.#netlink.listRoutes({ index: bridge.index }),
    ]);
    const changes: boolean[] = [];
    for (const { port } of ports.live().filter(({ network }) => network === config.network)) {
      const link = links.get(port.hostIfname);
      if (link !== undefined) {
        changes.push(await this.repair(config, bridge, port, { link, fdb, routes }));
      } else if ((await this.#netlink.getLink(port.hostIfname)) === null) {
        // Not just made since the links were listed. Reported once; the daemon says what becomes of it.
        ports.update(port.hostIfname, { live: false });
        changes.push(true);
      }
    }
    return changes;
  }

  /** Differences on the host's side, in words. */
  async check(network: OverlayNetworkConfig, bridge: Link, port: PortIdentity): Promise<readonly string[]> {
    const link = await this.#netlink.getLink(port.hostIfname);
    if (link === null) return [`the host interface ${port.hostIfname} is gone`];
    const [fdb, routes] = await Promise.all([
      this.#netlink.listFdb({ port: link.index }),
      this.#netlink.listRoutes({ index: bridge.index }),
    ]);
    const findings: string[] = [];
    if (!link.up) findings.push(`${link.name} is down`);
    if (link.master !== bridge.index) findings.push(`${link.name} is no port of ${bridge.name}`);
    else findings.push(...wrongFlags(link).map((flag) => `${link.name}: the bridge port flag ${flag} is wrong`));
    if (!fdb.some((entry) => entry.mac === port.mac && entry.state === 'static')) {
      findings.push(`${bridge.name} has no forwarding entry for ${port.mac} on ${link.name}`);
    }
    for (const [i, dst] of hostRoutes(network, port).entries()) {
      if (!routes.some((route) => sameBlock(route.dst, dst))) findings.push(`the host has no route to ${port.ips[i]}`);
    }
    return findings;
  }

  async #takeDown(index: number): Promise<Removal> {
    try {
      await this.#netlink.setLink(index, DEPARTED);
    } catch (error) {
      if (isMissing(error)) return NOTHING_TO_REMOVE;
      throw error;
    }
    return { gone: this.#reaper.free(index) };
  }

  async #allow(port: PortIdentity): Promise<void> {
    const changes = elementChanges('add', portElements(port));
    try {
      await this.#filter.setElementsAll(changes);
    } catch (error) {
      // Someone flushed the packet filter, and the watch has not come round yet.
      if (!isMissing(error)) throw error;
      await this.#repairFilter();
      await this.#filter.setElementsAll(changes);
    }
  }

  /** The pair, not in the bridge yet; what the port may send; and the routes that were there before. None waits for another. */
  async #make(
    inside: Rtnetlink | null,
    network: OverlayNetworkConfig,
    bridge: Link,
    config: ContainerInterfaceConfig,
  ): Promise<{ readonly host: Link; readonly present: readonly Route[] }> {
    // Where the runtime moves the container's end, it sets the routes, too.
    const look = inside === null ? [] : inside.listRoutes({ table: ROUTE_TABLE_MAIN });
    const [made, ready] = await Promise.allSettled([
      this.#createPair(network, config),
      Promise.all([look, this.#allow(config)]),
    ]);
    if (made.status === 'rejected') return this.#orUndo(Promise.reject(made.reason), () => this.forget(config));
    const host = made.value;
    const undo = async () => (await this.remove(bridge, config, host.index)).gone;
    if (ready.status === 'rejected') return this.#orUndo(Promise.reject(ready.reason), undo);
    return { host, present: ready.value[0] };
  }

  async #createPair(network: OverlayNetworkConfig, config: ContainerInterfaceConfig): Promise<Link> {
    try {
      return await this.#netlink.createVeth({
        name: config.hostIfname,
        mtu: network.mtu,
        gsoIpv4BytesMax: JOINED_SUPERFRAME_BYTES + 1,
        peer: {
          name: config.ifname,
          mac: config.mac,
          mtu: network.mtu,
          ...(config.namespaceFd === null ? {} : { namespaceFd: config.namespaceFd }),
        },
      });
    } catch (error) {
      if (isExists(error)) {
        throw taken(`${config.hostIfname} or the container's ${config.ifname} exists already`, {
          why: 'an interface of another network or program has that name',
          fix: 'Choose another one for the container: --ifname of fabric attach, CNI_IFNAME',
          cause: error,
        });
      }
      throw explainUnsupported(error, 'veth');
    }
  }

  /** Mark, flags and entry before the link is up; one system call for all. */
  async #bringUp(network: OverlayNetworkConfig, bridge: Link, { index }: Link, config: PortIdentity): Promise<void> {
    try {
      await Promise.all([
        this.#netlink.setLink(index, { alias: CONTAINER_ALIAS, addressGeneration: false, master: bridge.index }),
        this.#netlink.setBridgePort(index, MEMBER_PORT),
        this.#netlink.setFdbEntry({ index, mac: config.mac }),
        ...hostRoutes(network, config).map((dst) => this.#netlink.replaceRoute({ dst, index: bridge.index })),
        this.#netlink.setLink(index, { up: true }),
      ]);
    } catch (error) {
      if (!hasErrno(error, 'EXFULL')) throw error;
      const why = 'a Linux bridge has at most 1023 ports';
      throw new FabricError('limit', { what: `the bridge ${bridge.name} is full`, why }, { cause: error });
    }
  }

  /**
   * The bridge passes nothing on before the kernel has told it of the new port's carrier, a moment after both ends are up. The
   * kernel announces all addresses whenever the MAC is set (arp_notify, ndisc_notify), also to what it is.
   */
  async #announce(inside: Rtnetlink, { mac }: ContainerInterfaceConfig, { index, peerIndex }: Link): Promise<void> {
    assert(peerIndex !== null, 'a veth has a peer');
    for (let look = 0; look < FORWARDING_LOOKS_MAX; look++) {
      if ((await this.#netlink.getLink(index))?.portForwards !== false) break;
      await pause(FORWARDING_LOOK_MS);
    }
    await inside.setLink(peerIndex, { mac });
  }

  /** The container's end stays here until the runtime moves it: its alias says whose it is. */
  async #leaveToRuntime({ peerIndex }: Link): Promise<void> {
    assert(peerIndex !== null, 'a veth has a peer');
    await this.#netlink.setLink(peerIndex, { alias: CONTAINER_END_ALIAS });
  }

  /** The first error is the one that counts; what its undoing leaves behind is in the log. */
  async #orUndo<T>(work: Promise<T>, undo: () => Promise<void>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await undo().catch((why: unknown) =>
        this.#log.error('rolling back a container interface failed', { why: String(why) }),
      );
      throw error;
    }
  }
}

function taken(what: string, more: { why?: string; fix?: string; cause?: unknown } = {}): FabricError {
  const { cause, ...words } = more;
  return new FabricError('interface-exists', { what, ...words }, cause === undefined ? undefined : { cause });
}

/** Ours by alias, or half made by a daemon that was killed: the alias comes before the link goes up. */
export function isContainerPort({ kind, alias, up }: Link): boolean {
  return kind === 'veth' && (alias === CONTAINER_ALIAS || (alias === '' && !up));
}

/** Names of the flags that are not as a member port's. */
function wrongFlags({ port }: Link): readonly string[] {
  return Object.entries(MEMBER_PORT).flatMap(([flag, value]) =>
    port !== null && port[flag as keyof typeof port] === value ? [] : [flag],
  );
}

/** From this host: none into an internal network. */
function hostRoutes({ internal }: OverlayNetworkConfig, port: Pick<PortIdentity, 'ips'>): readonly Cidr[] {
  return internal ? [] : routesTo(port);
}

function routesTo({ ips }: Pick<PortIdentity, 'ips'>): readonly Cidr[] {
  return ips.map((text) => {
    const ip = parseIp(text);
    assert(ip !== null, `address of a container: ${text}`);
    return hostRoute(ip);
  });
}
