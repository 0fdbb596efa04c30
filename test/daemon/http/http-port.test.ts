import { Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FabricError } from '../../../src/base/errors.ts';
import { HttpPort, type HttpRoutes, json } from '../../../src/daemon/http/http-port.ts';
import { ManualTimers } from '../../fakes/manual-timers.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import { eventually } from '../../lab/exec.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function get(
  port: number,
  path: string,
  { method = 'GET', headers = {}, agent = false }: { method?: string; headers?: object; agent?: Agent | false } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method, headers: { ...headers }, agent }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    call.on('error', reject);
    call.end(method === 'POST' ? 'x'.repeat(1000) : undefined);
  });
}

function dial(port: number): { readonly socket: Socket; readonly closed: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  ends.push(async () => void socket.destroy());
  socket.on('error', () => undefined); // a reset is an end, too
  socket.resume();
  return { socket, closed: new Promise((resolve) => socket.once('close', () => resolve())) };
}

async function serve(routes: HttpRoutes) {
  const port = await freePort();
  const log = new RecordingLog();
  const timers = new ManualTimers();
  const http = new HttpPort({
    address: { ip: '127.0.0.1', port },
    routes,
    holderOf: async () => 'weaver (process 7) on TCP 127.0.0.1:6784',
    timers,
    log,
  });
  ends.push(() => http.stop());
  return { http, port, log, timers };
}

describe('the HTTP port', () => {
  test('answers its paths, and tells browsers to be careful', async () => {
    const { http, port } = await serve({ '/a': ({ query }) => json({ q: query.get('q') }) });
    await http.start();
    expect(http.facts()).toEqual({ state: 'serving', address: `127.0.0.1:${port}`, reason: null });
    const { status, headers, body } = await get(port, '/a?q=1');
    expect([status, body]).toEqual([200, '{"q":"1"}']);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  test('TM27 refuses and counts', async () => {
    const { http, port, log } = await serve({
      '/a': () => json({}),
      '/busy': () => {
        throw new FabricError('limit', { what: 'too many' });
      },
      '/bug': () => {
        throw new Error('a secret of the program');
      },
    });
    await http.start();
    const statuses = [
      (await get(port, '/a', { method: 'POST' })).status,
      (await get(port, '/a', { headers: { host: 'evil.example' } })).status,
      (await get(port, '/a', { headers: { origin: 'http://evil.example' } })).status,
      (await get(port, '/a', { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'script' } })).status,
      (await get(port, '/toString')).status,
      (await get(port, '/busy')).status,
    ];
    expect(statuses).toEqual([405, 403, 403, 403, 404, 503]);
    expect(http.refused()).toMatchObject({ method: 1, host: 1, origin: 1, site: 1, path: 1, limit: 1 });
    const bug = await get(port, '/bug');
    expect([bug.status, bug.body.includes('secret')]).toEqual([500, false]);
    expect(log.lines.filter(({ level }) => level === 'error').length).toBe(1);
  });

  test('a port that is taken is tried again, and who holds it is said once', async () => {
    const { http, port, log, timers } = await serve({ '/a': () => json({}) });
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
    await http.start();
    expect(http.facts()).toMatchObject({
      state: 'failed',
      reason: 'the port is held by weaver (process 7) on TCP 127.0.0.1:6784',
    });
    timers.advance(2_000);
    await http.start();
    expect(log.lines.filter(({ level }) => level === 'warn').length).toBe(1);
    await new Promise<void>((resolve) => holder.close(() => resolve()));
    timers.advance(2_000);
    await http.start();
    expect(http.facts().state).toBe('serving');
    expect((await get(port, '/a')).status).toBe(200);
  });

  test('TM27 calls of one connection one after the other: whoever sends many at once is cut off', async () => {
    let calls = 0;
    const body = 'x'.repeat(4 << 20);
    const { http, port } = await serve({
      '/large': () => {
        calls++;
        return { type: 'text/plain', body };
      },
    });
    await http.start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    ends.push(async () => agent.destroy());
    for (let i = 0; i < 3; i++) expect((await get(port, '/large', { agent })).body.length).toBe(body.length);
    expect([calls, http.refused().limit]).toEqual([3, 0]);
    const { socket, closed } = dial(port);
    socket.write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000));
    await closed;
    expect(calls).toBe(4);
    expect(http.refused().limit).toBeGreaterThan(0);
  });

  test('TM27 an answer that nobody reads is not kept for ever', async () => {
    const { http, port, timers } = await serve({
      '/large': () => ({ type: 'text/plain', body: 'x'.repeat(16 << 20) }),
    });
    await http.start();
    const { socket, closed } = dial(port);
    socket.pause();
    socket.write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await eventually('the answer is under way', () => timers.pending > 0);
    timers.advance(60_000);
    socket.resume();
    await closed;
    expect(timers.pending).toBe(0);
  });

  test('an end does not wait for who is connected', async () => {
    const { http, port } = await serve({
      '/wait': ({ closed }) =>
        new Promise((resolve) => {
          closed.addEventListener('abort', () => resolve(json({})));
        }),
    });
    await http.start();
    const call = get(port, '/wait');
    const failed = expect(call).rejects.toThrow();
    await new Promise((resolve) => setImmediate(resolve));
    await http.stop();
    await failed;
  });
});
