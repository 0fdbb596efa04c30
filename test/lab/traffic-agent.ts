// A program that runs in the network namespace of a container or host and makes traffic there: it listens on TCP (a sink that
// answers with the hash of what it got), HTTP on port 80, UDP, and the mDNS groups. It takes commands as lines of JSON on
// stdin and answers each with one on stdout, in any order; test/lab/traffic.ts is the other end.

import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createServer as createHttpServer, get } from 'node:http';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

export const TCP_PORT = 7000;
export const UDP_PORT = 9000;
export const MDNS_PORT = 5353;
export const MDNS_GROUPS = { 4: '224.0.0.251', 6: 'ff02::fb' } as const;

export interface Datagram {
  readonly port: number;
  readonly from: string;
  readonly text: string;
}

export interface Pushed {
  readonly sent: string;
  readonly received: string;
  readonly ms: number;
}

export type Command =
  /** One datagram, from the socket that listens on that port. */
  | { readonly kind: 'send'; readonly to: string; readonly port: number; readonly text: string }
  /** All datagrams that came so far. */
  | { readonly kind: 'received' }
  /** A stream to a sink: `marker` stands in every block. */
  | { readonly kind: 'push'; readonly to: string; readonly bytes: number; readonly marker: string }
  /** Datagrams of any bytes, in base64, from a socket of their own. */
  | { readonly kind: 'throw'; readonly to: string; readonly port: number; readonly payloads: readonly string[] }
  /** The body of an HTTP answer. */
  | { readonly kind: 'get'; readonly url: string };

export interface Call {
  readonly id: number;
  readonly command: Command;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const BLOCK_BYTES = 65_536;
/** Per command: a peer that does not answer is an answer. */
const SILENCE_MAX_MS = 20_000;

const received: Datagram[] = [];
const sockets = new Map<string, Socket>();

async function listen({ ifname, httpBody }: { ifname: string; httpBody: string }): Promise<void> {
  const sink = createServer({ allowHalfOpen: true }, (connection) => {
    const hash = createHash('sha256');
    connection.on('data', (chunk) => hash.update(chunk));
    connection.on('end', () => connection.end(hash.digest('hex')));
    connection.on('error', () => undefined); // the sender sees it too, and reports it
  });
  await new Promise<void>((resolve) => sink.listen({ port: TCP_PORT, host: '::' }, resolve));
  const http = createHttpServer((_request, response) => response.end(httpBody));
  await new Promise<void>((resolve) => http.listen({ port: 80, host: '::' }, resolve));
  for (const family of [4, 6] as const) {
    for (const port of [UDP_PORT, MDNS_PORT]) sockets.set(`${family} ${port}`, await openUdp({ family, port, ifname }));
  }
}

async function openUdp(facts: { family: 4 | 6; port: number; ifname: string }): Promise<Socket> {
  const { family, port, ifname } = facts;
  const socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6', reuseAddr: true, ipv6Only: family === 6 });
  socket.on('message', (bytes, from) => received.push({ port, from: from.address, text: bytes.toString('latin1') }));
  await new Promise<void>((resolve) => socket.bind({ port, address: family === 4 ? '0.0.0.0' : '::' }, resolve));
  if (family === 4) socket.setBroadcast(true);
  if (port === MDNS_PORT) {
    const multicastInterface = family === 4 ? ip4Of(ifname) : `::%${ifname}`;
    socket.addMembership(MDNS_GROUPS[family], multicastInterface);
    socket.setMulticastInterface(multicastInterface);
    socket.setMulticastLoopback(false);
  }
  return socket;
}

function ip4Of(ifname: string): string {
  const found = networkInterfaces()[ifname]?.find((address) => address.family === 'IPv4');
  if (found === undefined) throw new Error(`${ifname} has no IPv4 address`);
  return found.address;
}

async function run(command: Command): Promise<unknown> {
  switch (command.kind) {
    case 'send':
      return send(command);
    case 'received':
      return received;
    case 'push':
      return push(command);
    case 'throw':
      return throwDatagrams(command);
    case 'get':
      return fetchBody(command.url);
  }
}

async function send({ to, port, text }: { to: string; port: number; text: string }): Promise<null> {
  const socket = sockets.get(`${to.includes(':') ? 6 : 4} ${port}`)!;
  await new Promise<void>((resolve, reject) => {
    socket.send(Buffer.from(text, 'latin1'), port, to, (error) => (error === null ? resolve() : reject(error)));
  });
  return null;
}

async function throwDatagrams(facts: { to: string; port: number; payloads: readonly string[] }): Promise<null> {
  const { to, port, payloads } = facts;
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
  for (const payload of payloads) {
    await new Promise<void>((resolve, reject) => {
      const bytes = Buffer.from(payload, 'base64');
      socket.send(bytes, port, to, (error) => (error === null ? resolve() : reject(error)));
    });
  }
  socket.close();
  return null;
}

async function push({ to, bytes, marker }: { to: string; bytes: number; marker: string }): Promise<Pushed> {
  const startMs = performance.now();
  const hash = createHash('sha256');
  const connection = connect({ host: to, port: TCP_PORT, timeout: SILENCE_MAX_MS });
  connection.on('timeout', () => connection.destroy(new Error(`nothing from ${to} for ${SILENCE_MAX_MS} ms`)));
  const failed = new Promise<never>((_, reject) => connection.once('error', reject));
  const answered = (async () => {
    let text = '';
    for await (const chunk of connection) text += String(chunk);
    return text;
  })();
  const sent = (async () => {
    for (let left = bytes, number = 0; left > 0; number++) {
      const block = blockOf(number, marker).subarray(0, left);
      hash.update(block);
      left -= block.length;
      if (!connection.write(block)) await new Promise<void>((resolve) => connection.once('drain', resolve));
    }
    connection.end();
  })();
  await Promise.race([failed, Promise.all([sent, answered])]);
  return { sent: hash.digest('hex'), received: await answered, ms: performance.now() - startMs };
}

/** Every block differs, so that none can be lost, doubled or exchanged unseen. */
function blockOf(number: number, marker: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, number & 0xff);
  block.write(`${marker} ${number}`, 'latin1');
  return block;
}

function fetchBody(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: SILENCE_MAX_MS }, async (response) => {
      let text = '';
      try {
        for await (const chunk of response) text += String(chunk);
        resolve(text);
      } catch (error) {
        reject(error as Error);
      }
    });
    request.on('timeout', () => request.destroy(new Error(`${url} is silent`)));
    request.on('error', reject);
  });
}

async function serve(options: { ifname: string; httpBody: string }): Promise<void> {
  const say = (answer: Answer | { readonly ready: true }): void => {
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  };
  await listen(options);
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, command } = JSON.parse(line) as Call;
    run(command).then(
      (value) => say({ id, value }),
      (error: Error) => say({ id, error: error.message }),
    );
  }
  process.exit(0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , ifname = 'eth0', httpBody = ''] = process.argv;
  await serve({ ifname, httpBody });
}
