// A host in memory for the Docker plugin: addresses and endpoints as the daemon keeps them, and the plugin on top, with a clock
// that the test moves.

import { cidrHasIp, parseCidr, parseIp } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type Vni } from '../../src/base/ids.ts';
import type {
  DockerBackend,
  Endpoint,
  FabricNetwork,
  HeldAddress,
  WantedEndpoint,
} from '../../src/docker-plugin/backend.ts';
import { DockerNetworks } from '../../src/docker-plugin/docker-networks.ts';
import { DockerPlugin } from '../../src/docker-plugin/docker-plugin.ts';
import { HeldAddresses } from '../../src/docker-plugin/held-addresses.ts';
import { IpamDriver } from '../../src/docker-plugin/ipam-driver.ts';
import { NetworkDriver } from '../../src/docker-plugin/network-driver.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

export const NETWORK_ID = 'ab'.repeat(32);
export const FABRIC: FabricNetwork = {
  id: DEFAULT_VNI,
  name: 'fabric',
  range: parseCidr('10.32.0.0/12')!,
  range6: parseCidr('fd00::/48')!,
  gateway: '10.32.0.1',
  gateway6: 'fd00::1',
  isInternal: false,
};
export const BLUE: FabricNetwork = { ...FABRIC, id: 7 as Vni, name: 'blue', range6: null };

/** Endpoint ids as Docker draws them. */
export function endpointId(number: number): string {
  return number.toString(16).padStart(2, '0').repeat(32);
}

export class DockerWorld {
  readonly timers = new ManualTimers();
  readonly log = new RecordingLog();
  readonly store = new MemoryStore();
  readonly held: HeldAddress[] = [];
  readonly endpoints = new Map<string, Endpoint>();
  /** Of endpoints, as far as Docker has told. */
  readonly containers = new Map<string, string>();
  /** What the fabric networks are called; a test changes it. */
  readonly fabrics = new Map([FABRIC, BLUE].map((network) => [network.name, network]));
  /** Fabric networks of which Docker had one more or one less. */
  readonly changed: Vni[] = [];
  readonly networks = new DockerNetworks(this.store, (vni) => this.changed.push(vni));
  readonly plugin = new DockerPlugin({ timers: this.timers, log: this.log });
  /** Awaited (and so able to fail) before an interface is made. */
  beforeCreate: (cancelled: AbortSignal) => Promise<void> = async () => {};
  beforeReserve: () => Promise<void> = async () => {};
  beforeRemove: () => Promise<void> = async () => {};
  readonly addresses: HeldAddresses;
  readonly driver: NetworkDriver;
  #next = 2;

  constructor() {
    const { networks, timers } = this;
    const backend: DockerBackend = {
      network: (name) => {
        const found = this.fabrics.get(name);
        if (found !== undefined) return found;
        throw new FabricError('network-unknown', { what: `there is no network ${name}` });
      },
      addresses: {
        all: () => this.held,
        reserve: async ({ network, pool, wanted }) => {
          await this.beforeReserve();
          const ip = wanted ?? this.#fresh(pool.family);
          if (!cidrHasIp(pool, parseIp(ip)!)) throw new FabricError('address-invalid', { what: `${ip} is outside` });
          this.held.push({ network, ip });
          return ip;
        },
        release: async ({ network, ip }) => {
          this.held.splice(0, this.held.length, ...this.held.filter((one) => one.network !== network || one.ip !== ip));
        },
      },
      endpoints: {
        all: () => [...this.endpoints.values()],
        find: (id) => {
          const found = this.endpoints.get(id);
          return found === undefined || found.state === 'leaving' ? null : found;
        },
        create: (endpoint, cancelled) => this.#create(endpoint, cancelled),
        remove: async (id) => {
          const leaving = this.endpoints.get(id);
          if (leaving !== undefined) this.endpoints.set(id, { ...leaving, state: 'leaving' });
          await this.beforeRemove();
          this.endpoints.delete(id);
        },
      },
    };
    const network = (name: string) => backend.network(name);
    this.addresses = new HeldAddresses({
      book: backend.addresses,
      endpoints: backend.endpoints,
      timers,
      isAuxiliary: (address) => networks.isAuxiliary(address),
      failed: (reason) => this.log.error('failed', { reason }),
    });
    const containerOf = (id: string): string | null => this.containers.get(id) ?? null;
    const { endpoints } = backend;
    this.driver = new NetworkDriver({ network, networks, held: this.addresses, endpoints, containerOf });
    this.plugin.serve({ network: this.driver, ipam: new IpamDriver({ network, held: this.addresses }) });
  }

  /** What Docker gets, as plain JSON. */
  async call(method: string, body: unknown = {}): Promise<Record<string, unknown>> {
    return JSON.parse(JSON.stringify(await this.plugin.call(method, body))) as Record<string, unknown>;
  }

  /** As `docker network create -d fabric --ipam-driver fabric`. */
  async network(id = NETWORK_ID, options: object = {}): Promise<void> {
    const body = { NetworkID: id, Options: { 'com.docker.network.generic': {}, ...options }, IPv4Data: [] };
    const answer = await this.call('NetworkDriver.CreateNetwork', body);
    if (answer.Err !== undefined) throw new Error(String(answer.Err));
  }

  /** As Docker starts a container: an address, an endpoint, and the way into the container. Returns the address. */
  async start(number: number, wanted = ''): Promise<string> {
    const PoolID = 'fabric,10.32.0.0/12';
    const asked = await this.call('IpamDriver.RequestAddress', { PoolID, Address: wanted });
    if (asked.Err !== undefined) throw new Error(String(asked.Err));
    const { Address } = asked;
    const Interface = { Address, AddressIPv6: '', MacAddress: '' };
    const ids = { NetworkID: NETWORK_ID, EndpointID: endpointId(number) };
    const made = await this.call('NetworkDriver.CreateEndpoint', { ...ids, Interface });
    if (made.Err !== undefined) throw new Error(String(made.Err));
    await this.call('NetworkDriver.Join', { ...ids, SandboxKey: '/var/run/docker/netns/1' });
    return String(Address).split('/')[0]!;
  }

  /** As Docker stops it. */
  async stop(number: number, ip: string): Promise<void> {
    const ids = { NetworkID: NETWORK_ID, EndpointID: endpointId(number) };
    await this.call('NetworkDriver.Leave', ids);
    await this.call('NetworkDriver.DeleteEndpoint', ids);
    await this.call('IpamDriver.ReleaseAddress', { PoolID: 'fabric,10.32.0.0/12', Address: ip });
  }

  async #create({ mac, ...endpoint }: WantedEndpoint, cancelled: AbortSignal): Promise<Endpoint> {
    const begun = { ...endpoint, mac: mac ?? ('02:00:00:00:00:07' as Mac), state: 'making' as const };
    this.endpoints.set(endpoint.id, begun);
    try {
      await this.beforeCreate(cancelled);
    } catch (error) {
      this.endpoints.delete(endpoint.id);
      throw error;
    }
    const made = { ...begun, state: 'ready' as const };
    this.endpoints.set(endpoint.id, made);
    return made;
  }

  #fresh(family: 4 | 6): string {
    const number = this.#next++;
    return family === 4 ? `10.32.0.${number}` : `fd00::${number}`;
  }
}
