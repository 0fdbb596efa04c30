import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { end, eventually, exec } from './exec.ts';
import { childOf } from './proc.ts';

/** Says that it runs; one of them says on SIGTERM that it goes. */
const SLEEPER = ['sh', '-c', 'echo here; exec sleep 1000'];
const POLITE = ['sh', '-c', 'trap "echo gone; exit 7" TERM; echo here; while :; do sleep 0.01; done'];

describe.skipIf(process.getuid?.() !== 0)('a command in a PID namespace', () => {
  let holder: ChildProcess;
  let enter: readonly string[];

  beforeEach(async () => {
    holder = spawn('unshare', ['--pid', '--fork', '--kill-child', 'sleep', '1000'], { stdio: 'ignore' });
    await eventually('the namespace is there', () => childOf(holder.pid!) !== 0, { everyMs: 2 });
    enter = ['nsenter', '-t', String(childOf(holder.pid!)), '-p', '--'];
  });

  afterEach(() => end(holder, 'SIGKILL'));

  async function start(command: readonly string[]): Promise<{ child: ChildProcess; pid: number; said: () => string }> {
    const [file, ...rest] = [...enter, ...command];
    const child = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    await once(child.stdout!, 'data');
    return { child, pid: childOf(child.pid!), said: () => said };
  }

  test('is gone once it was ended', async () => {
    const { child, pid } = await start(SLEEPER);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    await end(child, 'SIGKILL');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  test('gets the signal itself, and ends as it wants to', async () => {
    const { child, said } = await start(POLITE);
    const closed = once(child, 'close');
    await end(child, 'SIGTERM');
    expect(await closed).toEqual([7, null]);
    expect(said()).toBe('here\ngone\n');
  });

  test('is killed when its time is over', async () => {
    await expect(exec([...enter, ...SLEEPER], { timeoutMs: 50 })).rejects.toThrow('was killed after 50 ms');
  });
});
