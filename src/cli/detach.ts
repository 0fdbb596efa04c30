// `fabric launch --detach`: starts the same command without --detach as a child in a session of its own. The token goes
// through the child's standard input; descriptor 3 brings back one JSON line: ready, or the error that ended it. The
// command returns when the network is ready, or fails after 30 s with the child's last reason.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { type ErrorCode, type Explanation, FabricError } from '../base/errors.ts';
import type { LaunchOptions } from '../daemon/launch-options.ts';
import type { Status } from '../daemon/status-types.ts';
import { DaemonClient } from './client.ts';

const READY_TIMEOUT_MS = 30_000;

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
  const message = await firstLine(child.stdio[3] as Readable);
  if (message === 'ended') {
    throw new FabricError('internal', {
      what: 'fabric ended before it was ready',
      why: readFileSync(startupFile, 'utf8').trim() || 'it said nothing',
    });
  }
  if (message === null) {
    child.kill('SIGTERM');
    throw new FabricError('timeout', {
      what: `fabric was not ready within ${READY_TIMEOUT_MS / 1000} s and was stopped`,
      why: await lastReason(options.runDir),
      fix: `See ${options.stateDir}/fabric.log`,
    });
  }
  if (!message.ready) throw new FabricError(message.code as ErrorCode, message.explanation);
  child.stdio[3]!.destroy();
  child.unref();
  process.stdout.write(message.announcement);
  if (message.token !== null && process.stdout.isTTY) process.stdout.write(`${message.token}\n`);
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

/** Null after the time limit; `ended` when the child is gone without a word here: it crashed. */
function firstLine(stream: Readable): Promise<ReadyMessage | 'ended' | null> {
  return new Promise((resolve) => {
    let text = '';
    const timer = setTimeout(() => resolve(null), READY_TIMEOUT_MS);
    const finish = (message: ReadyMessage | 'ended') => {
      clearTimeout(timer);
      resolve(message);
    };
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\n');
      if (end >= 0) finish(JSON.parse(text.slice(0, end)) as ReadyMessage);
    });
    stream.on('end', () => finish('ended'));
  });
}

/** The child listens on its socket while it joins: its first problem says why it is not ready. */
async function lastReason(runDir: string): Promise<string> {
  try {
    const status = await new DaemonClient(runDir).get<Status>('/v1/status', { timeoutMs: 2_000 });
    const problem = status.health.problems[0];
    return problem === undefined ? 'unknown' : `${problem.what}: ${problem.why}`;
  } catch (error) {
    return (error as Error).message;
  }
}
