// The HTTP port: metrics, health, status, events, for reading only. Bounded in connections, time and size, because every process
// of the host can reach it; what is refused is counted by reason. A port that another program holds keeps nobody from the
// cluster: it is tried again, and status names the holder.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Cancel, Log, Timers } from '../../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../../base/endpoint.ts';
import { FabricError } from '../../base/errors.ts';
import { PortHolders } from '../port-holders.ts';
import { Reconciler } from '../reconciler.ts';
import type { HttpFacts } from '../status-types.ts';
import { type Refusal, refusalOf } from './request-guard.ts';

/** Browsers, a scraper or two, and followers of events. */
const CONNECTIONS_MAX = 128;
const HEADER_BYTES_MAX = 8 << 10;
const HEADERS_MS_MAX = 5_000;
const REQUEST_MS_MAX = 10_000;
const IDLE_MS_MAX = 5_000;
/** Until an answer is read, also by a slow tunnel: it stays in memory so long. */
const ANSWER_MS_MAX = 60_000;
/** Between two tries at a port that is taken. */
const RETRY_MS = 2_000;

/** Nothing here is to be framed, guessed, cached or read by another origin. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export interface HttpAnswer {
  readonly status?: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpCall {
  readonly query: URLSearchParams;
  /** Fires when the caller is gone. */
  readonly closed: AbortSignal;
}

/** Keys are paths. */
export type HttpRoutes = Readonly<Record<string, (call: HttpCall) => HttpAnswer | Promise<HttpAnswer>>>;

export interface HttpPortPorts {
  readonly address: Endpoint;
  readonly routes: HttpRoutes;
  /** Who holds that TCP port, in words; null: nobody. */
  holderOf(address: Endpoint): Promise<string | null>;
  readonly timers: Timers;
  readonly log: Log;
}

export type RefusalReason = Refusal['reason'] | 'malformed' | 'path' | 'limit';

