// Docker's networks that are ours, by Docker's id: which fabric network each one is. Docker says it once, at `network create`, and
// never again, so that it is durable when the call is answered.

import type { Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { HeldAddress } from './backend.ts';

const SPACE = 'docker-networks';
/** Ours: Docker's own networks on one host are dozens. */
const NETWORKS_MAX = 1024;

export interface DockerNetwork {
  readonly id: string;
  /** Name of the fabric network. */
  readonly network: string;
  /** `--internal`: containers get no default route by us. */
  readonly isInternal: boolean;
  /** Addresses that no container gets (`--aux-address`). */
  readonly auxiliary: readonly string[];
}

export class DockerNetworks {
  readonly #store: Store;
  readonly #byId = new Map<string, DockerNetwork>();

  constructor(store: Store) {
    this.#store = store;
    for (const [id, bytes] of store.entries(SPACE)) {
      this.#byId.set(id, JSON.parse(new TextDecoder().decode(bytes)) as DockerNetwork);
    }
  }

  all(): readonly DockerNetwork[] {
    return [...this.#byId.values()];
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** Throws `usage`: Docker knows a network that we do not, as after a `fabric reset`. */
  get(id: string): DockerNetwork {
    const found = this.#byId.get(id);
    if (found !== undefined) return found;
    throw new FabricError('usage', {
      what: `the Docker network ${id} is not known to fabric`,
      why: 'it was made before this host joined its cluster, or while the plugin was off',
      fix: 'Try again in a few seconds, when fabric has asked Docker, or make it anew with docker network create',
    });
  }

  /** Durable. Throws `limit`. */
  put(network: DockerNetwork): void {
    if (this.#byId.size >= NETWORKS_MAX && !this.#byId.has(network.id)) {
      throw new FabricError('limit', { what: `fabric has ${NETWORKS_MAX} networks of Docker already` });
    }
    this.#store.put(SPACE, network.id, new TextEncoder().encode(JSON.stringify(network)));
    this.#byId.set(network.id, network);
  }

  /** Durable; idempotent. */
  delete(id: string): void {
    if (!this.#byId.delete(id)) return;
    this.#store.delete(SPACE, id);
  }

  isAuxiliary({ network, ip }: HeldAddress): boolean {
    return this.all().some((known) => known.network === network && known.auxiliary.includes(ip));
  }
}
