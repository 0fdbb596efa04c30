// Programs by others: where they are, and how they run in a host of the lab. Each may be named by an environment variable
// (FABRIC_BENCH_WIREGUARD_GO=/path), so that another version can be measured; else it is looked for in the PATH. None is a
// service: each is started in a namespace of the lab and ends with it.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { eventually } from '../../test/lab/exec.ts';
import type { LabHost } from '../../test/lab/host.ts';
import type { Lab } from '../../test/lab/lab.ts';

/** Debian keeps daemons where the PATH of a user does not look. */
const ALSO = ['/usr/sbin', '/usr/local/sbin', '/sbin'];
/** How much of what a program says is kept for an error. */
const SAID_CHARACTERS_MAX = 4_000;
const LINK_MAX_MS = 15_000;

/** The path of a program, or null when it is nowhere. */
export function findProgram(name: string, environment: NodeJS.ProcessEnv = process.env): string | null {
  const named = environment[variableOf(name)];
  if (named !== undefined) return named;
  const folders = [...(environment.PATH ?? '').split(delimiter), ...ALSO].filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/** FABRIC_BENCH_WIREGUARD_GO for wireguard-go. */
export function variableOf(program: string): string {
  return `FABRIC_BENCH_${program.toUpperCase().replaceAll('-', '_')}`;
}

/** Why a contender that needs these programs can't stand; null when it can. */
export function lackOf(...programs: readonly string[]): string | null {
  const missing = programs.filter((program) => findProgram(program) === null);
  if (missing.length === 0) return null;
  return `${missing.join(' and ')} not found (${missing.map(variableOf).join(', ')} may name the path)`;
}

/** The path of a program that {@link lackOf} has seen. */
export function program(name: string): string {
  const found = findProgram(name);
  if (found === null) throw new Error(lackOf(name)!);
  return found;
}

/** Starts a program in the foreground on a host and waits until its interface is there. */
export async function startPeer(
  lab: Lab,
  host: LabHost,
  { command, link }: { readonly command: readonly string[]; readonly link: string | null },
): Promise<void> {
  const child = lab.spawn([...host.enter(), ...command]);
  let said = '';
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString('utf8')).slice(-SAID_CHARACTERS_MAX);
  };
  child.stdout!.on('data', keep);
  child.stderr!.on('data', keep);
  await eventually(
    `${command[0]} on ${host.name} runs`,
    async () => {
      if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended with ${child.exitCode}: ${said}`);
      return link === null || (await host.run(['ip', 'link', 'show', link], { mayFail: true })).status === 0;
    },
    { timeoutMs: LINK_MAX_MS },
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not ours to run: the next folder may have it
  }
}
