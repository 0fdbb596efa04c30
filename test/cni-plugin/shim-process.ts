// Starts the real CNI plugin binary as a runtime does and collects what it leaves: exit code, output, duration. With it, a
// place on disk for a test's run and state directory and for foreign plugins.

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This file, compiled, lies in dist/test/cni-plugin. */
export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
export const SHIM = `${REPOSITORY}bin/cni/fabric`;

export interface ShimExit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

export interface RunningShim {
  readonly process: ChildProcess;
  readonly exit: Promise<ShimExit>;
}

export function startShim(
  env: Readonly<Record<string, string>>,
  stdin: string | Uint8Array = '',
  binary = SHIM,
): RunningShim {
  const started = performance.now();
  const child = spawn(binary, [], { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // A shim that answers before it has read everything closes its stdin: EPIPE is no failure of the test.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin);
  const exit = new Promise<ShimExit>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr, tookMs: performance.now() - started }));
  });
  return { process: child, exit };
}

export function runShim(
  env: Readonly<Record<string, string>>,
  stdin: string | Uint8Array = '',
  binary = SHIM,
): Promise<ShimExit> {
  return startShim(env, stdin, binary).exit;
}

/** A temporary directory of one test file. */
export class ShimSite {
  readonly root = mkdtempSync(join(tmpdir(), 'fabric-shim-'));
  #directories = 0;

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  /** A run and a state directory of its own and a configuration that names them. */
  place(): ShimPlace {
    const base = join(this.root, `${this.#directories++}`);
    const runDir = join(base, 'run');
    const stateDir = join(base, 'state');
    mkdirSync(runDir, { recursive: true });
    return { runDir, stateDir, config: { cniVersion: '1.0.0', name: 'fabric', type: 'fabric', runDir, stateDir } };
  }

  /** The CNI_* variables of a good call; CNI_NETNS is the plugin's own namespace. */
  env(verb: string, changes: Readonly<Record<string, string>> = {}): Record<string, string> {
    const base = { CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0', CNI_NETNS: '/proc/self/ns/net', CNI_PATH: this.root };
    return { CNI_COMMAND: verb, ...base, ...changes };
  }

  /** A shell script as an executable of that name in a new directory; returns the directory, for CNI_PATH. */
  plugin(name: string, script: string): string {
    const directory = join(this.root, `bin${this.#directories++}`);
    mkdirSync(directory);
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(directory, name), 0o755);
    return directory;
  }
}

export interface ShimPlace {
  readonly runDir: string;
  readonly stateDir: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** The files of deferred DELs. */
export function records(stateDir: string): readonly string[] {
  const directory = join(stateDir, 'cni-pending');
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

/** Polls at the edge of another process, where no promise tells. Rejects after 5 s. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('condition not met within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
