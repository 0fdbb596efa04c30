// The CLI's only way to the daemon: HTTP/JSON over its unix socket. Errors of the daemon arrive as FabricErrors with the
// code that the daemon gave; a socket that nobody answers is `daemon-unreachable` (exit code 3).

import { request } from 'node:http';
import { type ErrorCode, type Explanation, FabricError } from '../base/errors.ts';

const BODY_BYTES_MAX = 64 << 20;
/** Of what the daemon has at hand: milliseconds, some seconds on a host that is far too busy. */
export const READ_MS_MAX = 15_000;
/** Longer than the daemon's own limit of any operation. */
const CHANGE_MS_MAX = 90_000;

export interface CallOptions {
  readonly body?: unknown;
  /** Without a sign of life; default 15 s to read, 90 s to change. */
  readonly timeoutMs?: number;
}

export class DaemonClient {
  readonly socketPath: string;

  constructor(runDir: string) {
    this.socketPath = `${runDir}/fabric.sock`;
  }

  get<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.#call<T>('GET', path, { timeoutMs: READ_MS_MAX, ...options });
  }

  post<T>(path: string, body: unknown = {}, options: CallOptions = {}): Promise<T> {
    return this.#call<T>('POST', path, { ...options, body });
  }

  #call<T>(method: string, path: string, { body, timeoutMs = CHANGE_MS_MAX }: CallOptions): Promise<T> {
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
      call.on('timeout', () => call.destroy(this.#silent(timeoutMs)));
      call.on('error', (error: NodeJS.ErrnoException) => reject(this.#unreachable(error)));
      call.end(payload);
    });
  }

  #silent(timeoutMs: number): FabricError {
    return new FabricError('timeout', {
      what: `the fabric daemon did not answer within ${Math.ceil(timeoutMs / 1000)} s`,
      why: `it holds ${this.socketPath}, but it is stopped, hangs, or gets no CPU time`,
      fix: 'See what its process does (ps, top) and what its log says; to start it again interrupts no container',
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

/** It is not there, or it does not answer: who waits for it goes on waiting. */
export function isAbsent(error: unknown): boolean {
  return error instanceof FabricError && (error.code === 'daemon-unreachable' || error.code === 'timeout');
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
