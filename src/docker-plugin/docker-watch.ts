// Compares our endpoints with what Docker has, in the background: gives containers' names to endpoints, learns networks of Docker's
// that are ours and that we forgot, and removes endpoints that Docker forgot. Invariant: an endpoint goes only when it was missing
// for MISSING_MS, because Docker lists an endpoint a moment after its driver made it; while Docker does not answer,
// everything stays.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import { DEFAULT_NETWORK_NAME, type Vni } from '../base/ids.ts';
import type { Endpoint } from './backend.ts';
import type { DockerNetwork, DockerNetworks } from './docker-networks.ts';
import { type EndpointView, readContainer, readNetwork, readNetworkIds } from './docker-view.ts';

/** What Docker's lists miss for so long is forgotten. */
export const MISSING_MS = 5_000;
const NETWORKS_PATH = `/networks?filters=${encodeURIComponent(JSON.stringify({ driver: ['fabric'] }))}`;

export interface DockerWatchPorts {
  /** GET on Docker's API: the parsed body, null for 404. Rejects when Docker does not answer. */
  get(path: string): Promise<unknown>;
  readonly networks: DockerNetworks;
  /** Of the fabric network of that name; null: there is none. */
  networkIdOf(name: string): Vni | null;
  readonly timers: Timers;
  readonly log: Log;
  endpoints(): readonly Endpoint[];
  /** Announces the names of an endpoint's container. */
  rename(endpointId: string, name: string, aliases: readonly string[]): Promise<void>;
  remove(endpoint: Endpoint): Promise<void>;
  /** Asks for another {@link DockerWatch.look}. */
  lookAgain(): void;
}

export class DockerWatch {
  readonly #ports: DockerWatchPorts;
  /** Endpoints that have their container's names, with the container. */
  readonly #named = new Map<string, string>();
  /** Ids of endpoints and networks that the last look missed, with the time of the first look that did. */
  #missing: ReadonlyMap<string, number> = new Map();
  #cancel: Cancel | null = null;

  constructor(ports: DockerWatchPorts) {
    this.#ports = ports;
  }

  /** Whose endpoint that is or was a moment ago; null while Docker has not told. */
  containerOf(endpointId: string): string | null {
    return this.#named.get(endpointId) ?? null;
  }

  /** Its names are read anew by the next look. */
  renamed(containerId: string): void {
    for (const [endpoint, container] of this.#named) if (container === containerId) this.#named.delete(endpoint);
  }

  /**
   * Rejects when Docker does not answer, or answers nonsense: nothing was removed then; and, at the end of all, when an endpoint could
   * not be removed or named. One at a time.
   */
  async look(): Promise<void> {
    const { endpoints, networks } = this.#ports;
    const before = { endpoints: endpoints(), networks: networks.all() };
    const startedMs = this.#ports.timers.nowMs();
    const seen = new Map<string, EndpointView>();
    const ids = readNetworkIds(await this.#ports.get(NETWORKS_PATH));
    for (const id of ids) {
      const answer = await this.#ports.get(`/networks/${encodeURIComponent(id)}`);
      if (answer === null) continue; // removed since it was listed
      const read = readNetwork(answer);
      for (const endpoint of read.endpoints) seen.set(endpoint.id, endpoint);
      if (networks.has(read.network.id)) continue;
      const network = read.network.network || DEFAULT_NETWORK_NAME;
      const vni = this.#ports.networkIdOf(network);
      if (vni === null) continue; // nothing can be made in it; it is learned when gossip brings it
      networks.put({ ...read.network, network, vni });
      this.#ports.log.info('learned a network of Docker', { id, network });
    }
    const missing = {
      endpoints: before.endpoints.filter(({ id }) => !seen.has(id)),
      networks: before.networks.filter(({ id }) => !ids.includes(id)),
    };
    const failures: Error[] = [];
    const failed = (error: Error): void => void failures.push(error);
    await this.#forget(missing, startedMs, failed);
    for (const { id } of endpoints()) {
      const container = seen.get(id)?.containerId ?? null;
      if (container !== null && this.#named.get(id) !== container) await this.#name(id, container, failed);
    }
    const live = new Set(endpoints().map(({ id }) => id));
    for (const id of this.#named.keys()) if (!live.has(id)) this.#named.delete(id);
    if (failures[0] !== undefined) throw failures[0];
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  async #forget(
    missing: { readonly endpoints: readonly Endpoint[]; readonly networks: readonly DockerNetwork[] },
    nowMs: number,
    failed: (error: Error) => void,
  ): Promise<void> {
    const before = this.#missing;
    const all = [...missing.endpoints, ...missing.networks];
    this.#missing = new Map(all.map(({ id }) => [id, before.get(id) ?? nowMs]));
    const isForgotten = ({ id }: { readonly id: string }): boolean => nowMs - this.#missing.get(id)! >= MISSING_MS;
    if (!all.every(isForgotten)) this.#lookLater();
    for (const { id } of missing.networks.filter(isForgotten)) this.#ports.networks.delete(id);
    for (const endpoint of missing.endpoints.filter(isForgotten)) {
      this.#ports.log.info('Docker has forgotten an endpoint, removing it', { endpoint: endpoint.id });
      await this.#ports.remove(endpoint).catch(failed);
    }
  }

  #lookLater(): void {
    this.#cancel ??= this.#ports.timers.after(MISSING_MS, () => {
      this.#cancel = null;
      this.#ports.lookAgain();
    });
  }

  /** Rejects when Docker does not say; then, and when nobody could be told, the next look asks again. */
  async #name(endpointId: string, containerId: string, failed: (error: Error) => void): Promise<void> {
    this.#named.set(endpointId, containerId); // first: a renaming meanwhile takes it away again
    const forget = (): void => void this.#named.delete(endpointId);
    try {
      const answer = await this.#ports.get(`/containers/${encodeURIComponent(containerId)}/json`);
      if (answer === null) return forget(); // it ended
      const { name, byEndpoint } = readContainer(answer);
      await this.#ports.rename(endpointId, name, byEndpoint.get(endpointId) ?? []).catch((error: Error) => {
        forget();
        failed(error);
      });
    } catch (error) {
      forget();
      throw error;
    }
  }
}
