// The plugin as Docker sees it: a method's name and a JSON body in, a JSON body out, errors as `Err`. Docker holds locks while it
// waits for a driver, so that a slow answer stops all of it. Invariant: every call is answered within ANSWER_MS_MAX, by an
// error if need be; what was under way then is rolled back, or, where the rest can be done behind the answer, brought to its end.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { AnswerTimes } from './answer-times.ts';
import type { IpamDriver } from './ipam-driver.ts';
import { type Fields, fieldsOf } from './messages.ts';
import type { NetworkDriver } from './network-driver.ts';

/** Well below the 100 ms that we promise: on a busy machine a timer fires late. */
export const ANSWER_MS_MAX = 70;

/** Docker keeps pools of local and of swarm-wide networks apart; ours are one. */
const ADDRESS_SPACES = { LocalDefaultAddressSpace: 'fabric', GlobalDefaultAddressSpace: 'fabric' };

interface Method {
  run(body: Fields, cancelled: AbortSignal): object | Promise<object>;
  /** The answer when time is up and the rest is done behind it; null or absent: an error, and what was begun is rolled back. */
  early?(body: Fields): object | null;
}

export interface PluginCounters {
  readonly calls: number;
  /** Answered with `Err`. */
  readonly errors: number;
  /** Answered before their work was done. */
  readonly late: number;
  readonly slowestMs: number;
  /** Of the last answers: half of them, and 99 of 100, took at most so long. */
  readonly medianMs: number;
  readonly p99Ms: number;
}

export interface DockerPluginPorts {
  readonly timers: Timers;
  readonly log: Log;
}

interface Drivers {
  readonly network: NetworkDriver;
  readonly ipam: IpamDriver;
}

export class DockerPlugin {
  readonly #counts = { calls: 0, errors: 0, late: 0, slowestMs: 0 };
  readonly #times = new AnswerTimes();
  readonly #ports: DockerPluginPorts;
  readonly #methods: ReadonlyMap<string, Method>;
  #drivers: Drivers | null = null;

  constructor(ports: DockerPluginPorts) {
    this.#ports = ports;
    this.#methods = this.#table();
  }

  get counters(): PluginCounters {
    return { ...this.#counts, medianMs: this.#times.quantile(0.5), p99Ms: this.#times.quantile(0.99) };
  }

  /** Names of all methods, as `NetworkDriver.Join`. */
  methods(): readonly string[] {
    return [...this.#methods.keys()];
  }

  /** Null: this host is no member of a cluster (any more); what can't be answered without, gets an error. */
  serve(drivers: Drivers | null): void {
    this.#drivers = drivers;
  }

  /** Never rejects. */
  async call(name: string, body: unknown): Promise<object> {
    const { timers } = this.#ports;
    const startedMs = timers.nowMs();
    this.#counts.calls++;
    const cancelled = new AbortController();
    let isLate = false;
    let stopTimer: Cancel = () => undefined;
    const expired = new Promise<object>((resolve, reject) => {
      stopTimer = timers.after(ANSWER_MS_MAX, () => {
        isLate = true;
        this.#counts.late++;
        const early = this.#early(name, body);
        if (early !== null) return resolve(early);
        cancelled.abort();
        const what = `${name} takes longer than ${ANSWER_MS_MAX} ms`;
        reject(new FabricError('timeout', { what, fix: 'Try again' }));
      });
    });
    try {
      const work = this.#run(name, body, cancelled.signal);
      work.catch(({ message: reason }: Error) => {
        if (isLate) this.#ports.log.warn('what a call of Docker began has failed', { method: name, reason });
      });
      return await Promise.race([work, expired]);
    } catch (error) {
      return this.#refuse(name, error);
    } finally {
      stopTimer();
      const tookMs = timers.nowMs() - startedMs;
      this.#times.add(tookMs);
      this.#counts.slowestMs = Math.max(this.#counts.slowestMs, tookMs);
    }
  }

  async #run(name: string, body: unknown, cancelled: AbortSignal): Promise<object> {
    const method = this.#methods.get(name);
    if (method === undefined) throw new FabricError('usage', { what: `fabric's plugin has no ${name}` });
    return method.run(fieldsOf(body, 'request'), cancelled);
  }

  #early(name: string, body: unknown): object | null {
    return this.#drivers === null ? null : (this.#methods.get(name)?.early?.(fieldsOf(body, 'request')) ?? null);
  }

