// The Linux kernel of a simulated machine, as HostNetwork: container ports with their addresses, and host0. It survives the
// daemon and dies with the machine. What it holds is the truth that the checkers compare with: a container that runs here
// uses its addresses, whatever any daemon believes.

import type { Cidr, Family } from '../../src/base/address.ts';
import type { Timers } from '../../src/base/capabilities.ts';
import type { Mac, Vni } from '../../src/base/ids.ts';
import { pause } from '../../src/daemon/pause.ts';
import type {
  BlockedPort,
  ContainerInterfaceConfig,
  ContainerPort,
  HostAccess,
  HostNetwork,
  Removal,
} from '../../src/host/host-network.ts';

/** About what rtnetlink takes for a container. */
const CHANGE_MS = 5;

export interface RunningContainer {
  readonly hostIfname: string;
  readonly network: Vni;
  readonly mac: Mac;
  readonly ips: readonly string[];
}

/** The part that outlives the daemon. */
export class SimKernel {
  /** Another one after each loss of power. */
  readonly bootId: string;
  readonly containers = new Map<string, RunningContainer>();
  exposed: HostAccess | null = null;

  constructor(bootId: string) {
    this.bootId = bootId;
  }
}

const BRIDGE_MAC = '02:00:00:00:00:02' as Mac;

/** One daemon's door to its machine's kernel. */
export class KernelPort implements HostNetwork {
  readonly #kernel: SimKernel;
  readonly #timers: Timers;
  readonly #address: () => string;

  /** `address`: the machine's underlay address as of now. */
  constructor(kernel: SimKernel, timers: Timers, address: () => string) {
    this.#kernel = kernel;
    this.#timers = timers;
    this.#address = address;
  }

  async ensure(): Promise<void> {
    await pause(this.#timers, CHANGE_MS);
  }

  async addNetwork(): Promise<void> {
    await pause(this.#timers, CHANGE_MS);
  }

  async removeNetwork(): Promise<void> {
    await pause(this.#timers, CHANGE_MS);
  }

  datapathPortOf(network: Vni): string | null {
    return `port${network}`;
  }

  async ensureDatapathPort(): Promise<{ portName: string }> {
    return { portName: 'port' };
  }

  /** No host of a simulation trusts another: there are no probe devices. */
  async applyVxlan(): Promise<{ probes: ReadonlyMap<Family, string> }> {
    return { probes: new Map() };
  }

  get exposed(): HostAccess | null {
    return this.#kernel.exposed;
  }

  async exposeHost(access: HostAccess): Promise<void> {
    await pause(this.#timers, CHANGE_MS);
    this.#kernel.exposed = access;
  }

  async hideHost(): Promise<void> {
    this.#kernel.exposed = null;
  }

  async addContainer({ hostIfname, network, mac, ips }: ContainerInterfaceConfig) {
    await pause(this.#timers, CHANGE_MS);
    this.#kernel.containers.set(hostIfname, { hostIfname, network, mac, ips });
    return { hostMac: mac, bridgeMac: BRIDGE_MAC, routes: [] };
  }

  /** Containers of a simulation come with their addresses; none is made without. */
  async addressContainer({ hostIfname, network, mac, ips }: ContainerInterfaceConfig) {
    await pause(this.#timers, CHANGE_MS);
    this.#kernel.containers.set(hostIfname, { hostIfname, network, mac, ips });
    return { routes: [] };
  }

  async removeContainer({ hostIfname }: { hostIfname: string }): Promise<Removal> {
    await pause(this.#timers, CHANGE_MS);
    this.#kernel.containers.delete(hostIfname);
    return { gone: Promise.resolve() };
  }

  async checkContainer(): Promise<readonly string[]> {
    return [];
  }

  async listContainerPorts(): Promise<readonly ContainerPort[]> {
    await pause(this.#timers, CHANGE_MS);
    const names = [...this.#kernel.containers.keys()];
    return names.map((hostIfname, index) => ({ hostIfname, ifindex: index + 2, up: true, alive: true }));
  }

  async adoptContainer(): Promise<void> {
    await pause(this.#timers, CHANGE_MS);
  }

  async watch(): Promise<void> {}
  async guardAgainstLoops(): Promise<void> {}
  blockedPorts(): readonly BlockedPort[] {
    return [];
  }

  async overlappingRoutes(_range: Cidr): Promise<readonly string[]> {
    return [];
  }

  async underlayAddresses(): Promise<readonly { ip: string; mtu: number }[]> {
    return [{ ip: this.#address(), mtu: 1500 }];
  }

  async close(): Promise<void> {}

  async remove(): Promise<void> {
    this.#kernel.containers.clear();
    this.#kernel.exposed = null;
  }
}
