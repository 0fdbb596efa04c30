// HostNetwork on Linux: holds what shall be (network, host access, datapath port, container ports) and makes the kernel's
// objects follow, by the steps of the other files here. One repair runs at a time and looks before it writes, so that
// `ensure` may be called at any time and the watch ends when all is well. Works on the namespace that its process runs in.

import { readFileSync } from 'node:fs';
import type { Cidr, Family } from '../../base/address.ts';
import type { Log } from '../../base/capabilities.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { Mac } from '../../base/ids.ts';
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
import { type AntiSpoofElement, elementChanges, ownedMac, type PortIdentity, portElements } from './anti-spoof.ts';
import { ChangeWatch, eventsHeard } from './change-watch.ts';
import { ContainerPorts, isContainerPort } from './container-ports.ts';
import { checkContainerSide } from './container-side.ts';
import { EventFilter } from './event-filter.ts';
import type { Opening } from './foreign-accepts.ts';
import { acceptRules, nameServerRules } from './foreign-chains.ts';
import { Forwarding, requireIpv6 } from './forwarding.ts';
import { InterfaceReaper, isDeparted } from './interface-reaper.ts';
import { LoopGuard } from './loop-guard.ts';
import { type NetworkInterfaces, networkInterfaces } from './names.ts';
import { ensureBridge, JOINED_SUPERFRAME_BYTES, unlessMissing } from './overlay-bridge.ts';
import { PacketFilter } from './packet-filter.ts';
import { ensureHostInterface, ensureTapPort, ensureVethPort, removeVeth } from './port-veths.ts';
import { removeAll } from './removal.ts';
import { HostStateFile } from './state-file.ts';
import { isOurs, overlappingRoutes, rankUnderlay } from './underlay.ts';
import { ensureVxlan, type VxlanPlace } from './vxlan-ports.ts';

/** CAP_NET_ADMIN's bit in /proc/self/status. */
const CAP_NET_ADMIN = 1n << 12n;

export interface LinuxHostNetworkOptions {
  readonly log: Log;
  /** A file of its own, such as `<state-dir>/host-network.json`: sysctls as they were before fabric changed them. */
  readonly statePath: string;
}

/** What {@link LinuxHostNetwork.ensure} was told, and what follows from it. */
interface Overlay {
  readonly config: OverlayNetworkConfig;
  readonly names: NetworkInterfaces;
  readonly bridge: Link;
}

