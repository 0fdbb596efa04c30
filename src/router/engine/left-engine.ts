// Finds the engine that an earlier daemon left behind, by its socket in the run directory, and proves whose it is: the kernel
// names process and user at the other end (SO_PEERCRED). Invariant: one daemon at a time is connected to an engine; who comes
// meanwhile waits in line and is told nothing.

import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { FabricError } from '../../base/errors.ts';
import { EngineProcess, lastWords } from './engine-process.ts';

/** Who an engine becomes when root starts it: kEngineId of native/engine/sandbox.cc. */
export const ENGINE_UID = 59783;
/** An engine greets within a tick of its control thread, 100 ms. */
const HELLO_MAX_MS = 2_000;

export interface EnginePlace {
  readonly socketPath: string;
  readonly logPath: string;
  /** Who is at the other end of a unix socket, as of its listen. */
  readonly peerCredentials: (socket: Socket) => { readonly pid: number; readonly uid: number };
}

/** Where the engine of a run directory is found. */
export function enginePlace(runDir: string, peerCredentials: EnginePlace['peerCredentials']): EnginePlace {
  return { socketPath: join(runDir, 'engine.sock'), logPath: join(runDir, 'engine.log'), peerCredentials };
}

/** `gone` says why an engine that left its socket is no more, null when there was none. */
export type LeftEngine =
  | { readonly socket: Socket; readonly pid: number; readonly gone?: undefined }
  | { readonly socket: null; readonly gone: string | null };

/** Connects, reads nothing yet. Rejects with `port-in-use` when somebody else sits on the socket. */
export async function findLeftEngine({ socketPath, logPath, peerCredentials }: EnginePlace): Promise<LeftEngine> {
  const socket = connect(socketPath);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { socket: null, gone: null };
    if (code !== 'ECONNREFUSED') throw engineFault(message);
    rmSync(socketPath, { force: true });
    return { socket: null, gone: lastWords(logPath) || 'it was killed: it left no word' };
  }
  const { pid, uid } = peerCredentials(socket);
  const own = process.geteuid?.() ?? 0;
  if (uid === (own === 0 ? ENGINE_UID : own)) return { socket, pid };
  socket.destroy();
  throw engineFault(`process ${pid} of user ${uid} listens on ${socketPath}`);
}

/**
 * Ends the engine that was left behind, of whatever version; true when there was one. Rejects with `port-in-use` when another
 * daemon controls it.
 */
export async function endLeftEngine(place: EnginePlace): Promise<boolean> {
  const left = await findLeftEngine(place);
  if (left.socket === null) return false;
  let greeted: () => void = () => undefined;
  const hello = new Promise<void>((resolve) => {
    greeted = resolve;
  });
  const engine = EngineProcess.adopt(
    left.socket,
    { pid: left.pid, logPath: place.logPath },
    {
      message: () => greeted(),
      ended: () => greeted(),
    },
  );
  await withinHelloTime(hello, left);
  await engine.stop();
  rmSync(place.socketPath, { force: true });
  return true;
}

/** `hello`, or a FabricError and no connection when it does not come. */
export async function withinHelloTime<T>(
  hello: Promise<T>,
  { socket, pid }: { socket: Socket; pid: number },
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      socket.destroy();
      reject(
        engineFault(`the engine that runs (process ${pid}) does not answer: another daemon controls it, or it hangs`),
      );
    }, HELLO_MAX_MS);
  });
  try {
    return await Promise.race([hello, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function engineFault(why: string): FabricError {
  return new FabricError('port-in-use', {
    what: "the engine of this run directory can't be taken over",
    why,
    fix: 'Stop that daemon or end that process; give this one a --run-dir of its own if both shall run',
  });
}