export class HttpPort {
  readonly #ports: HttpPortPorts;
  readonly #refused: Record<RefusalReason, number> = {
    method: 0,
    host: 0,
    origin: 0,
    site: 0,
    malformed: 0,
    path: 0,
    limit: 0,
  };
  readonly #holders: PortHolders;
  readonly #opener: Reconciler;
  /** Connections with a call under way. */
  readonly #busy = new WeakSet<Socket>();
  #server: Server | null = null;
  #fault: string | null = 'not opened yet';
  #retry: Cancel = () => undefined;

  constructor(ports: HttpPortPorts) {
    this.#ports = ports;
    this.#holders = new PortHolders(() => ports.holderOf(ports.address));
    this.#opener = new Reconciler(
      () => this.#open(),
      (reason) => ports.log.error('the HTTP port could not be opened', { reason }),
    );
  }

  /** Resolves after the first try, whatever came of it. */
  start(): Promise<void> {
    return this.#opener.run();
  }

  /** Ends calls under way. */
  async stop(): Promise<void> {
    this.#retry();
    await this.#opener.stop();
    const server = this.#server;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  /** What status says of it. */
  facts(): HttpFacts {
    const reason = this.#opener.fault ?? this.#fault;
    return { state: reason === null ? 'serving' : 'failed', address: formatEndpoint(this.#ports.address), reason };
  }

  /** Requests that were not answered, by reason. */
  refused(): Readonly<Record<RefusalReason, number>> {
    return { ...this.#refused };
  }

  async #open(): Promise<void> {
    if (this.#server !== null) return;
    const { address, log } = this.#ports;
    try {
      this.#server = await this.#listen();
      if (this.#fault !== null) log.info('HTTP is served', { address: formatEndpoint(address) });
      this.#fault = null;
    } catch (error) {
      const reason = await this.#describe(error as NodeJS.ErrnoException);
      if (this.#fault !== reason) log.warn('HTTP is not served', { reason });
      this.#fault = reason;
      this.#retry = this.#ports.timers.after(RETRY_MS, () => this.#opener.request());
    }
  }

  async #describe(error: NodeJS.ErrnoException): Promise<string> {
    const { address } = this.#ports;
    if (error.code === 'EADDRNOTAVAIL') return `${address.ip} is no address of this host`;
    const holder = error.code === 'EADDRINUSE' ? await this.#holders.holderOf(formatEndpoint(address)) : null;
    return holder === null ? error.message : `the port is held by ${holder}`;
  }

  #listen(): Promise<Server> {
    const { ip, port } = this.#ports.address;
    const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
      void this.#serve(request, response);
    });
    server.maxConnections = CONNECTIONS_MAX;
    server.headersTimeout = HEADERS_MS_MAX;
    server.requestTimeout = REQUEST_MS_MAX;
    server.keepAliveTimeout = IDLE_MS_MAX;
    server.on('clientError', (_error, socket) => {
      this.#refused.malformed++;
      socket.destroy();
    });
    server.on('drop', () => {
      this.#refused.limit++;
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: ip, port }, () => {
        server.off('error', reject);
        server.on('error', ({ message }) =>
          this.#ports.log.error('an HTTP call was not accepted', { reason: message }),
        );
        resolve(server);
      });
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume(); // a body is of no meaning here, and what it may cost is bounded by time
    const { socket } = request;
    if (this.#busy.has(socket)) {
      // One segment holds a thousand calls, and Node would have all of their answers made at once. No browser pipelines.
      this.#refused.limit++;
      socket.destroy();
      return;
    }
    this.#busy.add(socket);
    const closed = new AbortController();
    response.once('close', () => {
      this.#busy.delete(socket);
      closed.abort();
    });
    try {
      this.#send(response, await this.#answer(request, closed.signal));
    } catch (error) {
      this.#send(response, this.#failure(request, error));
    }
  }

  #send(response: ServerResponse, { status = 200, type, body, headers = {} }: HttpAnswer): void {
    if (response.destroyed) return;
    const payload = typeof body === 'string' ? Buffer.from(body) : body;
    response.once(
      'close',
      this.#ports.timers.after(ANSWER_MS_MAX, () => response.destroy()),
    );
    response.writeHead(status, { ...HEADERS, ...headers, 'content-type': type, 'content-length': payload.length });
    response.end(payload);
  }

  #answer(request: IncomingMessage, closed: AbortSignal): HttpAnswer | Promise<HttpAnswer> {
    const { headers, method = '', socket } = request;
    const refusal = refusalOf({
      method,
      host: headers.host,
      origin: headers.origin,
      site: one(headers['sec-fetch-site']),
      destination: one(headers['sec-fetch-dest']),
      localAddress: socket.localAddress ?? '',
    });
    if (refusal !== null) return this.#refuse(refusal.reason, refusal.status, refusal.why);
    const [path = '', query = ''] = (request.url ?? '/').split('?', 2);
    const route = Object.hasOwn(this.#ports.routes, path) ? this.#ports.routes[path] : undefined;
    if (route !== undefined) return route({ query: new URLSearchParams(query), closed });
    return this.#refuse('path', 404, `there is: ${Object.keys(this.#ports.routes).join(' ')}`);
  }

  #refuse(reason: RefusalReason, status: number, why: string): HttpAnswer {
    this.#refused[reason]++;
    return { status, type: 'text/plain; charset=utf-8', body: `${why}\n`, ...(status === 405 ? ALLOW : {}) };
  }

  #failure({ url }: IncomingMessage, error: unknown): HttpAnswer {
    if (!(error instanceof FabricError)) {
      const reason = String((error as Error).stack ?? error);
      this.#ports.log.error('an HTTP call failed', { path: url?.slice(0, 200) ?? '', reason });
      return json({ error: { code: 'internal', what: 'the call failed; the log says why' } }, 500);
    }
    const { code, explanation } = error;
    if (code === 'limit') this.#refused.limit++;
    return json({ error: { code, ...explanation } }, code === 'usage' ? 400 : 503);
  }
}

const ALLOW = { headers: { allow: 'GET' } };

export function json(value: unknown, status = 200): HttpAnswer {
  return { status, type: 'application/json', body: JSON.stringify(value) };
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
