// One host of the lab: runs commands in its namespaces, its fabric daemon, and containers (network namespaces attached
// through the real CNI plugin binary, as a runtime does it).

import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonClient } from '../../src/cli/client.ts';
import type { FabricEvent } from '../../src/daemon/events/event-kinds.ts';
import type { Status } from '../../src/daemon/status-types.ts';
import { CHECKOUT } from './checkout.ts';
import { LabContainer } from './container.ts';
import { type ExecOptions, eventually, exec, type Result } from './exec.ts';

/** Directories that a host has for itself: the path on the host, hidden behind a bind mount of a directory of the lab. */
const OWN_DIRECTORIES = [
  '/run',
  '/etc/cni',
  '/opt/cni',
  '/opt/fabric',
  '/var/lib/cni',
  '/var/lib/fabric',
  '/var/lib/containerd',
  '/var/lib/containers',
  '/var/lib/docker',
];

/** Arguments: a directory and where it is mounted, and so on. */
const PREPARE = `while [ $# -gt 0 ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
mkdir -p /run/netns /opt/cni/bin /etc/cni/net.d
ip link set lo up`;

export class LabHost {
  readonly name: string;
  readonly pid: number;
  readonly directory: string;
  readonly ip: string;
  readonly ip6: string;
  readonly #launchFlags: readonly string[];
  readonly #containers: LabContainer[] = [];
  readonly #daemon: DaemonClient;

  /** `launchFlags`: of every launch that says nothing else of datapaths. */
  constructor(facts: {
    name: string;
    pid: number;
    directory: string;
    ip: string;
    ip6: string;
    launchFlags: readonly string[];
  }) {
    this.name = facts.name;
    this.pid = facts.pid;
    this.directory = facts.directory;
    this.ip = facts.ip;
    this.ip6 = facts.ip6;
    this.#launchFlags = facts.launchFlags;
    this.#daemon = new DaemonClient(join(this.runDirectory, 'fabric'));
  }

  /** Own directories, own host name resolution, loopback up. One process does it: a process for each step takes longer than the steps. */
  async prepare(): Promise<void> {
    const mounts = OWN_DIRECTORIES.map((path) => ({ own: ownDirectory(this.directory, path), path }));
    for (const { own } of mounts) mkdirSync(own, { recursive: true });
    await this.run(['sh', '-ec', PREPARE, 'prepare', ...mounts.flatMap(({ own, path }) => [own, path])]);
  }

  /** /var/lib/fabric of this host, seen from outside. */
  get stateDirectory(): string {
    return ownDirectory(this.directory, '/var/lib/fabric');
  }

  /** /run of this host, seen from outside. */
  get runDirectory(): string {
    return ownDirectory(this.directory, '/run');
  }

  /** In the host's network, mount and PID namespaces. */
  run(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return exec([...this.enter(), ...command], options);
  }

  enter(): readonly string[] {
    return ['nsenter', '-t', String(this.pid), '-n', '-m', '-p', '--'];
  }

  fabric(args: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return this.run(this.fabricCommand(args), { timeoutMs: 60_000, ...options });
  }

  /** The fabric command of this checkout; without NODE_OPTIONS, through which tap would load itself into it. */
  fabricCommand(args: readonly string[]): readonly string[] {
    return ['env', '-u', 'NODE_OPTIONS', process.execPath, join(CHECKOUT, 'bin/fabric'), ...args];
  }

  /** Launches the daemon in the background; the first of a cluster without `join`. Returns when it is ready. */
  async launch({
    join: target,
    token,
    flags = [],
    env = {},
  }: {
    join?: LabHost;
    token?: string;
    flags?: readonly string[];
    env?: Readonly<Record<string, string>>;
  } = {}): Promise<Result> {
    const chosen = flags.includes('--datapath') || flags.includes('--trusted-subnets') ? [] : this.#launchFlags;
    const join = target === undefined ? [] : ['--join', target.ip, '--token-file', '-'];
    return this.fabric(
      ['launch', '--detach', '--nickname', this.name, ...join, ...chosen, ...flags],
      token === undefined ? { env } : { env, input: token },
    );
  }

  async token(): Promise<string> {
    return (await this.fabric(['token'])).stdout.trim();
  }

  /** What `fabric status --json` prints; asked for so often that a process for each answer would be half of a test's work. */
  status(): Promise<Status> {
    return this.#daemon.get<Status>('/v1/status');
  }

  /** Of this run of its daemon, oldest first. */
  async events(): Promise<readonly FabricEvent[]> {
    const { stdout } = await this.fabric(['events', '--once', '--json', '--limit', '1000']);
    const lines = stdout.trim().split('\n');
    return lines.map((line) => JSON.parse(line) as FabricEvent);
  }

  /** Healthy and every known peer alive, with at least `peers` of them. */
  async waitReady(peers: number, timeoutMs = 15_000): Promise<void> {
    await eventually(
      `${this.name} sees ${peers} peers alive`,
      async () => {
        const status = await this.status();
        return status.health.ok && status.peers.filter((peer) => peer.state === 'alive').length >= peers;
      },
      { timeoutMs },
    );
  }

  /** The daemon's process id inside the host's PID namespace. */
  async daemonPid(): Promise<number> {
    const { stdout } = await this.run(['cat', '/var/lib/fabric/fabric.pid']);
    return Number(stdout);
  }

  async kill(signal: 'KILL' | 'TERM' | 'INT' = 'KILL'): Promise<void> {
    const pid = await this.daemonPid();
    await this.run(['kill', `-${signal}`, String(pid)]);
    await eventually('the daemon is gone', async () => {
      return (await this.run(['test', '-d', `/proc/${pid}`], { mayFail: true })).status !== 0;
    });
  }

  /** A network namespace attached to the overlay by CNI ADD. */
  async container(name: string, options: { conf?: Record<string, unknown> } = {}): Promise<LabContainer> {
    const container = this.#newContainer(name, options);
    await container.create();
    return container;
  }

  /** A network namespace that nothing is attached to yet. */
  async namespace(name: string, options: { conf?: Record<string, unknown> } = {}): Promise<LabContainer> {
    const container = this.#newContainer(name, options);
    await container.createNamespace();
    return container;
  }

  #newContainer(name: string, { conf = {} }: { conf?: Record<string, unknown> }): LabContainer {
    const container = new LabContainer({ host: this, name, id: `${name}-${randomBytes(4).toString('hex')}`, conf });
    this.#containers.push(container);
    return container;
  }

  async killAll(): Promise<void> {
    await exec(['kill', '-KILL', String(this.pid)], { mayFail: true });
    this.#containers.length = 0;
  }
}

function ownDirectory(hostDirectory: string, path: string): string {
  return join(hostDirectory, path.replaceAll('/', '_'));
}
