// HTTP/JSON on a unix socket of the daemon's: the local API (docs/openapi.json), the only door for the CLI and the CNI plugin, and
// the socket on which Docker finds its plugin. Each is 0600 in a 0700 directory, so that the kernel decides who may speak;
// bodies are bounded; an error of a handler becomes a JSON error with its stable code, never a crash.

import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Log } from '../base/capabilities.ts';
import { type Explanation, FabricError } from '../base/errors.ts';

/** A CNI plugin may send 16 MiB of standard input, which base64 makes a third larger. */
const BODY_BYTES_MAX = 24 << 20;
const CONNECTIONS_MAX = 1024;
/** A CNI shim is silent for up to 60 s while it runs an IPAM plugin for us. */
const IDLE_MS_MAX = 75_000;

export interface ApiCall {
  /** The parsed JSON body; undefined when there was none. */
  readonly body: unknown;
  readonly query: URLSearchParams;
  /** Fires when the caller's connection closes; the same signal for all calls of one connection. */
  readonly closed: AbortSignal;
  /** Descriptor of the connection, for SO_PEERCRED. */
  readonly socketFd: number;
}

/** What a handler returns is sent as JSON with status 200. */
export type ApiHandler = (call: ApiCall) => unknown;
/** Keys are `GET /v1/status` and the like. */
export type ApiRoutes = Readonly<Record<string, ApiHandler>>;

export interface LocalApiOptions {
  readonly socketPath: string;
  readonly taken: Explanation;
  readonly log: Log;
  readonly routes: ApiRoutes;
}

/** Where the CLI and the CNI plugin find the daemon of that run directory. */
export function localApiPlace(runDir: string): Pick<LocalApiOptions, 'socketPath' | 'taken'> {
  return {
    socketPath: `${runDir}/fabric.sock`,
    taken: {
      what: `a fabric daemon already runs with the run directory ${runDir}`,
      fix: 'Use it, stop it with `fabric stop`, or give this one another --run-dir and --state-dir',
    },
  };
}

export class LocalApi {
  readonly #socketPath: string;
  readonly #taken: Explanation;
  readonly #log: Log;
  readonly #server: Server;
  readonly #closed = new WeakMap<Socket, AbortSignal>();
  #routes: ApiRoutes;

  /** `taken`: what to say when another process answers on the socket. */
  constructor({ socketPath, taken, log, routes }: LocalApiOptions) {
    this.#socketPath = socketPath;
    this.#taken = taken;
    this.#log = log;
    this.#routes = routes;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.requestTimeout = 60_000;
    this.#server.keepAliveTimeout = IDLE_MS_MAX;
    this.#server.on('connection', (socket) => {
      const closed = new AbortController();
      socket.once('close', () => closed.abort());
      this.#closed.set(socket, closed.signal);
    });
  }

  /** Replaces all routes: more of them are there once the host is a member of its cluster. */
  setRoutes(routes: ApiRoutes): void {
    this.#routes = routes;
  }

  /** Rejects with `daemon-running` when another daemon answers on the socket; a dead socket file is replaced. */
  async listen(): Promise<void> {
    mkdirSync(dirname(this.#socketPath), { recursive: true, mode: 0o700 });
    if (await somebodyAnswers(this.#socketPath)) throw new FabricError('daemon-running', this.#taken);
    rmSync(this.#socketPath, { force: true });
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(this.#socketPath, resolve);
      });
      this.#server.on('error', ({ message: reason }) => this.#log.error('a local call was not accepted', { reason }));
    } finally {
      process.umask(umask);
    }
    chmodSync(this.#socketPath, 0o600);
  }

  /** Refuses new calls, ends idle connections; calls under way get `graceMs` to finish. */
  async close(graceMs = 2_000): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
    rmSync(this.#socketPath, { force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://fabric');
      const handler = this.#routes[`${request.method} ${url.pathname}`];
      if (handler === undefined) {
        answer(response, 404, {
          error: { code: 'usage', what: `there is no ${request.method} ${url.pathname}` },
        });
        return;
      }
      const body = await readJson(request);
      const socketFd = descriptorOf(request.socket);
      const closed = this.#closed.get(request.socket) ?? AbortSignal.abort();
      const value = await handler({ body, query: url.searchParams, closed, socketFd });
      answer(response, 200, value ?? {});
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (error instanceof FabricError) {
      const status = error.code === 'usage' ? 400 : 409;
      answer(response, status, { error: { code: error.code, ...error.explanation } });
      return;
    }
    this.#log.error('a local API call failed', { path: request.url, reason: String((error as Error).stack ?? error) });
    answer(response, 500, {
      error: {
        code: 'internal',
        what: `${request.method} ${request.url} failed`,
        why: String((error as Error).message),
      },
    });
  }
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed) return;
  const payload = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': payload.length });
  response.end(payload);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX)
      throw new FabricError('limit', { what: `the request is larger than ${BODY_BYTES_MAX} bytes` });
    chunks.push(chunk);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new FabricError('usage', { what: 'the request is no JSON', why: (error as Error).message });
  }
}

/** Node keeps the descriptor in a handle that its types do not show; -1 when the connection is gone already. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' ? fd : -1;
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK') resolve(false);
      else reject(error);
    });
  });
}
