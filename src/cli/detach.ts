// `fabric launch --detach`: starts the same command without --detach as a child in a session of its own. The token goes
// through the child's standard input; descriptor 3 brings back one JSON line: ready, or the error that ended it. The
// command returns when the network is ready. It fails after 30 s with the child's last reason, or as soon as no waiting can help:
// every host that was to be joined refuses this one. A child that is given up has ended when the command returns.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorCode, type Explanation, FabricError } from '../base/errors.ts';
import type { LaunchOptions } from '../daemon/launch-options.ts';
import type { Problem, Status } from '../daemon/status-types.ts';
import { DaemonClient } from './client.ts';

const READY_TIMEOUT_MS = 30_000;
/** A refusal that lasts so long is meant: a member that missed a rotation of the token has learned of it by then. */
const REFUSED_MS = 3_000;
/** What keeps a launch for so long is told while it goes on. */
const OBSTACLE_MS = 2_000;
const LOOK_EVERY_MS = 200;
const STOP_MAX_MS = 5_000;
/** Problems of a host that joins for which it needs another token, or another host to join; no time. */
const REFUSALS: readonly string[] = ['token-refused', 'token-outdated', 'cluster-mismatch', 'join-self'];

/** What the child writes to its ready descriptor, one line of JSON. */
export type ReadyMessage =
  | { readonly ready: true; readonly announcement: string; readonly token: string | null }
  | { readonly ready: false; readonly code: string; readonly explanation: Explanation };

interface Detached {
  /** Arguments behind `fabric`, as typed. */
  readonly argv: readonly string[];
  readonly token: string | null;
  readonly options: LaunchOptions;
}

export async function launchDetached({ argv, token, options }: Detached): Promise<void> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const startupFile = `${options.stateDir}/fabric.stderr`;
  const startupLog = openSync(startupFile, 'w', 0o600);
  const child = spawn(
    process.execPath,
    [process.argv[1]!, ...childArguments(argv), ...(token === null ? [] : ['--token-file', '-'])],
    {
      detached: true,
      cwd: '/',
      stdio: ['pipe', startupLog, startupLog, 'pipe'],
      env: { ...process.env, FABRIC_READY_FD: '3' },
    },
  );
  child.stdin!.on('error', () => undefined); // a child that died early is reported through descriptor 3
  child.stdin!.end(token === null ? '' : `${token}\n`);
  const patience = new AbortController();
  const outcome = await Promise.race([
    firstLine(child.stdio[3] as Readable),
    lastingRefusal(options.runDir, patience.signal, (text) => process.stderr.write(`${text}\n`)),
    delay(READY_TIMEOUT_MS, 'timeout' as const, { signal: patience.signal }),
  ]).finally(() => patience.abort());
  if (outcome === 'ended') {
    throw new FabricError('internal', {
      what: 'fabric ended before it was ready',
      why: readFileSync(startupFile, 'utf8').trim() || 'it said nothing',
    });
  }
  if (outcome === 'timeout') {
    const problem = (await statusOf(options.runDir))?.health.problems[0]; // asked while the child lives
    await end(child);
    throw new FabricError('timeout', {
      what: `fabric was not ready within ${READY_TIMEOUT_MS / 1000} s and was stopped`,
      why: problem === undefined ? 'it did not say why' : `${problem.what}: ${problem.why}`,
      fix: `${problem === undefined ? '' : `${problem.fix}; `}its log is ${options.stateDir}/fabric.log`,
    });
  }
  if (!outcome.ready) {
    await end(child);
    throw new FabricError(outcome.code as ErrorCode, outcome.explanation);
  }
  child.stdio[3]!.destroy();
  child.unref();
  process.stdout.write(outcome.announcement);
  if (outcome.token !== null && process.stdout.isTTY) process.stdout.write(`${outcome.token}\n`);
}

/** Drops --detach and the token's flags with their values. */
export function childArguments(argv: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--detach' || /^--token(-file)?=/.test(word)) continue;
    if (word === '--token' || word === '--token-file') i++;
    else kept.push(word);
  }
  return kept;
}

/** `ended` when the child is gone without a word here: it crashed. */
function firstLine(stream: Readable): Promise<ReadyMessage | 'ended'> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\n');
      if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as ReadyMessage);
    });
    stream.on('end', () => resolve('ended'));
  });
}

/**
 * Returns once every host that was to be joined has refused this one for a while; rejects when it is aborted. Whoever waits is told
 * meanwhile what it waits for.
 */
async function lastingRefusal(
  runDir: string,
  signal: AbortSignal,
  tell: (text: string) => void,
): Promise<ReadyMessage> {
  let sinceMs: number | null = null;
  const obstacles = new Obstacles();
  for (;;) {
    await delay(LOOK_EVERY_MS, undefined, { signal });
    const status = await statusOf(runDir);
    const isJoining = status !== null && status.self.clusterId === null;
    const news = obstacles.news(isJoining ? (status.health.problems[0] ?? null) : null, performance.now());
    if (news !== null) tell(news);
    const refusal = status === null ? null : refusalOf(status);
    if (refusal === null) sinceMs = null;
    else {
      sinceMs ??= performance.now();
      const { code, what, why, fix } = refusal;
      if (performance.now() - sinceMs >= REFUSED_MS) return { ready: false, code, explanation: { what, why, fix } };
    }
  }
}

/** What keeps a host from joining, told once each, when it has lasted: moments are nobody's affair, refusals end the launch. */
export class Obstacles {
  readonly #told = new Set<string>();
  #text: string | null = null;
  #sinceMs = 0;

  /** A line for the operator, or null when there is nothing new. */
  news(problem: Pick<Problem, 'code' | 'what' | 'why'> | null, nowMs: number): string | null {
    const isNone = problem === null || problem.code === 'joining' || REFUSALS.includes(problem.code);
    const text = isNone ? null : `${problem.what}: ${problem.why}`;
    if (text !== this.#text) {
      this.#text = text;
      this.#sinceMs = nowMs;
    }
    if (text === null || this.#told.has(text) || nowMs - this.#sinceMs < OBSTACLE_MS) return null;
    this.#told.add(text);
    return `fabric: ${text}; trying on for up to ${READY_TIMEOUT_MS / 1000} s`;
  }
}

/** Why nobody lets this host in, in the words of its daemon; null while somebody still may. */
export function refusalOf({ self, targets, health }: Pick<Status, 'self' | 'targets' | 'health'>): Problem | null {
  const isOpen = targets.some(({ error, state }) => error === null && state !== 'self');
  if (self.clusterId !== null || isOpen) return null;
  return health.problems.find(({ code }) => REFUSALS.includes(code)) ?? null;
}

/** Null while nobody answers there. */
async function statusOf(runDir: string): Promise<Status | null> {
  try {
    return await new DaemonClient(runDir).get<Status>('/v1/status', { timeoutMs: 2_000 });
  } catch (error) {
    if (error instanceof FabricError) return null;
    throw error;
  }
}

/** SIGTERM, and a while for it to end: who comes next finds its locks and ports free. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await Promise.race([exited, delay(STOP_MAX_MS)]);
}
