// The CLI's only way to the daemon: HTTP/JSON over its unix socket. Errors of the daemon arrive as FabricErrors with the
// code that the daemon gave; a socket that nobody answers is `daemon-unreachable` (exit code 3).

import { request } from 'node:http';
import { type ErrorCode, type Explanation, FabricError } from '../base/errors.ts';

const BODY_BYTES_MAX = 64 << 20;

export interface CallOptions {
  readonly body?: unknown;
  /** Default 90 s: longer than the daemon's own limit of any operation. */
  readonly timeoutMs?: number;
}

export class DaemonClient {
  readonly socketPath: string;

  constructor(runDir: string) {
    this.socketPath = `${runDir}/fabric.sock`;
  }

  get<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.#call<T>('GET', path, options);
  }

  post<T>(path: string, body: unknown = {}, options: CallOptions = {}): Promise<T> {
    return this.#call<T>('POST', path, { ...options, body });
  }

  #call<T>(method: string, path: string, { body, timeoutMs = 90_000 }: CallOptions): Promise<T> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const call = request(
        {
          socketPath: this.socketPath,
          // A connection for each call: a daemon that ended may have closed one that was kept.
          agent: false,
          method,
          path,
          timeout: timeoutMs,
          headers:
            payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length },
        },
        (response) => {
          const chunks: Buffer[] = [];
          let length = 0;
          response.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length > BODY_BYTES_MAX) call.destroy(new Error('the answer is too large'));
            else chunks.push(chunk);
          });
          response.on('error', reject);
          response.on('end', () => {
            try {
              const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || 'null');
              if (response.statusCode === 200) resolve(value as T);
              else reject(errorFrom(value, response.statusCode ?? 0));
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      call.on('timeout', () =>
        call.destroy(new FabricError('timeout', { what: `the daemon did not answer ${path} in time` })),
      );
      call.on('error', (error: NodeJS.ErrnoException) => reject(this.#unreachable(error)));
      call.end(payload);
    });
  }

  #unreachable(error: NodeJS.ErrnoException): Error {
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
      return new FabricError('daemon-unreachable', {
        what: `no fabric daemon answers on ${this.socketPath}`,
        why: error.code === 'ENOENT' ? 'the socket does not exist' : 'nobody listens on the socket',
        fix: 'Start one with `fabric launch`, or name its run directory with --run-dir',
      });
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      return new FabricError('not-root', {
        what: `the daemon's socket ${this.socketPath} may not be opened`,
        why: 'it is open to root only',
        fix: 'Run the command as root (sudo)',
      });
    }
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') {
      return new FabricError('daemon-unreachable', { what: 'the daemon ended before it answered' }, { cause: error });
    }
    return error;
  }
}

function errorFrom(value: unknown, status: number): Error {
  const error = (value as { error?: { code?: string } & Partial<Explanation> } | null)?.error;
  if (typeof error?.code === 'string' && typeof error.what === 'string') {
    const { what, why, fix } = error;
    return new FabricError(error.code as ErrorCode, {
      what,
      ...(why === undefined ? {} : { why }),
      ...(fix === undefined ? {} : { fix }),
    });
  }
  return new FabricError('internal', { what: `the daemon answered with HTTP status ${status}` });
}
