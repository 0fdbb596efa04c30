// Network namespaces for end-to-end tests of one host: the test file runs itself again inside a namespace that plays the
// host, because LinuxHostNetwork works on the namespace of its process. All namespaces carry one prefix and are deleted by
// the outer process, whatever becomes of the inner one.

import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PREFIX_VARIABLE = 'FABRIC_TEST_NAMESPACES';
const COMMAND_TIMEOUT_MS = 30_000;

/** The prefix of this run's namespaces; null in the outer process. */
export function namespacePrefix(): string | null {
  return process.env[PREFIX_VARIABLE] ?? null;
}

/** Runs the test file inside a new namespace and ends with its exit code. */
export function runInsideHost(fileUrl: string): void {
  const prefix = `fbh${process.pid}`;
  const host = `${prefix}-host`;
  try {
    run('ip', ['netns', 'add', host]);
    run('ip', ['-n', host, 'link', 'set', 'lo', 'up']);
    const args = [`--net=/run/netns/${host}`, process.execPath, ...process.execArgv, fileURLToPath(fileUrl)];
    const inner = spawnSync('nsenter', args, { stdio: 'inherit', env: { ...process.env, [PREFIX_VARIABLE]: prefix } });
    process.exitCode = inner.status ?? 1;
  } finally {
    for (const name of readdirSync('/run/netns').filter((entry) => entry.startsWith(`${prefix}-`))) {
      spawnSync('ip', ['netns', 'del', name]);
    }
  }
}

/** Runs a program in this process's namespace; throws with its output when it fails. */
export function run(program: string, args: readonly string[], stdin = ''): string {
  const { status, stdout, stderr, error } = attempt(program, args, stdin);
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? (stderr || stdout)}`);
}

export function attempt(program: string, args: readonly string[], stdin = ''): SpawnSyncReturns<string> {
  return spawnSync(program, args, { encoding: 'utf8', input: stdin, timeout: COMMAND_TIMEOUT_MS });
}

/** A neighbour of the host: a router, a foreign host, a container. */
export class TestNamespace {
  readonly name: string;

  constructor(role: string) {
    this.name = `${namespacePrefix()}-${role}`;
    run('ip', ['netns', 'add', this.name]);
    this.run('ip', 'link', 'set', 'lo', 'up');
  }

  run(...command: readonly string[]): string {
    return run('ip', ['netns', 'exec', this.name, ...command]);
  }

  /** A program that goes on; the caller ends it. */
  start(...command: readonly string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.name, ...command], { stdio: 'ignore' });
  }

  pings(address: string): boolean {
    const args = ['netns', 'exec', this.name, 'ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', address];
    return attempt('ip', args).status === 0;
  }

  /** Joined to the host by a veth: `hostSide` on the host, `eth0` here. */
  plug(hostSide: string): void {
    run('ip', ['link', 'add', hostSide, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.name]);
    run('ip', ['link', 'set', hostSide, 'up']);
    this.run('ip', 'link', 'set', 'eth0', 'up');
  }

  macOf(ifname: string): string {
    const [link] = JSON.parse(this.run('ip', '-j', 'link', 'show', ifname)) as readonly { readonly address: string }[];
    return link!.address;
  }

  async withDescriptor<T>(work: (namespaceFd: number) => Promise<T>): Promise<T> {
    const fd = openSync(`/run/netns/${this.name}`, 'r');
    try {
      return await work(fd);
    } finally {
      closeSync(fd);
    }
  }

  remove(): void {
    run('ip', ['netns', 'del', this.name]);
  }
}

/** Counts frames that arrive at an interface, in namespace `netns` or in the host's own. */
export class ArrivalCounter {
  readonly #prefix: readonly string[];

  constructor(netns: string | null, ifname: string, match: string) {
    this.#prefix = netns === null ? [] : ['ip', 'netns', 'exec', netns];
    this.#nft(
      ['-f', '-'],
      `add table netdev arrivals
       delete table netdev arrivals
       table netdev arrivals { chain c { type filter hook ingress device "${ifname}" priority -500; ${match} counter; }; }`,
    );
  }

  packets(): number {
    return Number(/packets (\d+)/.exec(this.#nft(['list', 'table', 'netdev', 'arrivals']))?.[1]);
  }

  remove(): void {
    this.#nft(['delete', 'table', 'netdev', 'arrivals']);
  }

  #nft(args: readonly string[], stdin = ''): string {
    const [program, ...rest] = [...this.#prefix, 'nft', ...args];
    return run(program!, rest, stdin);
  }
}
