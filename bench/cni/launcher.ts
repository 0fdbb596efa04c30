// Starts CNI plugins as a container runtime does and times each from before its start until it has ended. Runs by itself inside a
// lab host's namespaces, one and the same for all plugins that are compared: a job as JSON on stdin, the timings on stdout.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

export interface PluginStart {
  /** Path of the plugin. */
  readonly plugin: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
}

export interface LaunchJob {
  readonly starts: readonly PluginStart[];
  /** All at the same time, or one after the other. */
  readonly atOnce: boolean;
}

export interface LaunchReport {
  /** Of each start, in their order. */
  readonly ms: readonly number[];
  /** From the first start to the last end. */
  readonly totalMs: number;
  /** What those printed that failed. */
  readonly failures: readonly string[];
}

async function launch({ starts, atOnce }: LaunchJob): Promise<LaunchReport> {
  const failures: string[] = [];
  const one = (start: PluginStart) => timeOf(start, failures);
  const startMs = performance.now();
  const ms: number[] = [];
  if (atOnce) ms.push(...(await Promise.all(starts.map(one))));
  else for (const start of starts) ms.push(await one(start));
  return { ms, totalMs: performance.now() - startMs, failures };
}

function timeOf({ plugin, env, stdin }: PluginStart, failures: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const child = spawn(plugin, [], { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString('utf8');
      });
    }
    child.once('error', reject);
    child.once('close', (status) => {
      const ms = performance.now() - startMs;
      if (status !== 0) failures.push(said);
      resolve(ms);
    });
    child.stdin.end(stdin);
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const job = JSON.parse(readFileSync(0, 'utf8')) as LaunchJob;
  process.stdout.write(JSON.stringify(await launch(job)));
}
