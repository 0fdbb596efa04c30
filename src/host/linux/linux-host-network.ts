// HostNetwork on Linux: holds what shall be (network, host access, datapath port, container ports) and makes the kernel's
// objects follow, by the steps of the other files here. One repair runs at a time and looks before it writes, so that
// `ensure` may be called at any time and the watch ends when all is well. Works on the namespace that its process runs in.

import type { Cidr, Family } from '../../base/address.ts';
import type { Log } from '../../base/capabilities.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { Mac, Vni } from '../../base/ids.ts';
import type {
  BlockedPort,
  ContainerInterfaceConfig,
  ContainerPort,
  ContainerRoute,
  DatapathPort,
  DatapathPortKind,
  HostAccess,
  HostNetwork,
  LoopWitness,
  OverlayNetworkConfig,
  Removal,
  VxlanPlan,
} from '../host-network.ts';
import { Nfnetlink } from '../netlink/nfnetlink.ts';
import type { Link } from '../netlink/objects.ts';
import { Rtnetlink } from '../netlink/rtnetlink.ts';
import {
  type AntiSpoofElement,
  elementChanges,
  identityOf,
  ownedMac,
  type PortIdentity,
  portElements,
} from './anti-spoof.ts';
import { ChangeWatch, eventsHeard } from './change-watch.ts';
import { ContainerPorts, isContainerPort } from './container-ports.ts';
import { checkContainerSide } from './container-side.ts';
import { EventFilter } from './event-filter.ts';
import { openingsFor } from './foreign-accepts.ts';
import { Forwarding, requireIpv6 } from './forwarding.ts';
import { InterfaceReaper, isDeparted } from './interface-reaper.ts';
import { KnownPorts } from './known-ports.ts';
import { LoopGuard } from './loop-guard.ts';
import { CONTAINER_ALIAS, networkInterfaces } from './names.ts';
import { JOINED_SUPERFRAME_BYTES, unlessMissing } from './overlay-bridge.ts';
import { type Overlay, Overlays } from './overlays.ts';
import { PacketFilter } from './packet-filter.ts';
import { ensureHostInterface, readHostAccess, removeVeth } from './port-veths.ts';
import { checkCapabilities } from './preflight.ts';
import { removeAll } from './removal.ts';
import { HostStateFile } from './state-file.ts';
import { Turns } from './turns.ts';
import { isOurs, overlappingRoutes, rankUnderlay } from './underlay.ts';
import { ensureVxlan, sameFilter, type VxlanPlace, withoutEndingPaths } from './vxlan-ports.ts';

export interface LinuxHostNetworkOptions {
  readonly log: Log;
  /** A file of its own, such as `<state-dir>/host-network.json`: sysctls as they were before fabric changed them. */
  readonly statePath: string;
}

export class LinuxHostNetwork implements HostNetwork {
  readonly #log: Log;
  readonly #netlink = Rtnetlink.open();
  readonly #deletions = Rtnetlink.open();
  readonly #reaper: InterfaceReaper;
  readonly #nfnetlink = Nfnetlink.open();
  readonly #filter: PacketFilter;
  readonly #forwarding: Forwarding;
  readonly #containers: ContainerPorts;
  readonly #events = new EventFilter();
  readonly #loops: LoopGuard;
  readonly #overlays = new Overlays(this.#netlink);
  readonly #ports = new KnownPorts();
  #access: HostAccess | null = null;
  #datapathPort: DatapathPortKind | null = null;
  #vxlan: VxlanPlan | null = null;
  #watch: ChangeWatch | null = null;
  readonly #repairs = new Turns();

