import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DockerApi } from '../../../src/host/docker/docker-api.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

type Answer = (path: string, response: ServerResponse) => void;

/** A Docker that answers so. */
async function serve(answer: Answer): Promise<DockerApi> {
  const socketPath = join(temporaryDirectory(), 'docker.sock');
  const server = createServer((request, response) => answer(request.url ?? '', response));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return new DockerApi(socketPath);
}

const never = new AbortController().signal;

describe('one answer', () => {
  test('is parsed; null is what is not there', async () => {
    const api = await serve((path, response) => {
      response.statusCode = path === '/networks/none' ? 404 : 200;
      response.end(JSON.stringify({ path }));
    });
    expect(await api.get('/networks')).toEqual({ path: '/networks' });
    expect(await api.get('/networks/none')).toBeNull();
  });

  test.each<[string, Answer, RegExp]>([
    ['an error of Docker', (_path, response) => void response.writeHead(500).end('{}'), /status 500/],
    ['no JSON', (_path, response) => void response.end('<html>'), /JSON/],
    ['an answer without end', (_path, response) => void response.end(Buffer.alloc(9 << 20, 32)), /longer than/],
    ['a connection that breaks', (_path, response) => void response.write('{', () => response.destroy()), /aborted/],
  ])('%s is an error with its reason', async (_name, answer, reason) => {
    const api = await serve(answer);
    await expect(api.get('/networks')).rejects.toThrow(reason);
  });

  test('without Docker it is an error, too', async () => {
    await expect(new DockerApi(join(temporaryDirectory(), 'docker.sock')).get('/')).rejects.toThrow(/ENOENT/);
  });
});

describe('events', () => {
  /** Hears until the stream ends; `opened` stands in front of what was heard. */
  async function hear(api: DockerApi, stopped: AbortSignal = never): Promise<unknown[]> {
    const heard: unknown[] = [];
    const hearing = {
      opened: () => void heard.push('opened'),
      event: (event: unknown) => void heard.push(event),
      stopped,
    };
    await api.events({ type: ['network'] }, hearing);
    return heard;
  }

  test('come one by one, however they are cut, with the filters that were asked for', async () => {
    const paths: string[] = [];
    const api = await serve((path, response) => {
      paths.push(decodeURIComponent(path));
      response.write('{"n":1}\n{"n"', () => response.end(':2}\n\n{"n":3}\n'));
    });
    expect(await hear(api)).toEqual(['opened', { n: 1 }, { n: 2 }, { n: 3 }]);
    expect(paths).toEqual(['/events?filters={"type":["network"]}']);
  });

  test('that are refused or damaged end with the reason', async () => {
    const refusing = await serve((_path, response) => void response.writeHead(503).end());
    await expect(hear(refusing)).rejects.toThrow(/status 503/);
    const damaged = await serve((_path, response) => void response.end('{"n":1}\n{broken\n'));
    await expect(hear(damaged)).rejects.toThrow(/JSON/);
  });

  test('end without an error when nobody wants them any more', async () => {
    const stop = new AbortController();
    const api = await serve((_path, response) => void response.write('{"n":1}\n'));
    const heard: unknown[] = [];
    const event = (value: unknown): void => {
      heard.push(value);
      stop.abort();
    };
    await api.events({}, { opened: () => undefined, event, stopped: stop.signal });
    expect(heard).toEqual([{ n: 1 }]);
    const before = await serve((_path, response) => void response.write('\n'));
    const stopped = new AbortController();
    stopped.abort();
    expect(await hear(before, stopped.signal)).toEqual([]);
  });
});
