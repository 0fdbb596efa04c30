// Runs the programs that change the packet filter: `nft`, and `iptables` for chains that iptables made. Without a shell,
// with a time limit, text on stdin. Remembers its children's process ids, so that the watcher tells our transactions
// from those of others.

import { execFile } from 'node:child_process';
import { FabricError } from '../../base/errors.ts';

const TIMEOUT_MS = 20_000;
const OUTPUT_BYTES_MAX = 64 << 20;
/** Notifications come within milliseconds; a reused pid among so few recent ones is no concern. */
const RECENT_PIDS_MAX = 128;

/** What `nft -j list` prints: one object per table, chain, set, rule, …, each under the name of its kind. */
export type NftListing = readonly Readonly<Record<string, unknown>>[];

interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class PacketFilterPrograms {
  readonly #recentPids: number[] = [];

  /** One transaction: all of it or nothing. Rejects with FabricError `nftables` or `kernel-feature-missing`. */
  async apply(text: string): Promise<void> {
    const { exitCode, stderr } = await this.#run('nft', ['-f', '-'], text);
    if (exitCode !== 0) throw nftFailure("can't set up nftables", stderr);
  }

  /** `nft -j list …`; null when the object does not exist. */
  async list(...what: readonly string[]): Promise<NftListing | null> {
    const { exitCode, stdout, stderr } = await this.#run('nft', ['-j', 'list', ...what]);
    if (exitCode !== 0) {
      if (stderr.includes('No such file or directory')) return null;
      throw nftFailure(`can't list nftables (${what.join(' ')})`, stderr);
    }
    return parseListing(stdout);
  }

  /** True when nft finds each element in its set of that table. */
  async hasElements(
    family: string,
    table: string,
    elements: readonly { readonly set: string; readonly text: string }[],
  ): Promise<boolean> {
    const questions = elements.map(({ set, text }) => `get element ${family} ${table} ${set} { ${text} }`);
    const { exitCode } = await this.#run('nft', [questions.join('; ')]);
    return exitCode === 0;
  }

  /** iptables or ip6tables on table filter, waiting for its lock; resolves with its output. */
  async iptables(program: string, args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#run(program, ['-w', '10', '-t', 'filter', ...args]);
    if (exitCode === 0) return stdout;
    throw new FabricError('nftables', { what: `${program} ${args.join(' ')} failed`, why: stderr.trim() });
  }

  /** The first of these programs that starts, or null. */
  async firstInstalled(programs: readonly string[]): Promise<string | null> {
    for (const program of programs) {
      try {
        if ((await this.#run(program, ['--version'])).exitCode === 0) return program;
      } catch (error) {
        if (!(error instanceof FabricError) || error.code !== 'kernel-feature-missing') throw error;
      }
    }
    return null;
  }

  /** True when a program that this object ran lately has that process id. */
  ran(pid: number): boolean {
    return this.#recentPids.includes(pid);
  }

  #run(program: string, args: readonly string[], stdin = ''): Promise<Output> {
    return new Promise((resolve, reject) => {
      const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, env: { PATH: searchPath(), LC_ALL: 'C' } };
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) resolve({ exitCode: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ exitCode: error.code, stdout, stderr });
        else reject(startFailure(program, error));
      });
      if (child.pid !== undefined) this.#remember(child.pid);
      // A program that ends early closes its stdin: its exit code tells the story, not EPIPE.
      child.stdin?.on('error', () => {});
      child.stdin?.end(stdin);
    });
  }

  #remember(pid: number): void {
    this.#recentPids.push(pid);
    if (this.#recentPids.length > RECENT_PIDS_MAX) this.#recentPids.shift();
  }
}

/** Anything unexpected in the output is a failure of the program, not ours: FabricError. */
function parseListing(stdout: string): NftListing {
  let parsed: unknown;
  try {
    parsed = JSON.parse(stdout);
  } catch (cause) {
    throw new FabricError('nftables', { what: "can't read what nft lists", why: 'it is no JSON' }, { cause });
  }
  const objects = isObject(parsed) ? parsed.nftables : undefined;
  return Array.isArray(objects) ? objects.filter(isObject) : [];
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nftFailure(what: string, stderr: string): FabricError {
  const why = stderr.trim().split('\n').slice(0, 3).join(' ') || 'nft failed without a word';
  if (/Operation not supported|Protocol error|cache initialization failed: (?!Operation not permitted)/.test(stderr)) {
    const fix = 'Load the kernel modules: modprobe nf_tables nft_masq nft_ct';
    return new FabricError('kernel-feature-missing', { what, why, fix });
  }
  if (stderr.includes('Operation not permitted')) {
    return new FabricError('not-root', { what, why, fix: 'Run it as root (CAP_NET_ADMIN)' });
  }
  return new FabricError('nftables', { what, why });
}

function startFailure(program: string, cause: Error & { code?: unknown; killed?: boolean }): FabricError {
  if (cause.code === 'ENOENT') {
    const fix = `Install it: apt-get install ${program === 'nft' ? 'nftables' : 'iptables'}`;
    return new FabricError(
      'kernel-feature-missing',
      { what: `can't run ${program}`, why: 'it is not installed', fix },
      { cause },
    );
  }
  const why = cause.killed === true ? `it took more than ${TIMEOUT_MS / 1000} s` : cause.message;
  return new FabricError('nftables', { what: `can't run ${program}`, why }, { cause });
}

/** Daemons are often started with a PATH that lacks sbin. */
function searchPath(): string {
  return `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`;
}
