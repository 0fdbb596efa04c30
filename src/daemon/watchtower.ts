// What others see of this host: judges its health, keeps its events, counts for Prometheus, and serves all of it for reading on the
// HTTP port. It reads the live parts and changes none of them. prom-client is loaded with the port: without it nothing is spent.

import type { Clock, Log, Timers } from '../base/capabilities.ts';
import type { BootId } from '../base/ids.ts';
import type { OperatorCertificates } from '../host/certificates/operator-certificates.ts';
import { describePortHolder } from '../host/dns/port-holder.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import { EventJournal } from './events/event-journal.ts';
import { eventRoutes } from './events/event-routes.ts';
import { HealthWatch } from './events/health-watch.ts';
import { HealthJudge, STARTING } from './health.ts';
import type { HttpSetting } from './http/http-options.ts';
import { HttpPort } from './http/http-port.ts';
import { httpRoutes } from './http/http-routes.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Member } from './member.ts';
import { type MetricFacts, memberFacts, meshFacts } from './metrics/metric-facts.ts';
import { Metrics, type Observations } from './metrics/metrics.ts';
import type { DockerFacts, Health, HttpFacts, Status } from './status-types.ts';
import { VERSION } from './version.ts';

export interface WatchtowerPorts {
  readonly bootId: BootId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  member(): Member | null;
  /** Containers can be attached. */
  serving(): boolean;
  mesh(): Mesh | null;
  status(): Status;
  docker(): DockerFacts;
  certificates(): OperatorCertificates;
  self(): { readonly peer: string; readonly nickname: string };
}

export class Watchtower implements Observations {
  readonly journal: EventJournal;
  readonly #ports: WatchtowerPorts;
  readonly #judge: HealthJudge;
  readonly #startedMs: number;
  readonly #watch: HealthWatch;
  #http: HttpPort | null = null;
  #metrics: Metrics | null = null;

  constructor(ports: WatchtowerPorts) {
    const { clock, timers, bootId } = ports;
    this.#ports = ports;
    this.#startedMs = clock.monotonicMs();
    this.journal = new EventJournal({ bootId, clock, timers });
    this.#judge = new HealthJudge(clock);
    this.#watch = new HealthWatch({
      timers,
      judge: () => this.health(),
      tell: (news) => this.journal.add(news),
      late: (ms) => this.#metrics?.eventLoopLate(ms),
    });
  }

  /** Begins to watch, and opens the port; one that is taken is tried again for ever. */
  async start(setting: HttpSetting): Promise<void> {
    this.#watch.start();
    if (setting === 'off') return;
    const { clock, timers, log, status } = this.#ports;
    this.#metrics = new Metrics({ prom: await import('prom-client'), clock, gather: () => this.#gather() });
    const metrics = this.#metrics;
    this.#http = new HttpPort({
      address: setting,
      routes: httpRoutes({
        status,
        journal: this.journal,
        metrics: () => metrics.text(),
        unreadiness: () => this.unreadiness(),
      }),
      holderOf: ({ ip, port }) => describePortHolder(ip, port, ['TCP']),
      timers,
      log,
    });
    await this.#http.start();
  }

  async stop(): Promise<void> {
    this.#watch.stop();
    this.journal.close();
    await this.#http?.stop();
  }

  health(): Health {
    const { member, serving, mesh, docker, certificates, clock } = this.#ports;
    const uptimeMs = clock.monotonicMs() - this.#startedMs;
    return this.#judge.judge({
      member: serving() ? member() : null,
      joined: member() !== null,
      mesh: mesh(),
      http: this.http(),
      docker: docker(),
      files: certificates(),
      nickname: this.#ports.self().nickname,
      uptimeMs,
    });
  }

  /** Why no container can be attached now, in words; null when one can. */
  unreadiness(): string | null {
    const member = this.#ports.member();
    if (member === null) return 'this host has not joined its cluster yet';
    if (!this.#ports.serving()) return STARTING.what;
    return member.readiness()?.reason ?? null;
  }

  http(): HttpFacts {
    return this.#http?.facts() ?? { state: 'off', address: null, reason: null };
  }

  /** Its part of the local API. */
  apiRoutes(): ApiRoutes {
    return eventRoutes(this.journal);
  }

  cniServed(call: Parameters<Observations['cniServed']>[0]): void {
    this.#metrics?.cniServed(call);
  }

  eventLoopLate(ms: number): void {
    this.#metrics?.eventLoopLate(ms);
  }

  caughtUp(ms: number): void {
    this.#metrics?.caughtUp(ms);
  }

  #gather(): MetricFacts {
    const member = this.#ports.member();
    return {
      ...this.#ports.self(),
      version: VERSION,
      datapath: member?.slot.name ?? 'none',
      health: this.health(),
      ...meshFacts(this.#ports.mesh()),
      httpRefused: this.#http?.refused() ?? {},
      member: member === null ? null : memberFacts(member),
    };
  }
}
