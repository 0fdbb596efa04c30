import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { DaemonClient } from '../../src/cli/client.ts';
import { type ApiRoutes, LocalApi, localApiPlace } from '../../src/daemon/local-api.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

let runDir: string;
let api: LocalApi;

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'fabric-api-'));
});
afterEach(async () => {
  await api.close(0);
  rmSync(runDir, { recursive: true });
});

async function serve(routes: ApiRoutes): Promise<DaemonClient> {
  api = new LocalApi({ ...localApiPlace(runDir), log: new RecordingLog(), routes });
  await api.listen();
  return new DaemonClient(runDir);
}

describe('the local API', () => {
  test('carries a body there and a value back', async () => {
    const client = await serve({ 'POST /v1/echo': ({ body }) => ({ got: body }) });
    expect(await client.post('/v1/echo', { a: [1] })).toEqual({ got: { a: [1] } });
  });

  test('carries a FabricError with code and explanation', async () => {
    const client = await serve({
      'GET /v1/x': () => {
        throw new FabricError('address-exhausted', { what: 'none left', why: 'all used', fix: 'add' });
      },
    });
    await expect(client.get('/v1/x')).rejects.toMatchObject({
      code: 'address-exhausted',
      explanation: { what: 'none left', why: 'all used', fix: 'add' },
    });
  });

  test('answers 404 and bad JSON with an error and lives on', async () => {
    const client = await serve({ 'GET /v1/ok': () => ({}) });
    await expect(client.get('/v1/none')).rejects.toMatchObject({ code: 'usage' });
    expect(await client.get('/v1/ok')).toEqual({});
  });

  test('a bug in a handler is an internal error, logged', async () => {
    const client = await serve({
      'GET /v1/bug': () => {
        throw new Error('oops');
      },
    });
    await expect(client.get('/v1/bug')).rejects.toMatchObject({ code: 'internal' });
  });

  test('TM27 the socket is open to its owner only', async () => {
    await serve({});
    expect(statSync(join(runDir, 'fabric.sock')).mode & 0o777).toBe(0o600);
  });

  test('a second daemon is refused, a dead socket is replaced', async () => {
    await serve({});
    const second = new LocalApi({ ...localApiPlace(runDir), log: new RecordingLog(), routes: {} });
    await expect(second.listen()).rejects.toMatchObject({ code: 'daemon-running' });
    await api.close(0);
    writeFileSync(join(runDir, 'fabric.sock'), '');
    const client = await serve({ 'GET /v1/ok': () => ({}) });
    expect(await client.get('/v1/ok')).toEqual({});
  });

  test('a caller that hangs up closes its call', async () => {
    let closed: AbortSignal | undefined;
    const client = await serve({
      'GET /v1/slow': (call) => {
        closed = call.closed;
        return new Promise((resolve) => call.closed.addEventListener('abort', resolve));
      },
    });
    await expect(client.get('/v1/slow', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'timeout' });
    await expect.poll(() => closed?.aborted).toBe(true);
  });

  test('nobody listening is daemon-unreachable', async () => {
    await serve({});
    await expect(new DaemonClient(join(runDir, 'nowhere')).get('/v1/x')).rejects.toMatchObject({
      code: 'daemon-unreachable',
    });
  });
});
