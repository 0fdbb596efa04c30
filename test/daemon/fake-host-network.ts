// A HostNetwork in memory: remembers what was asked for in order, shows container ports as the kernel would, and fails or waits
// where a test says so.

import type { Cidr, Family } from '../../src/base/address.ts';
import type { Mac, Vni } from '../../src/base/ids.ts';
import type {
  BlockedPort,
  ContainerInterfaceConfig,
  ContainerPort,
  HostAccess,
  HostNetwork,
  OverlayNetworkConfig,
  Removal,
  VxlanPlan,
} from '../../src/host/host-network.ts';

export class FakeHostNetwork implements HostNetwork {
  readonly calls: string[] = [];
  readonly ports = new Map<string, ContainerPort>();
  /** Host ends of the containers that announced themselves. */
  readonly announced: string[] = [];
  exposed: HostAccess | null = null;
  vxlan: VxlanPlan | null = null;
  /** Awaited (and so able to fail) before the method of that name does anything. */
  readonly before: Partial<Record<keyof HostNetwork, () => Promise<void> | void>> = {};
  findings: readonly string[] = [];
  /** When the kernel has freed what is removed now. */
  gone: () => Promise<void> = () => Promise.resolve();

  async ensure({ bridge }: OverlayNetworkConfig): Promise<void> {
    await this.#enter('ensure', bridge);
  }

  readonly networks = new Set<Vni>();

  async addNetwork({ network, bridge }: OverlayNetworkConfig): Promise<void> {
    await this.#enter('addNetwork', bridge);
    this.networks.add(network);
  }

  async removeNetwork(network: Vni): Promise<void> {
    await this.#enter('removeNetwork', String(network));
    this.networks.delete(network);
  }

  datapathPortOf(network: Vni): string | null {
    return this.networks.has(network) ? `port${network}` : null;
  }

  async ensureDatapathPort(): Promise<{ portName: string }> {
    await this.#enter('ensureDatapathPort');
    return { portName: 'port' };
  }

  async applyVxlan(plan: VxlanPlan | null): Promise<{ probes: ReadonlyMap<Family, string> }> {
    await this.#enter('applyVxlan');
    this.vxlan = plan;
    return { probes: new Map((plan?.families ?? []).map((family) => [family, `probe${family}`])) };
  }

  async exposeHost(access: HostAccess): Promise<void> {
    await this.#enter('exposeHost', access.ip);
    this.exposed = access;
  }

  async hideHost(): Promise<void> {
    await this.#enter('hideHost');
    this.exposed = null;
  }

  async addContainer(config: ContainerInterfaceConfig) {
    await this.#enter('addContainer', config.ips.join(' '));
    this.show(config.hostIfname);
    if (config.announce === true) this.announced.push(config.hostIfname);
    return {
      hostMac: '02:00:00:00:00:01' as Mac,
      bridgeMac: '02:00:00:00:00:02' as Mac,
      routes: config.routes.map(({ dst, gw }) => ({ dst, gw: gw ?? '10.32.0.1' })),
    };
  }

  async addressContainer(config: ContainerInterfaceConfig) {
    await this.#enter('addressContainer', config.ips.join(' '));
    return { routes: config.routes.map(({ dst, gw }) => ({ dst, gw: gw ?? '10.32.0.1' })) };
  }

  async removeContainer({ hostIfname, ips }: { hostIfname: string; ips: readonly string[] }): Promise<Removal> {
    await this.#enter('removeContainer', ips.join(' '));
    this.ports.delete(hostIfname);
    return { gone: this.gone() };
  }

  async checkContainer(): Promise<readonly string[]> {
    await this.#enter('checkContainer');
    return this.findings;
  }

  async listContainerPorts(): Promise<readonly ContainerPort[]> {
    await this.#enter('listContainerPorts');
    return [...this.ports.values()];
  }

  async adoptContainer({ ips }: { ips: readonly string[] }): Promise<void> {
    await this.#enter('adoptContainer', ips.join(' '));
  }

  async watch(): Promise<void> {}
  async guardAgainstLoops(): Promise<void> {}
  blockedPorts(): readonly BlockedPort[] {
    return [];
  }

  overlaps: readonly string[] = [];

  async overlappingRoutes(_range: Cidr): Promise<readonly string[]> {
    return this.overlaps;
  }

  async underlayAddresses(): Promise<readonly { ip: string; mtu: number }[]> {
    return [{ ip: '192.0.2.1', mtu: 1500 }];
  }

  async close(): Promise<void> {}

  async remove(): Promise<void> {}

  /** A port as the kernel shows it. */
  show(hostIfname: string, { alive = true }: { alive?: boolean } = {}): void {
    this.ports.set(hostIfname, { hostIfname, ifindex: this.ports.size + 2, up: true, alive });
  }

  async #enter(method: keyof HostNetwork, detail = ''): Promise<void> {
    this.calls.push(`${method} ${detail}`.trim());
    await this.before[method]?.();
  }
}