  #refuse(name: string, error: unknown): object {
    this.#counts.errors++;
    const reason = error instanceof FabricError ? error.message : String((error as Error).stack ?? error);
    this.#ports.log.warn('a call of Docker failed', { method: name, reason });
    const text = `fabric: ${(error as Error).message}`;
    return { Err: text, Error: text }; // network drivers say the one, IPAM drivers the other
  }

  #table(): ReadonlyMap<string, Method> {
    const constant = (answer: object): Method => ({ run: () => answer });
    const nothing = constant({});
    const notForSwarm: Method = {
      run: () => {
        throw new FabricError('usage', { what: "fabric's networks are of local scope", fix: 'Create it on each host' });
      },
    };
    const network = (run: (driver: NetworkDriver, body: Fields, cancelled: AbortSignal) => object): Method => ({
      run: (body, cancelled) => run(this.#serving().network, whole(body), cancelled),
    });
    const ipam = (run: (driver: IpamDriver, body: Fields, cancelled: AbortSignal) => object): Method => ({
      run: (body, cancelled) => run(this.#serving().ipam, whole(body), cancelled),
    });
    /** Of what Docker does not have any more nothing is left a little later, said or not (docker-watch.ts, held-addresses.ts). */
    const ending = (method: Method): Method => ({
      ...method,
      run: (body, cancelled) => (isEmptied(body) ? {} : method.run(body, cancelled)),
    });
    const createEndpoint: Method = {
      ...network((driver, body, cancelled) => driver.createEndpoint(body, cancelled)),
      early: (body) => this.#serving().network.begunEndpoint(body),
    };
    const deleteEndpoint = ending({ ...network((driver, body) => driver.deleteEndpoint(body)), early: () => ({}) });
    return new Map([
      ['Plugin.Activate', constant({ Implements: ['NetworkDriver', 'IpamDriver'] })],
      ['NetworkDriver.GetCapabilities', constant({ Scope: 'local', ConnectivityScope: 'local' })],
      ['NetworkDriver.CreateNetwork', network((driver, body) => driver.createNetwork(body))],
      ['NetworkDriver.DeleteNetwork', network((driver, body) => driver.deleteNetwork(body))],
      ['NetworkDriver.AllocateNetwork', notForSwarm],
      ['NetworkDriver.FreeNetwork', notForSwarm],
      ['NetworkDriver.CreateEndpoint', createEndpoint],
      ['NetworkDriver.EndpointOperInfo', network((driver, body) => driver.operationalInfo(body))],
      ['NetworkDriver.DeleteEndpoint', deleteEndpoint],
      ['NetworkDriver.Join', network((driver, body) => driver.join(body))],
      ['NetworkDriver.Leave', nothing],
      ['NetworkDriver.DiscoverNew', nothing],
      ['NetworkDriver.DiscoverDelete', nothing],
      ['NetworkDriver.ProgramExternalConnectivity', network((driver, body) => driver.publishPorts(body))],
      ['NetworkDriver.RevokeExternalConnectivity', nothing],
      ['IpamDriver.GetCapabilities', constant({ RequiresMACAddress: false, RequiresRequestReplay: false })],
      ['IpamDriver.GetDefaultAddressSpaces', constant(ADDRESS_SPACES)],
      ['IpamDriver.RequestPool', ipam((driver, body) => driver.requestPool(body))],
      ['IpamDriver.ReleasePool', nothing],
      ['IpamDriver.RequestAddress', ipam((driver, body, cancelled) => driver.requestAddress(body, cancelled))],
      ['IpamDriver.ReleaseAddress', ending(ipam((driver, body) => driver.releaseAddress(body)))],
    ]);
  }

  #serving(): Drivers {
    if (this.#drivers !== null) return this.#drivers;
    throw new FabricError('daemon-unreachable', {
      what: 'fabric is not ready',
      why: 'the daemon is starting, or this host is no member of a cluster yet',
      fix: 'See fabric status, and try again',
    });
  }
}

/** Docker 20.10 repeats a call that was cut off half way, but its body is spent: what comes says nothing. */
function isEmptied(body: Fields): boolean {
  return Object.keys(body).length === 0;
}

function whole(body: Fields): Fields {
  if (!isEmptied(body)) return body;
  throw new FabricError('usage', {
    what: 'Docker has repeated a call without saying what it is about',
    why: 'fabric ended while the call was under way, and Docker sends what it wants only once',
    fix: 'Start the container again',
  });
}
