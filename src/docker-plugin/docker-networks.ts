// Docker's networks that are ours, by Docker's id: which fabric network each one is. Docker says it once, at `network create`, and
// never again, so that it is durable when the call is answered. Invariant: a Docker network stays in the fabric network that its
// name meant then; that one's id tells, because a name may mean another network later.

import type { Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_VNI, type Vni } from '../base/ids.ts';
import type { HeldAddress } from './backend.ts';

const SPACE = 'docker-networks';
/** Ours: Docker's own networks on one host are dozens. */
const NETWORKS_MAX = 1024;

export interface DockerNetwork {
  readonly id: string;
  /** Name of the fabric network. */
  readonly network: string;
  /** The fabric network that the name meant when Docker's was made. */
  readonly vni: Vni;
  /** `--internal`: containers get no default route by us. */
  readonly isInternal: boolean;
  /** Addresses that no container gets (`--aux-address`). */
  readonly auxiliary: readonly string[];
}

export class DockerNetworks {
  readonly #store: Store;
  readonly #changed: (network: Vni) => void;
  readonly #byId = new Map<string, DockerNetwork>();

  /** `changed`: Docker has one more or one less of that fabric network. */
  constructor(store: Store, changed: (network: Vni) => void) {
    this.#store = store;
    this.#changed = changed;
    for (const [id, bytes] of store.entries(SPACE)) {
      const stored = JSON.parse(new TextDecoder().decode(bytes)) as Omit<DockerNetwork, 'vni'> & { readonly vni?: Vni };
      // Of versions before named networks, which had the default one only.
      this.#byId.set(id, { ...stored, vni: stored.vni ?? DEFAULT_VNI });
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
      why: 'it was made before this host joined its cluster, or while the plugin was off, or its fabric network is gone',
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
    this.#changed(network.vni);
  }

  /** Durable; idempotent. Returns the name of the fabric network of which Docker has no network any more; null: it has one yet. */
  delete(id: string): string | null {
    const gone = this.#byId.get(id);
    if (gone === undefined) return null;
    this.#byId.delete(id);
    this.#store.delete(SPACE, id);
    this.#changed(gone.vni);
    return this.all().some(({ network }) => network === gone.network) ? null : gone.network;
  }

  /** Docker's ids of those that are that fabric network. */
  of(network: Vni): readonly string[] {
    return this.all().flatMap(({ id, vni }) => (vni === network ? [id] : []));
  }

  isAuxiliary({ network, ip }: HeldAddress): boolean {
    return this.all().some((known) => known.network === network && known.auxiliary.includes(ip));
  }
}
