// A pair of hosts on the engine with a container each, which is looked at or is not: launched anew for either, while its engines and
// their sessions stay. Two of them stand side by side, so that a stream on one can follow a stream on the other at once.

import type { LabContainer } from '../../test/lab/container.ts';
import { eventually } from '../../test/lab/exec.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS } from '../../test/lab/processes.ts';
import type { Path } from '../contender.ts';
import { measureTraffic, serve } from '../traffic.ts';
import { Onlookers } from './onlookers.ts';

export const STREAM_S = 1;
const PIECE_BYTES = 65_536;
/** V8 has compiled what runs each second: a daemon that is looked at takes up to twice the time in its first half minute. */
const SETTLE_MS = 40_000;
const NAME = 'server.fabric.internal';
const LOOKED_AT = ['--http', '127.0.0.1:6784', '--dns'];
const ALONE = ['--http', 'off', '--no-dns'];

/** Of one stream, or of several: {@link meanOf}. */
export interface Turn {
  /** Of the machine, iperf3's share included and the onlookers' left out, per 64 KiB that arrived. */
  readonly cpuUsPer64KiB: number;
  /** Of daemons and engines alone, which sees less, and less of what else the machine does. */
  readonly carriersSecondsPerGbit: number;
  readonly daemonsMsPerGB: number;
  readonly tcpGbps: number;
  readonly answers: number;
  readonly failures: number;
}

const MEASURED = ['tcpGbps', 'cpuUsPer64KiB', 'cpuSecondsPerGbit', 'daemonMsPerGB'];

export class Site {
  readonly #lab: Lab;
  readonly #path: Path;
  readonly #containers: readonly [LabContainer, LabContainer];
  readonly #gateway: string;
  #onlookers: Onlookers | null = null;

  private constructor(
    lab: Lab,
    facts: { path: Path; containers: readonly [LabContainer, LabContainer]; gateway: string },
  ) {
    this.#lab = lab;
    this.#path = facts.path;
    this.#containers = facts.containers;
    this.#gateway = facts.gateway;
  }

  /** A cluster of its own. */
  static async open(lab: Lab, name: string): Promise<Site> {
    const [a, b] = [await lab.host(`${name}-a`), await lab.host(`${name}-b`)];
    await a.launch({ flags: ['--datapath', 'engine'] });
    await b.launch({ join: a, token: await a.token(), flags: ['--datapath', 'engine'] });
    const containers = [await a.container('server'), await b.container('client')] as const;
    const [server, client] = containers;
    await a.fabric(['dns', 'add', 'server', server.ip]);
    await eventually('they talk', () => client.pings(server.ip), { timeoutMs: 10_000 });
    await serve(server);
    const { gateway } = (await a.status()).networks[0]!;
    if (gateway === null) throw new Error('the default network has no gateway');
    const hosts = [a, b];
    const carriers = [DAEMON_PROCESS, ENGINE_PROCESS];
    const path = { client, server, serverIp: server.ip, hosts, daemons: hosts, carriers };
    return new Site(lab, { path, containers, gateway });
  }

  /** Settled, and the onlookers at rest, when this resolves. */
  async relaunch(isLookedAt: boolean): Promise<void> {
    await this.#onlookers?.stop();
    this.#onlookers = null;
    await Promise.all(
      this.#path.hosts.map(async (host) => {
        await host.kill('TERM');
        await host.launch({ flags: isLookedAt ? LOOKED_AT : ALONE });
        await host.waitReady(1);
      }),
    );
    if (isLookedAt) {
      const whom = { containers: this.#containers, gateway: this.#gateway, name: NAME };
      this.#onlookers = await Onlookers.start(this.#lab, whom);
    }
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await this.#onlookers?.rest();
  }

  /** One stream, looked at or not as it was launched. */
  async measure(): Promise<Turn> {
    const before = await this.#onlookers?.look();
    const startMs = performance.now();
    const wanted = (name: string) => MEASURED.includes(name);
    const figures = await measureTraffic(this.#path, { tcpSeconds: STREAM_S, udpSeconds: 0, pings: 0, wanted });
    const seconds = (performance.now() - startMs) / 1_000;
    const after = await this.#onlookers?.rest();
    const { tcpGbps = 0, cpuUsPer64KiB = 0, cpuSecondsPerGbit = 0, daemonMsPerGB = 0 } = figures;
    const pieces = (tcpGbps * 1e9 * STREAM_S) / 8 / PIECE_BYTES;
    // The stream is shorter than the time between the two reports; onlookers are as busy in both.
    const theirsUs = (((after?.cpuUs ?? 0) - (before?.cpuUs ?? 0)) * STREAM_S) / seconds;
    return {
      cpuUsPer64KiB: cpuUsPer64KiB - theirsUs / pieces,
      carriersSecondsPerGbit: cpuSecondsPerGbit,
      daemonsMsPerGB: daemonMsPerGB,
      tcpGbps,
      answers: (after?.answers ?? 0) - (before?.answers ?? 0),
      failures: (after?.failures ?? 0) - (before?.failures ?? 0),
    };
  }
}

/** The geometric mean of at least one, because what they are for is a quotient. */
export function meanOf(turns: readonly Turn[]): Turn {
  const mean = (key: keyof Turn): number =>
    Math.exp(turns.reduce((sum, turn) => sum + Math.log(turn[key]), 0) / turns.length);
  const sum = (key: keyof Turn): number => turns.reduce((total, turn) => total + turn[key], 0);
  return {
    cpuUsPer64KiB: mean('cpuUsPer64KiB'),
    carriersSecondsPerGbit: mean('carriersSecondsPerGbit'),
    daemonsMsPerGB: mean('daemonsMsPerGB'),
    tcpGbps: mean('tcpGbps'),
    answers: sum('answers'),
    failures: sum('failures'),
  };
}
