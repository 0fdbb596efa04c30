// Docker's HTTP API on its unix socket, read only: one answer, or the stream of events. Docker may be absent, starting, or busy
// for long: every call has a time-out and a limit of size, and whatever goes wrong is one error with its reason.

import { type ClientRequest, type IncomingMessage, request } from 'node:http';

const DOCKER_SOCKET = '/var/run/docker.sock';
/** While a container starts, Docker does not answer questions about it. */
const ANSWER_MS_MAX = 10_000;
/** Of a network with a thousand containers, a tenth of that. */
const ANSWER_BYTES_MAX = 8 << 20;
/** One event is a line of a few hundred bytes. */
const EVENT_CHARS_MAX = 1 << 20;

export class DockerApi {
  readonly #socketPath: string;

  constructor(socketPath = DOCKER_SOCKET) {
    this.#socketPath = socketPath;
  }

  /** The parsed body; null when Docker says that there is no such thing (404). Rejects with the reason in words. */
  async get(path: string): Promise<unknown> {
    const { call, response } = await this.#open(path);
    call.setTimeout(ANSWER_MS_MAX, () => call.destroy(new Error('Docker does not answer')));
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > ANSWER_BYTES_MAX)
        throw new Error(`Docker's answer to ${path} is longer than ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    if (response.statusCode === 404) return null;
    if (response.statusCode !== 200) throw new Error(`Docker answers ${path} with status ${response.statusCode}`);
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  }

  /**
   * Calls `event` for each one that comes, until Docker ends, `stopped` fires or the stream is damaged; resolves then. `opened` is
   * called once before: from there on nothing is missed. Rejects when there is no stream to be had.
   */
  async events(
    filters: Readonly<Record<string, readonly string[]>>,
    { opened, event, stopped }: { opened(): void; event(value: unknown): void; readonly stopped: AbortSignal },
  ): Promise<void> {
    const { call, response } = await this.#open(`/events?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    const stop = (): void => void call.destroy();
    stopped.addEventListener('abort', stop, { once: true });
    try {
      if (stopped.aborted) return stop();
      if (response.statusCode !== 200) throw new Error(`Docker answers /events with status ${response.statusCode}`);
      opened();
      await readLines(response, event);
    } catch (error) {
      if (!stopped.aborted) throw error;
    } finally {
      stopped.removeEventListener('abort', stop);
      stop();
    }
  }

  #open(path: string): Promise<{ call: ClientRequest; response: IncomingMessage }> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socketPath, path, headers: { host: 'docker' } }, (response) => {
        call.setTimeout(0);
        resolve({ call, response });
      });
      call.setTimeout(ANSWER_MS_MAX, () => call.destroy(new Error('Docker does not answer')));
      call.on('error', reject);
      call.end();
    });
  }
}

async function readLines(response: IncomingMessage, line: (value: unknown) => void): Promise<void> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > EVENT_CHARS_MAX) throw new Error('an event of Docker has no end');
    for (const text of lines) if (text.trim() !== '') line(JSON.parse(text) as unknown);
  }
}