/** A container port, from before it is made until it departs. */
interface KnownPort {
  readonly port: PortIdentity;
  /** Of its interface; null until that is made. */
  index: number | null;
  /** Its interface stands. */
  live: boolean;
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
  /** By host interface; `live` once its interface stands. Bounded by the 1023 ports of a bridge. */
  readonly #ports = new Map<string, KnownPort>();
  #overlay: Overlay | null = null;
  #access: HostAccess | null = null;
  #datapathPort: DatapathPortKind | null = null;
  #vxlan: VxlanPlan | null = null;
  #watch: ChangeWatch | null = null;
  /** The tail of the queue of repairs. */
  #busy: Promise<unknown> = Promise.resolve();

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
      repairFilter: () => this.#exclusive(() => this.#ensureAll(this.#configured().config)).then(() => undefined),
      log,
    });
  }

  /**
   * What can be known before anything is changed. Rejects with FabricError `not-root` or `kernel-feature-missing`; kinds of
   * interfaces that the kernel lacks show in {@link ensure} with the same code.
   */
  async preflight(): Promise<void> {
    const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    if ((BigInt(`0x${capabilities}`) & CAP_NET_ADMIN) === 0n) {
      throw new FabricError('not-root', {
        what: "fabric can't change this host's network",
        why: 'it lacks CAP_NET_ADMIN',
        fix: 'Run it as root: sudo fabric launch',
      });
    }
    await this.#filter.preflight();
  }

  async ensure(config: OverlayNetworkConfig): Promise<void> {
    await this.#exclusive(() => this.#ensureAll(config));
    await this.#reaper.idle();
  }

  async ensureDatapathPort(kind: DatapathPortKind): Promise<DatapathPort> {
    const { names } = this.#configured();
    this.#datapathPort = kind;
    await this.#exclusive(() => this.#ensurePorts());
    if (kind === 'veth') return { portName: names.portFar };
    const tap = await this.#netlink.getLink(names.portNear);
    const joins = tap !== null && tap.gsoIpv4BytesMax !== null;
    return { portName: names.portNear, ...(joins ? { tcp4SuperframeBytes: JOINED_SUPERFRAME_BYTES } : {}) };
  }

  async applyVxlan(plan: VxlanPlan | null): Promise<{ readonly probes: ReadonlyMap<Family, string> }> {
    const { config, names } = this.#configured();
    await this.#exclusive(async () => {
      const before = this.#vxlan;
      this.#vxlan = plan;
      this.#events.expectPaths(plan?.paths ?? new Map());
      try {
        // Containers come and go far more often than peers: their paths alone need no program run.
        if (sameFilter(before, plan)) await ensureVxlan(this.#netlink, this.#vxlanPlace(), plan);
        else await this.#ensureAll(config);
      } catch (error) {
        this.#vxlan = null;
        await this.#ensureAll(config);
        throw error;
      }
    });
    return { probes: new Map((plan?.families ?? []).map((family) => [family, names.vxlan[family].probe])) };
  }

  async exposeHost(access: HostAccess): Promise<void> {
    const { config } = this.#configured();
    this.#access = access;
    await this.#exclusive(() => this.#ensureAll(config));
  }

  async hideHost(): Promise<void> {
    const { names } = this.#configured();
    const access = this.#access;
    this.#access = null;
    await this.#exclusive(async () => {
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
    const overlay = this.#configured();
    const entry: KnownPort = { port: identityOf(config), index: null, live: false };
    if (this.#ports.has(config.hostIfname)) {
      throw new FabricError('interface-exists', { what: `the interface ${config.hostIfname} is in use` });
    }
    this.#ports.set(config.hostIfname, entry);
    try {
      const { host, routes } = await this.#containers.add(overlay.config, overlay.bridge, config);
      assert(host.mac !== null, 'a veth has a MAC');
      entry.index = host.index;
      void eventsHeard().then(() => {
        entry.live = true;
      });
      return { hostMac: host.mac, bridgeMac: overlay.config.gatewayMac, routes };
    } catch (error) {
      this.#ports.delete(config.hostIfname);
      // A rewrite of the packet filter may have brought the elements back after the port had taken them away.
      await this.#settled();
      await this.#containers.forget(entry.port);
      throw error;
    }
  }

  async addressContainer(config: ContainerInterfaceConfig): Promise<{
    readonly routes: readonly ContainerRoute[];
  }> {
    const { config: network, bridge } = this.#configured();
    // Before the kernel has them, so that a repair meanwhile knows them too.
    const index = this.#ports.get(config.hostIfname)?.index ?? null;
    this.#ports.set(config.hostIfname, { port: identityOf(config), index, live: true });
    return { routes: await this.#containers.address(network, bridge, config) };
  }

  async removeContainer({ hostIfname, mac, ips }: Parameters<HostNetwork['removeContainer']>[0]): Promise<Removal> {
    // First, so that neither the watch nor a rewrite of the packet filter brings anything back.
    const index = this.#ports.get(hostIfname)?.index ?? null;
    this.#ports.delete(hostIfname);
    await this.#settled();
    const port = mac === null ? await this.#filter.findPort(hostIfname) : { hostIfname, mac, ips };
    const removing =
      port === null ? this.#containers.removeInterface(hostIfname) : this.#containers.remove(port, index);
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
    const { config: network, bridge } = this.#configured();
    assert(config.namespaceFd !== null, 'what is checked lies in a namespace');
    const inside = Rtnetlink.open(config.namespaceFd);
    try {
      const [outer, inner, filter] = await Promise.all([
        this.#containers.check(bridge, config),
        checkContainerSide(inside, network, config),
        this.#checkPacketFilter(config),
      ]);
      return [...outer, ...inner, ...filter];
    } finally {
      inside.close();
    }
  }

  async listContainerPorts(): Promise<readonly ContainerPort[]> {
    const { bridge } = this.#configured();
    const links = await this.#netlink.listLinks({ master: bridge.index });
    return links.filter(isContainerPort).map(({ name, index, up, peerIndex }) => ({
      hostIfname: name,
      ifindex: index,
      up,
      alive: peerIndex !== null,
    }));
  }

  async adoptContainer(port: PortIdentity): Promise<void> {
    const { config, bridge } = this.#configured();
    const identity = identityOf(port);
    const index = await this.#containers.adopt(config, bridge, identity);
    this.#ports.set(port.hostIfname, { port: identity, index, live: true });
  }

  async watch(changed: () => void): Promise<void> {
    assert(this.#watch === null, 'the host network is watched once');
    const watch = new ChangeWatch({
      log: this.#log,
      isRelevant: (event) => {
        this.#loops.hear(event);
        return this.#events.isRelevant(event, this.#livePorts());
      },
      isOurSocket: (portId) => portId === this.#nfnetlink.portId || this.#filter.isOfOurPrograms(portId),
      look: async () => {
        if (await this.#exclusive(() => this.#repair())) changed();
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
    await this.#settled();
    await this.#reaper.idle();
    for (const socket of [this.#netlink, this.#deletions, this.#nfnetlink]) socket.close();
  }

  /** Also when this process never called {@link ensure}: what is ours is known by alias, protocol and table name. */
  async remove(): Promise<void> {
    await this.#watch?.close();
    this.#watch = null;
    this.#ports.clear();
    this.#overlay = null;
    await this.#exclusive(() => removeAll(this.#netlink, this.#filter, this.#forwarding));
  }

  /** The whole target state; true when something differed. The packet filter stands before anything is forwarded. */
  async #ensureAll(config: OverlayNetworkConfig): Promise<boolean> {
    const names = networkInterfaces(config.bridge);
    const needs = { ip6: config.range6 !== null };
    if (needs.ip6) await requireIpv6();
    const links = await this.#netlink.listLinks();
    for (const { index } of links.filter(isDeparted)) void this.#reaper.free(index);
    const foreign = links.filter((link) => !isOurs(link, links) && !link.loopback);
    const forwarding = await this.#forwarding.prepare(foreign, needs);
    const rules = {
      networks: [config],
      guard: forwarding.guard,
      foreignBridges: foreign.filter(({ kind }) => kind === 'bridge').map(({ name }) => name),
      vxlan: this.#vxlan,
      elements: this.#elements([...this.#ports.values()]),
    };
    const changes = [await this.#filter.ensure(rules, this.#elements(this.#livePorts()))];
    const { bridge, changed } = await ensureBridge(this.#netlink, config);
    this.#overlay = { config, names, bridge };
    this.#events.expect({ names, bridge, config, access: this.#access, foreign });
    changes.push(changed, await this.#ensurePorts(), await forwarding.enable());
    const gateways = config.gateway6 === null ? [config.gateway] : [config.gateway, config.gateway6];
    const openings: readonly Opening[] = [
      { hook: 'forward', rules: acceptRules([names.bridge, names.host]) },
      { hook: 'input', rules: nameServerRules(names.bridge, gateways) },
    ];
    changes.push(await this.#filter.ensureAccepted(openings));
    return changes.includes(true);
  }

  async #ensurePorts(): Promise<boolean> {
    const { config, names, bridge } = this.#configured();
    const changes: boolean[] = [];
    if (this.#datapathPort !== null) {
      const ensurePort = this.#datapathPort === 'veth' ? ensureVethPort : ensureTapPort;
      changes.push(await ensurePort(this.#netlink, names, bridge, config));
    }
    if (this.#access !== null) {
      changes.push(await ensureHostInterface(this.#netlink, names, bridge, config, this.#access));
    }
    changes.push(await ensureVxlan(this.#netlink, this.#vxlanPlace(), this.#vxlan));
    return changes.includes(true);
  }

  /** True when something was put back, or a container's interface vanished. */
  async #repair(): Promise<boolean> {
    if (this.#overlay === null) return false;
    const changes = [await this.#ensureAll(this.#overlay.config)];
    const { config, bridge } = this.#overlay;
    const [links, fdb, routes] = await Promise.all([
      this.#netlink.listLinks({ kind: 'veth' }),
      this.#netlink.listFdb({ bridge: bridge.index }),
      this.#netlink.listRoutes({ index: bridge.index }),
    ]);
    const byName = new Map(links.map((link) => [link.name, link]));
    for (const [name, entry] of this.#ports) {
      if (!entry.live) continue;
      const link = byName.get(name);
      if (link === undefined) {
        // Reported once; the daemon says what becomes of it.
        entry.live = false;
        changes.push(true);
        continue;
      }
      changes.push(await this.#containers.repair(config, bridge, entry.port, { link, fdb, routes }));
    }
    const changed = changes.includes(true);
    if (changed) this.#log.info('put back what others changed in the host network');
    return changed;
  }

  #livePorts(): readonly { readonly port: PortIdentity }[] {
    return [...this.#ports.values()].filter(({ live }) => live);
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
    const macs = [...this.#ports.values()].map(({ port }) => port.mac);
    const localMacs = new Set(this.#access === null ? macs : [...macs, this.#access.mac]);
    return { ...this.#configured(), localMacs };
  }

  #configured(): Overlay {
    assert(this.#overlay !== null, 'ensure() comes before anything else');
    return this.#overlay;
  }

  /** One after the other, whatever became of the one before. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(work, work);
    this.#busy = result.catch(() => undefined);
    return result;
  }

  /** Resolves when the repair under way, if any, has ended. */
  async #settled(): Promise<void> {
    await this.#busy;
  }
}

/** True when both let in the same hosts to the same devices: only paths may differ. */
function sameFilter(a: VxlanPlan | null, b: VxlanPlan | null): boolean {
  const filterOf = (plan: VxlanPlan | null) => JSON.stringify(plan === null ? null : { ...plan, paths: null });
  return filterOf(a) === filterOf(b);
}

/** Without the other keys of a longer object, which a map must not keep alive. */
function identityOf({ hostIfname, mac, ips }: PortIdentity): PortIdentity {
  return { hostIfname, mac, ips };
}
