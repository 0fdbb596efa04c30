import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FramedMessages, frameMessage } from '../../../src/host/dns/framed-messages.ts';
import { openNameSocket } from '../../../src/host/dns/name-sockets.ts';
import { describePortHolder } from '../../../src/host/dns/port-holder.ts';
import { exchange } from '../../../src/host/dns/upstream-sockets.ts';
import { eventually } from '../../lab/exec.ts';

const HOST = '127.0.0.1';
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A port that is free now, by UDP and most likely by TCP. */
async function freePort(): Promise<number> {
  const probe = createSocket('udp4');
  await new Promise<void>((resolve) => probe.bind(0, HOST, resolve));
  const { port } = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}

/** Answers each message with itself and a zero behind it. */
async function echo() {
  const port = await freePort();
  const askers: { readonly ip: string; readonly transport: string }[] = [];
  const socket = await openNameSocket(
    HOST,
    (message, asker, reply) => {
      askers.push(asker);
      reply(Uint8Array.of(...message, 0));
    },
    () => undefined,
    port,
  );
  closing.push(() => socket.close());
  return { port, askers, socket };
}

function ask(port: number, transport: 'udp' | 'tcp', message: Uint8Array): Promise<Uint8Array | 'failed'> {
  return new Promise((resolve) => {
    const cancel = exchange({
      server: { ip: HOST, port },
      transport,
      message,
      received: (answer) => {
        cancel();
        resolve(new Uint8Array(answer));
      },
      failed: () => resolve('failed'),
    });
  });
}

describe('asker and server', () => {
  test.each(['udp', 'tcp'] as const)('by %s', async (transport) => {
    const { port, askers } = await echo();
    expect(await ask(port, transport, Uint8Array.of(1, 2, 3))).toEqual(Uint8Array.of(1, 2, 3, 0));
    expect(askers).toEqual([{ ip: HOST, transport }]);
  });

  test.each(['udp', 'tcp'] as const)('by %s, where nobody listens: failed, once', async (transport) => {
    expect(await ask(await freePort(), transport, Uint8Array.of(1))).toBe('failed');
  });

  test('a port that is taken is an error, and nothing is left open', async () => {
    const { port } = await echo();
    const again = openNameSocket(
      HOST,
      () => undefined,
      () => undefined,
      port,
    );
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('a TCP port that is taken frees the UDP port again', async () => {
    const { port, socket } = await echo();
    await socket.close();
    const squatter = connectable(port);
    await squatter.ready;
    const tried = openNameSocket(
      HOST,
      () => undefined,
      () => undefined,
      port,
    );
    await expect(tried).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await squatter.close();
    const now = await openNameSocket(
      HOST,
      () => undefined,
      () => undefined,
      port,
    );
    await now.close();
  });

  test.each(['udp', 'tcp'] as const)(
    'by %s: an answer that comes when the server is closed harms nobody',
    async (transport) => {
      const port = await freePort();
      const replies: ((answer: Uint8Array) => void)[] = [];
      const socket = await openNameSocket(
        HOST,
        (_message, _asker, reply) => void replies.push(reply),
        () => undefined,
        port,
      );
      const server = { ip: HOST, port };
      const nothing = () => undefined;
      closing.push(exchange({ server, transport, message: Uint8Array.of(1), received: nothing, failed: nothing }));
      await eventually('the question is there', () => replies.length === 1);
      await socket.close();
      expect(() => replies[0]!(Uint8Array.of(2))).not.toThrow();
    },
  );

  test('many questions at once: all are answered, and others have their turn between', async () => {
    const port = await freePort();
    const [asked, longest] = [1000, { run: 0 }];
    let run = 0;
    let answered = 0;
    const socket = await openNameSocket(
      HOST,
      (message, _asker, reply) => {
        if (run++ === 0) setImmediate(() => (run = 0));
        longest.run = Math.max(longest.run, run);
        answered++;
        reply(message);
      },
      () => undefined,
      port,
    );
    closing.push(() => socket.close());
    const connection = connect(port, HOST);
    closing.push(() => void connection.destroy());
    const answers = new FramedMessages();
    let heard = 0;
    connection.on('data', (chunk) => (heard += answers.push(chunk).length));
    const one = frameMessage(Uint8Array.of(1, 2, 3, 4));
    connection.write(Buffer.concat(Array.from({ length: asked }, () => one)));
    await eventually('all answers are there', () => heard === asked);
    expect(answered).toBe(asked);
    expect(longest.run).toBeLessThanOrEqual(8);
  });

  test('an asker that reads nothing is cut off, and its questions are not looked at any more', async () => {
    const port = await freePort();
    let looked = 0;
    const socket = await openNameSocket(
      HOST,
      (_message, _asker, reply) => {
        looked++;
        reply(new Uint8Array(60_000));
      },
      () => undefined,
      port,
    );
    closing.push(() => socket.close());
    const connection = connect(port, HOST);
    const ended = new Promise<void>((resolve) => connection.once('close', () => resolve()));
    connection.on('error', () => undefined); // a reset is an end, too
    connection.pause();
    const one = frameMessage(Uint8Array.of(1, 2, 3, 4));
    connection.write(Buffer.concat(Array.from({ length: 10_000 }, () => one)));
    const isCut = () => {
      connection.write(Uint8Array.of(0)); // who does not read sees only so that nobody is there
      return connection.errored !== null;
    };
    await eventually('it is cut off', isCut);
    await ended;
    expect(looked).toBeLessThan(1_000);
  });

  test('one asker has a bounded number of connections', async () => {
    const { port } = await echo();
    const connections: Socket[] = [];
    closing.push(() => {
      for (const connection of connections) connection.destroy();
    });
    let ended = 0;
    for (let i = 0; i < 20; i++) {
      const connection = connect(port, HOST);
      connection.on('close', () => ended++);
      connection.on('error', () => undefined); // a reset is an end, too
      connections.push(connection);
    }
    await eventually('those beyond are cut off', () => ended === 4);
  });
});

test('the holder of a port has a name, and nobody holds a free one', async () => {
  const { port, socket } = await echo();
  expect(await describePortHolder(HOST, port)).toMatch(
    new RegExp(`\\(process ${process.pid}\\) on UDP ${HOST}:${port}$`),
  );
  expect(await describePortHolder('127.0.0.2', port)).toBeNull();
  await socket.close();
  expect(await describePortHolder(HOST, port)).toBeNull();
});

test('framed messages come out whole, however the stream cuts them', () => {
  const sent = [Uint8Array.of(1), new Uint8Array(300).fill(2), new Uint8Array(0), Uint8Array.of(3, 4)];
  const stream = new Uint8Array(sent.flatMap((message) => [...frameMessage(message)]));
  for (let size = 1; size <= stream.length; size = size * 2 + 1) {
    const messages = new FramedMessages();
    const got: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) got.push(...messages.push(stream.subarray(at, at + size)));
    expect(got).toEqual(sent);
  }
});

/** Something that holds a TCP port. */
function connectable(port: number) {
  const server = createServer();
  return {
    ready: new Promise<void>((resolve) => server.listen(port, HOST, () => resolve())),
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
