// Docker on this host, as far as the daemon serves it: the plugin's socket, and the watch over Docker's events. Off until the
// operator says so. On a host that is no member yet the socket listens all the same, so that a dockerd that starts meanwhile finds
// its driver and gets errors instead of waiting; a daemon that comes back listens once it can answer. Nothing here waits for Docker.

import type { Cancel, Log, Random, Store, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { Vni } from '../base/ids.ts';
import { DockerNetworks } from '../docker-plugin/docker-networks.ts';
import { DockerPlugin } from '../docker-plugin/docker-plugin.ts';
import { readContainerEvent } from '../docker-plugin/docker-view.ts';
import { DockerWatch } from '../docker-plugin/docker-watch.ts';
import { HeldAddresses } from '../docker-plugin/held-addresses.ts';
import { IpamDriver } from '../docker-plugin/ipam-driver.ts';
import { NetworkDriver } from '../docker-plugin/network-driver.ts';
import type { DockerApi } from '../host/docker/docker-api.ts';
import { type DockerBackendParts, dockerBackend } from './docker-backend.ts';
import type { ApiRoutes, LocalApi } from './local-api.ts';
import { Reconciler } from './reconciler.ts';
import type { DockerFacts } from './status-types.ts';

/** Where dockerd looks for plugins, by the name of the socket. */
export const PLUGIN_SOCKET = '/run/docker/plugins/fabric.sock';
const EVENTS = { type: ['network', 'container'], event: ['connect', 'rename', 'destroy'] };
/** Between attempts to hear Docker's events; doubled up to the limit. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;
/** For events that were lost, and endpoints that nobody said a word of. */
const LOOK_EVERY_MS = 60_000;

export interface DockerServicePorts {
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly api: Pick<DockerApi, 'get' | 'events'>;
  /** A server for the plugin's socket, not listening yet. */
  makeSocket(routes: ApiRoutes): Pick<LocalApi, 'listen' | 'close'>;
}

/** What serves while this host is a member. */
interface Serving {
  readonly networks: DockerNetworks;
  readonly held: HeldAddresses;
  readonly watch: DockerWatch;
  readonly looks: Reconciler;
  readonly stopped: AbortController;
}

export class DockerService {
  readonly #ports: DockerServicePorts;
  readonly #plugin: DockerPlugin;
  #socket: Pick<LocalApi, 'listen' | 'close'> | null = null;
  #member: (DockerBackendParts & { readonly store: Store }) | null = null;
  #serving: Serving | null = null;
  #cancelRetry: Cancel = () => undefined;
  /** Why the plugin is not there though it should be; null when it is, or should not. */
  #fault: string | null = null;
  /** Why Docker itself can't be asked; null when it can. */
  #deaf: string | null = null;

  constructor(ports: DockerServicePorts) {
    this.#ports = ports;
    this.#plugin = new DockerPlugin(ports);
  }

  /** Listens. Rejects with FabricError when the socket can't be had; {@link facts} says why until it can. Idempotent. */
  async enable(): Promise<void> {
    if (this.#socket !== null) return;
    const routes: ApiRoutes = Object.fromEntries(
      this.#plugin.methods().map((name) => [`POST /${name}`, ({ body }) => this.#plugin.call(name, body)]),
    );
    const socket = this.#ports.makeSocket(routes);
    try {
      await socket.listen();
    } catch (error) {
      this.#fault = (error as Error).message;
      if (error instanceof FabricError) throw error;
      throw new FabricError(
        'internal',
        { what: `can't listen on ${PLUGIN_SOCKET}`, why: this.#fault },
        { cause: error },
      );
    }
    this.#socket = socket;
    this.#fault = null;
    this.#ports.log.info('serving Docker', { socket: PLUGIN_SOCKET });
    this.#serve();
  }

  /** {@link enable}, but a launch goes on without: the fault is logged and shown. */
  async enableAtStart(): Promise<void> {
    try {
      await this.enable();
    } catch (error) {
      this.#ports.log.error('Docker finds no plugin of fabric', { reason: (error as Error).message });
    }
  }

  /** Docker's containers keep their interfaces; Docker is told errors from now on, and networks without containers go. */
  async disable(): Promise<void> {
    const used = this.#serving?.networks.all() ?? [];
    await this.close();
    for (const { vni } of used) this.#member?.networkPresence.left(vni);
  }

  /** The daemon ends: as {@link disable}, but for networks all stays as it is. */
  async close(): Promise<void> {
    await this.#socket?.close(); // first: what is under way is answered, what comes now Docker repeats
    this.#socket = null;
    this.#fault = null;
    await this.#retire();
  }

  /** This host is a member: from now on calls are answered. */
  join(member: DockerBackendParts & { readonly store: Store }): void {
    this.#member = member;
    this.#serve();
  }

  facts(): DockerFacts {
    const { networks, held } = this.#serving ?? {};
    const reason = this.#fault ?? (this.#serving === null ? null : this.#deaf);
    return {
      state: this.#fault !== null ? 'failed' : this.#socket === null ? 'off' : 'serving',
      networks: networks?.all().length ?? 0,
      waiting: held?.size ?? 0,
      reason,
      counters: { ...this.#plugin.counters },
    };
  }

  /** Docker's ids of its networks on this host that are that fabric network; none while the plugin is off. */
  networksOf(network: Vni): readonly string[] {
    return this.#serving?.networks.of(network) ?? [];
  }

  #serve(): void {
    if (this.#socket === null || this.#member === null || this.#serving !== null) return;
    const { timers, log, api, random } = this.#ports;
    const member = this.#member;
    const backend = dockerBackend(member, random);
    const networks = new DockerNetworks(member.store, (vni) => this.#prepare(vni));
    const network = (name: string) => backend.network(name);
    const held = new HeldAddresses({
      book: backend.addresses,
      endpoints: backend.endpoints,
      timers,
      isAuxiliary: (address) => networks.isAuxiliary(address),
      failed: (reason) => log.error('an address of Docker could not be given back', { reason }),
    });
    const { endpoints } = backend;
    const containerOf = (id: string) => watch.containerOf(id);
    const driver = new NetworkDriver({ network, networks, held, endpoints, containerOf });
    const looks = new Reconciler(
      async () => {
        held.look();
        await watch.look();
      },
      (reason) => log.warn('Docker could not be asked for its endpoints', { reason }),
    );
    const watch = new DockerWatch({
      get: (path) => api.get(path),
      networks,
      networkIdOf: (name) => backend.networkIdOf(name),
      timers,
      log,
      endpoints: () => endpoints.all(),
      rename: (id, name, aliases) => backend.rename(id, name, aliases),
      remove: (endpoint) => driver.removeEndpoint(endpoint),
      lookAgain: () => looks.request(),
    });
    this.#serving = { networks, held, watch, looks, stopped: new AbortController() };
    this.#plugin.serve({ network: driver, ipam: new IpamDriver({ network, held }) });
    for (const vni of new Set(networks.all().map((known) => known.vni))) this.#prepare(vni);
    looks.every(LOOK_EVERY_MS, timers);
    this.#follow(this.#serving, RETRY_MS);
  }

  /** Bridge and addresses are there before a container asks, because Docker waits for neither; and go with its last network. */
  #prepare(vni: Vni): void {
    const { networks, networkPresence } = this.#member!;
    if (this.networksOf(vni).length === 0) {
      networkPresence.left(vni);
      return;
    }
    networks.maintainLeases();
    networkPresence.enter(vni).catch(({ message: reason }: Error) => {
      this.#ports.log.warn('a network of Docker is not up on this host', { network: vni, reason }); // its containers are told
    });
  }

  /** Hears Docker's events, again and again: Docker restarts, or is not there yet. */
  #follow(serving: Serving, retryMs: number): void {
    const { api, timers, log } = this.#ports;
    let nextRetryMs = Math.min(2 * retryMs, RETRY_MS_MAX);
    const opened = (): void => {
      nextRetryMs = RETRY_MS;
      this.#deaf = null;
      serving.looks.request();
    };
    const event = (value: unknown): void => {
      const said = readContainerEvent(value);
      if (said?.what === 'renamed') serving.watch.renamed(said.containerId);
      if (said?.what === 'removed') serving.held.containerGone(said.containerId);
      else serving.looks.request();
    };
    const ended = (reason: string): void => {
      if (serving.stopped.signal.aborted) return;
      if (this.#deaf === null) log.warn('Docker is not heard, trying again', { reason });
      this.#deaf = reason;
      this.#cancelRetry = timers.after(retryMs, () => this.#follow(serving, nextRetryMs));
    };
    api.events(EVENTS, { opened, event, stopped: serving.stopped.signal }).then(
      () => ended('its stream of events ended'),
      (error: Error) => ended(error.message),
    );
  }

  async #retire(): Promise<void> {
    const serving = this.#serving;
    this.#plugin.serve(null);
    this.#serving = null;
    if (serving === null) return;
    serving.stopped.abort();
    this.#cancelRetry();
    serving.held.stop();
    serving.watch.stop();
    await serving.looks.stop();
  }
}
