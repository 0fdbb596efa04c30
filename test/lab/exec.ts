// Runs commands for the lab: always with a time limit, never through a shell, output kept. A command that fails throws with
// its whole output, because that is what a failing end-to-end test has to show.

import { type ChildProcess, spawn } from 'node:child_process';
import { childOf, procFile } from './proc.ts';

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Return the result of a failing command instead of throwing. */
  readonly mayFail?: boolean;
}

export async function exec(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
  const { input, timeoutMs = 30_000, env, mayFail = false } = options;
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: env === undefined ? process.env : { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  child.stdin.on('error', () => undefined); // the command may not read its input
  child.stdin.end(input ?? '');
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    signalCommand(child, 'SIGKILL');
  }, timeoutMs);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...how) => resolve(how));
  });
  clearTimeout(timer);
  if (status !== 0 && !mayFail) {
    const how = timedOut ? `was killed after ${timeoutMs} ms` : `ended with ${status ?? signal}`;
    throw new Error(`${command.join(' ')} ${how}\n${stderr}${stdout}`);
  }
  return { status, stdout, stderr };
}

/** Resolves once `condition` holds; throws with `what` after the limit. Polls, because the kernel offers no event here. */
export async function eventually(
  what: string,
  condition: () => Promise<boolean> | boolean,
  { timeoutMs = 10_000, everyMs = 50 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - startMs;
    if (performance.now() - startMs > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Ends a command of ours and waits until it is gone, also one in a PID namespace. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  signalCommand(child, signal);
  const timer = setTimeout(() => signalCommand(child, 'SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}

/**
 * nsenter forks where it enters a PID namespace and passes no signal on: its own end would leave the command running, with the pipes
 * that it holds. So the signal is for the command, and nsenter ends as that does.
 */
function signalCommand(child: ChildProcess, signal: NodeJS.Signals): void {
  const command = procFile(`${child.pid}/comm`).trim() === 'nsenter' ? childOf(child.pid!) : 0;
  if (command === 0) {
    child.kill(signal);
    return;
  }
  try {
    process.kill(command, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has ended by itself
  }
}