  constructor({ log, statePath }: LinuxHostNetworkOptions) {
    this.#log = log;
    this.#filter = new PacketFilter(log);
    this.#loops = new LoopGuard(this.#netlink, log);
    this.#forwarding = new Forwarding(new HostStateFile(statePath), log);
    this.#reaper = new InterfaceReaper(this.#deletions, log);
    this.#containers = new ContainerPorts({
      netlink: this.#netlink,
      reaper: this.#reaper,
      filter: this.#nfnetlink,
      repairFilter: () => this.#repairs.run(() => this.#ensureAll()).then(() => undefined),
      log,
    });
  }

  /** See {@link checkCapabilities}; kinds of interfaces that the kernel lacks show in {@link ensure} with the same code. */
  async preflight(): Promise<void> {
    checkCapabilities();
    await this.#filter.preflight();
  }

  async ensure(config: OverlayNetworkConfig, further: readonly OverlayNetworkConfig[] = []): Promise<void> {
    await this.#repairs.run(async () => {
      this.#overlays.set(config, further);
      const strays = await this.#overlays.removeStrays();
      if (strays.length > 0) this.#log.info('removed bridges of networks that are gone', { bridges: strays.join(' ') });
      this.#access ??= await readHostAccess(this.#netlink, config);
      await this.#ensureAll();
    });
    await this.#reaper.idle();
  }

  async addNetwork(config: OverlayNetworkConfig): Promise<void> {
    await this.#repairs.run(async () => {
      this.#overlays.add(config);
      try {
        await this.#ensureAll();
      } catch (error) {
        await this.#removeNetwork(config.network);
        throw error;
      }
    });
  }

  async removeNetwork(network: Vni): Promise<void> {
    await this.#repairs.run(() => this.#removeNetwork(network));
  }

  datapathPortOf(network: Vni): string | null {
    const names = this.#overlays.get(network)?.names;
    if (names === undefined || this.#datapathPort === null) return null;
    return this.#datapathPort === 'veth' ? names.portFar : names.portNear;
  }

  async ensureDatapathPort(kind: DatapathPortKind): Promise<DatapathPort> {
    const { names } = this.#configured();
    this.#datapathPort = kind;
    await this.#repairs.run(() => this.#ensurePorts());
    if (kind === 'veth') return { portName: names.portFar };
    const tap = await this.#netlink.getLink(names.portNear);
    const joins = tap !== null && tap.gsoIpv4BytesMax !== null;
    return { portName: names.portNear, ...(joins ? { tcp4SuperframeBytes: JOINED_SUPERFRAME_BYTES } : {}) };
  }

  async applyVxlan(plan: VxlanPlan | null): Promise<{ readonly probes: ReadonlyMap<Family, string> }> {
    const { names } = this.#configured();
    await this.#repairs.run(async () => {
      const before = this.#vxlan;
      this.#vxlan = plan;
      this.#events.expectPaths(plan?.paths ?? new Map());
      try {
        // Containers come and go far more often than peers: their paths alone need no program run.
        if (sameFilter(before, plan)) await ensureVxlan(this.#netlink, this.#vxlanPlace(), plan);
        else {
          const staying = withoutEndingPaths(before, plan);
          if (staying !== null) await ensureVxlan(this.#netlink, this.#vxlanPlace(), staying);
          await this.#ensureAll();
        }
      } catch (error) {
        this.#vxlan = null;
        await this.#ensureAll();
        throw error;
      }
    });
    return { probes: new Map((plan?.families ?? []).map((family) => [family, names.vxlan[family].probe])) };
  }

  get exposed(): HostAccess | null {
    return this.#access;
  }

  async exposeHost(access: HostAccess): Promise<void> {
    this.#configured();
    this.#access = access;
    await this.#repairs.run(() => this.#ensureAll());
  }

  async hideHost(): Promise<void> {
    const { names } = this.#configured();
    const access = this.#access;
    this.#access = null;
    await this.#repairs.run(async () => {
      await removeVeth(this.#netlink, names.host);
      if (access === null) return;
      await unlessMissing(this.#nfnetlink.setElementsAll(elementChanges('delete', [ownedMac(access.mac)])));
    });
  }

  async addContainer(config: ContainerInterfaceConfig): Promise<{
    readonly hostMac: Mac;
    readonly bridgeMac: Mac;
    readonly routes: readonly ContainerRoute[];
  }> {
    const { network } = config;
    const overlay = this.#overlayOf(network);
    const port = identityOf(config);
    if (this.#ports.has(config.hostIfname)) {
      throw new FabricError('interface-exists', { what: `the interface ${config.hostIfname} is in use` });
    }
    this.#ports.set({ network, port, index: null, live: false });
    try {
      const { host, routes } = await this.#containers.add(overlay.config, overlay.bridge, config);
      assert(host.mac !== null, 'a veth has a MAC');
      const { index } = host;
      this.#ports.update(config.hostIfname, { index });
      void eventsHeard().then(() => {
        // Another one may have its name by now.
        if (this.#ports.get(config.hostIfname)?.index === index) this.#ports.update(config.hostIfname, { live: true });
      });
      return { hostMac: host.mac, bridgeMac: overlay.config.gatewayMac, routes };
    } catch (error) {
      this.#ports.delete(config.hostIfname);
      // A rewrite of the packet filter may have brought the elements back after the port had taken them away.
      await this.#repairs.settled();
      await this.#containers.forget(port);
      throw error;
    }
  }

  async addressContainer(config: ContainerInterfaceConfig): Promise<{
    readonly routes: readonly ContainerRoute[];
  }> {
    const { config: network, bridge } = this.#overlayOf(config.network);
    // Before the kernel has them, so that a repair meanwhile knows them too.
    const index = this.#ports.get(config.hostIfname)?.index ?? null;
    this.#ports.set({ network: config.network, port: identityOf(config), index, live: true });
    return { routes: await this.#containers.address(network, bridge, config) };
  }

  async removeContainer(asked: Parameters<HostNetwork['removeContainer']>[0]): Promise<Removal> {
    const { network, hostIfname, mac, ips } = asked;
    // First, so that neither the watch nor a rewrite of the packet filter brings anything back.
    const index = this.#ports.get(hostIfname)?.index ?? null;
    this.#ports.delete(hostIfname);
    await this.#repairs.settled();
    const port = mac === null ? await this.#filter.findPort(hostIfname) : { hostIfname, mac, ips };
    const bridge = network === null ? await this.#bridgeUnder(hostIfname) : this.#overlays.get(network)?.bridge;
    const removing =
      port === null
        ? this.#containers.removeInterface(hostIfname)
        : this.#containers.remove(bridge ?? null, port, index);
    if (index !== null)
      this.#events.expectDeparture(
        index,
        removing.then(
          ({ gone }) => gone,
          () => undefined,
        ),
      );
    return removing;
  }

  async checkContainer(config: ContainerInterfaceConfig): Promise<readonly string[]> {
    const { config: network, bridge } = this.#overlayOf(config.network);
    assert(config.namespaceFd !== null, 'what is checked lies in a namespace');
    const inside = Rtnetlink.open(config.namespaceFd);
    try {
      const [outer, inner, filter] = await Promise.all([
        this.#containers.check(network, bridge, config),
        checkContainerSide(inside, network, config),
        this.#checkPacketFilter(config),
      ]);
      return [...outer, ...inner, ...filter];
    } finally {
      inside.close();
    }
  }

  async listContainerPorts(): Promise<readonly ContainerPort[]> {
    this.#configured();
    const bridges = this.#overlays.standing.map(({ bridge }) => bridge.index);
    const links = await this.#netlink.listLinks({ kind: 'veth' });
    return links
      .filter((link) => isContainerPort(link) && (link.alias === CONTAINER_ALIAS || bridges.includes(link.master ?? 0)))
      .map(({ name, index, up, peerIndex }) => ({
        hostIfname: name,
        ifindex: index,
        up,
        alive: peerIndex !== null,
      }));
  }

  async adoptContainer(port: PortIdentity & { readonly network: Vni }): Promise<void> {
    const { config, bridge } = this.#overlayOf(port.network);
    const identity = identityOf(port);
    const index = await this.#containers.adopt(config, bridge, identity);
    this.#ports.set({ network: port.network, port: identity, index, live: true });
  }

  async watch(changed: () => void): Promise<void> {
    assert(this.#watch === null, 'the host network is watched once');
    const watch = new ChangeWatch({
      log: this.#log,
      isRelevant: (event) => {
        this.#loops.hear(event);
        return this.#events.isRelevant(event, this.#ports);
      },
      isOurSocket: (portId) => portId === this.#nfnetlink.portId || this.#filter.isOfOurPrograms(portId),
      look: async () => {
        if (await this.#repairs.run(() => this.#repair())) changed();
      },
    });
    watch.open();
    this.#watch = watch;
  }

  async guardAgainstLoops(witness: LoopWitness): Promise<void> {
    await this.#loops.start(this.#configured().bridge, witness);
  }

  blockedPorts(): readonly BlockedPort[] {
    return this.#loops.blocked;
  }

  async overlappingRoutes(range: Cidr): Promise<readonly string[]> {
    const [links, routes] = await Promise.all([this.#netlink.listLinks(), this.#netlink.listRoutes()]);
    return overlappingRoutes(range, links, routes);
  }

  async underlayAddresses(): Promise<readonly { readonly ip: string; readonly mtu: number }[]> {
    const [links, addresses, routes] = await Promise.all([
      this.#netlink.listLinks(),
      this.#netlink.listAddresses(),
      this.#netlink.listRoutes(),
    ]);
    return rankUnderlay({ links, addresses, routes });
  }

  async close(): Promise<void> {
    await this.#watch?.close();
    await this.#repairs.settled();
    await this.#reaper.idle();
    for (const socket of [this.#netlink, this.#deletions, this.#nfnetlink]) socket.close();
  }

  /** Also when this process never called {@link ensure}: what is ours is known by alias, protocol and table name. */
  async remove(): Promise<void> {
    await this.#watch?.close();
    this.#watch = null;
    this.#ports.clear();
    this.#overlays.clear();
    await this.#repairs.run(() =>
      removeAll({ netlink: this.#netlink, filter: this.#filter, forwarding: this.#forwarding }),
    );
  }

  /** The whole target state; true when something differed. The packet filter stands before anything is forwarded. */
  async #ensureAll(): Promise<boolean> {
    const networks = this.#overlays.wanted;
    const [main] = networks;
    assert(main !== undefined, 'ensure() comes before anything else');
    const needs = { ip6: networks.some(({ range6 }) => range6 !== null) };
    if (needs.ip6) await requireIpv6();
    const links = await this.#netlink.listLinks();
    for (const { index } of links.filter(isDeparted)) void this.#reaper.free(index);
    const foreign = links.filter((link) => !isOurs(link, links) && !link.loopback);
    const forwarding = await this.#forwarding.prepare(foreign, needs);
    const rules = {
      networks,
      guard: forwarding.guard,
      foreignBridges: foreign.filter(({ kind }) => kind === 'bridge').map(({ name }) => name),
      vxlan: this.#vxlan,
      elements: this.#elements(this.#ports.all()),
    };
    const changes = [await this.#filter.ensure(rules, this.#elements(this.#ports.live()))];
    changes.push(await this.#overlays.ensureBridges());
    this.#events.expect({ overlays: this.#overlays.standing, access: this.#access, foreign });
    changes.push(await this.#ensurePorts(), await forwarding.enable());
    changes.push(await this.#filter.ensureAccepted(openingsFor(networks)));
    return changes.includes(true);
  }

  async #removeNetwork(network: Vni): Promise<void> {
    const overlay = this.#overlays.wanted.find((config) => config.network === network);
    if (overlay === undefined) return;
    const names = networkInterfaces(overlay.bridge);
    this.#overlays.drop(network);
    // What is deleted now is no damage.
    this.#events.expect({ overlays: this.#overlays.standing, access: this.#access, foreign: [] });
    await this.#overlays.takeAway({ config: overlay, names });
    await this.#ensureAll();
    await this.#filter.forget(names);
  }

  async #ensurePorts(): Promise<boolean> {
    const { config, names, bridge } = this.#configured();
    const changes: boolean[] = [];
    if (this.#datapathPort !== null) changes.push(await this.#overlays.ensurePorts(this.#datapathPort));
    if (this.#access !== null) {
      changes.push(await ensureHostInterface(this.#netlink, names, bridge, config, this.#access));
    }
    changes.push(await ensureVxlan(this.#netlink, this.#vxlanPlace(), this.#vxlan));
    return changes.includes(true);
  }

  /** True when something was put back, or a container's interface vanished. */
  async #repair(): Promise<boolean> {
    if (this.#overlays.main === null) return false;
    const changes = [await this.#ensureAll()];
    const links = await this.#netlink.listLinks({ kind: 'veth' });
    const byName = new Map(links.map((link) => [link.name, link]));
    for (const overlay of this.#overlays.standing)
      changes.push(...(await this.#containers.repairAll(overlay, this.#ports, byName)));
    const changed = changes.includes(true);
    if (changed) this.#log.info('put back what others changed in the host network');
    return changed;
  }

  #elements(ports: readonly { readonly port: PortIdentity }[]): readonly AntiSpoofElement[] {
    const elements = ports.flatMap(({ port }) => portElements(port));
    return this.#access === null ? elements : [...elements, ownedMac(this.#access.mac)];
  }

  async #checkPacketFilter(config: PortIdentity): Promise<readonly string[]> {
    const why = `the packet filter does not hold what ${config.hostIfname} may send`;
    return (await this.#filter.admits(config)) ? [] : [why];
  }

  #vxlanPlace(): VxlanPlace {
    const macs = this.#ports.all().map(({ port }) => port.mac);
    const localMacs = new Set(this.#access === null ? macs : [...macs, this.#access.mac]);
    return { ...this.#configured(), localMacs };
  }

  /** The main network. */
  #configured(): Overlay {
    const { main } = this.#overlays;
    assert(main !== null, 'ensure() comes before anything else');
    return main;
  }

  #overlayOf(network: Vni): Overlay {
    const overlay = this.#overlays.get(network);
    assert(overlay !== null, `the network ${network} was ensured or added`);
    return overlay;
  }

  /** Of a port that no attachment knows; null when it is in none of ours. */
  async #bridgeUnder(hostIfname: string): Promise<Link | null> {
    const link = await this.#netlink.getLink(hostIfname);
    return this.#overlays.standing.find(({ bridge }) => bridge.index === link?.master)?.bridge ?? null;
  }
}
