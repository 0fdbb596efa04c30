// An engine that was left behind, before a word is said: whether it is there, whose it is, and why it is gone. What is said then
// is tested with real engines in test/e2e/engine-alone.ts.

import { existsSync, linkSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ENGINE_UID, enginePlace, findLeftEngine } from '../../../src/router/engine/left-engine.ts';

const own = process.geteuid!();
/** Who an engine of ours is: it leaves root for a user of its own. */
const engineUid = own === 0 ? ENGINE_UID : own;

let runDir: string;
let server: Server | null = null;

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'fabric-left-'));
});
afterEach(async () => {
  if (server !== null) await new Promise((resolve) => server!.close(resolve));
  server = null;
  rmSync(runDir, { recursive: true });
});

/** The kernel says that this user listens. */
const place = (uid: number) => enginePlace(runDir, () => ({ pid: 4711, uid }));

/** Told nothing by who is not to be told anything. */
async function listen(): Promise<{ told: string[]; closed: Promise<void> }> {
  const told: string[] = [];
  let close: () => void;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  server = createServer((socket) => {
    socket.on('data', (bytes) => told.push(bytes.toString('hex')));
    socket.once('close', () => close());
  });
  await new Promise<void>((resolve) => server!.listen(join(runDir, 'engine.sock'), resolve));
  return { told, closed };
}

/** A socket file that nobody listens on any more. */
async function leaveSocket(): Promise<string> {
  const path = join(runDir, 'engine.sock');
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(`${path}.old`, resolve));
  linkSync(`${path}.old`, path);
  await new Promise((resolve) => gone.close(resolve));
  return path;
}

test('there was none', async () => {
  expect(await findLeftEngine(place(engineUid))).toEqual({ socket: null, gone: null });
});

test('it is there: its process, and nothing said yet', async () => {
  const { told } = await listen();
  const { socket, pid } = (await findLeftEngine(place(engineUid))) as { socket: Socket; pid: number };
  expect([pid, socket.isPaused() || !socket.readableFlowing, told]).toEqual([4711, true, []]);
  socket.destroy();
});

test.each([
  [
    'with its last words',
    'started\nfabric-engine ended: no daemon came back\n',
    'fabric-engine ended: no daemon came back',
  ],
  ['without a word', '', 'it was killed: it left no word'],
])('it is gone, %s: its socket is removed', async (_, log, gone) => {
  const path = await leaveSocket();
  writeFileSync(join(runDir, 'engine.log'), log);
  expect(await findLeftEngine(place(engineUid))).toEqual({ socket: null, gone });
  expect(existsSync(path)).toBe(false);
});

test('another user listens: it is told nothing, and the launch fails', async () => {
  const { told, closed } = await listen();
  await expect(findLeftEngine(place(engineUid + 1))).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(`process 4711 of user ${engineUid + 1} listens`),
  });
  await closed;
  expect(told).toEqual([]);
  expect(existsSync(join(runDir, 'engine.sock'))).toBe(true);
});
