// The daemon as a process: log sink, signals, the announcement for the operator, and how it ends. With FABRIC_READY_FD set
// (`fabric launch --detach`) the announcement goes to that descriptor as one line of JSON and the log to a rotated file.

import { closeSync, writeSync } from 'node:fs';
import { FabricError } from '../base/errors.ts';
import { collectOnOneThread } from '../host/garbage-collector.ts';
import { type LogLevel, type LogSink, openConsoleSink, PinoLog } from '../host/log.ts';
import { forbidCoreDumps } from '../host/native.ts';
import { nodeCrypto } from '../host/node-crypto.ts';
import { nodeRandom } from '../host/node-random.ts';
import { takeNotifySocket } from '../host/notify-socket.ts';
import { RotatingFile } from '../host/rotating-file.ts';
import { StateDir } from '../host/state-dir.ts';
import { SystemClock } from '../host/system-clock.ts';
import { systemTimers } from '../host/system-timers.ts';
import { Daemon } from './daemon.ts';
import type { LaunchOptions } from './launch-options.ts';
import { openHostNetwork } from './open-host-network.ts';
import { ServiceReport, whenReady } from './service-report.ts';
import { parseSimulatedLacks, TEST_WITHOUT_VARIABLE } from './simulated-lacks.ts';

/**
 * Runs until the daemon is stopped; rejects with the FabricError that ended it. `attachable` is called once, as soon as a container
 * could be attached.
 */
export async function runDaemon(options: LaunchOptions, attachable: () => void): Promise<void> {
  const ready = readyDescriptor();
  try {
    await run(options, ready, attachable);
  } catch (error) {
    ready?.fail(error);
    throw error;
  }
}

async function run(options: LaunchOptions, ready: ReadyDescriptor | null, attachable: () => void): Promise<void> {
  forbidCoreDumps();
  collectOnOneThread();
  outliveReaders();
  const clock = new SystemClock();
  const stateDir = StateDir.open({ path: options.stateDir, crypto: nodeCrypto });
  const sink: LogSink =
    ready === null ? await openConsoleSink() : new RotatingFile({ path: `${stateDir.path}/fabric.log` });
  const log = new PinoLog({ clock, sink, level: options.logLevel as LogLevel });
  const notifySocket = takeNotifySocket(process.env);
  const host = await openHostNetwork(stateDir.path, log);
  await host.preflight();
  const daemon = new Daemon(options, {
    clock,
    timers: systemTimers,
    random: nodeRandom,
    crypto: nodeCrypto,
    log,
    host,
    stateDir,
    without: parseSimulatedLacks(process.env[TEST_WITHOUT_VARIABLE]),
    ending: () => {
      endWaiting();
      return report?.stopping() ?? Promise.resolve();
    },
  });
  const { glance } = daemon;
  const report = notifySocket && new ServiceReport({ ...notifySocket, timers: systemTimers, log, glance });
  report?.start();
  const endWaiting = whenReady({ timers: systemTimers, glance }, () => {
    try {
      attachable();
    } catch (error) {
      log.error('set-up failed', { reason: (error as Error).message });
    }
  });
  // Ctrl-C means all of fabric; a service manager's SIGTERM comes before an upgrade, too: frames go on flowing.
  const stop = (signal: NodeJS.Signals): void => {
    log.info('stopping', { signal });
    daemon.stop(signal === 'SIGTERM' ? 'released' : 'stopped').catch((error: Error) => {
      log.error('the daemon did not stop cleanly', { reason: error.message });
      process.exit(1);
    });
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const endAfterFailure = async (error: unknown): Promise<never> => {
    await daemon.stop().catch(() => undefined); // logged; the first error is the one to tell
    throw error;
  };
  if (await daemon.start().catch(endAfterFailure)) {
    const text = announcement(daemon, options);
    if (ready !== null) ready.done(text, daemon.created ? daemon.tokenText() : null);
    else {
      process.stdout.write(text);
      if (daemon.created && process.stdout.isTTY) process.stdout.write(`${daemon.tokenText()}\n`);
    }
  }
  const end = await daemon.ended().catch(endAfterFailure);
  log.info('ended', { how: end });
  log.flush();
}

/** Whoever reads what it says (a pipe, the journal) may end at any time: words are lost then, containers keep their network. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.removeAllListeners('error').on('error', () => undefined);
}

/** What the operator does next. The token itself is printed to a terminal only. */
function announcement(daemon: Daemon, { stateDir, runDir }: LaunchOptions): string {
  const status = daemon.status();
  if (!daemon.created) return `${status.self.nickname} is in cluster ${status.self.clusterId}\n`;
  const where = stateDir === '/var/lib/fabric' && runDir === '/run/fabric' ? '' : ` --run-dir ${runDir}`;
  const token = process.stdout.isTTY
    ? 'and paste this token there:'
    : `and paste there what 'fabric token${where}' prints`;
  return `created a NEW cluster ${status.self.clusterId}\non the next host, run:\n    ${daemon.joinLine()}\n${token}\n`;
}

interface ReadyDescriptor {
  done(announcement: string, token: string | null): void;
  fail(error: unknown): void;
}

/** One line, then the descriptor is closed; whoever waits may be gone. */
function readyDescriptor(): ReadyDescriptor | null {
  const text = process.env.FABRIC_READY_FD;
  delete process.env.FABRIC_READY_FD;
  if (text === undefined || !/^\d+$/.test(text)) return null;
  let fd: number | null = Number(text);
  const say = (message: unknown): void => {
    if (fd === null) return;
    try {
      writeSync(fd, `${JSON.stringify(message)}\n`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
    }
    closeSync(fd);
    fd = null;
  };
  return {
    done: (announcement, token) => say({ ready: true, announcement, token }),
    fail: (error) => {
      const known = error instanceof FabricError;
      const explanation = known ? error.explanation : { what: String((error as Error).stack ?? error) };
      say({ ready: false, code: known ? error.code : 'internal', explanation });
    },
  };
}
