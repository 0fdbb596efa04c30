// A process that throws random bytes at a daemon: `node garbage.js udp|tcp HOST PORT SEED` or `unix PATH SEED`. Some of it
// begins as the real thing does, so that it gets past the first check. Ends when all has been sent.

import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { SeededRandom } from '../fakes/seeded-random.ts';

const DATAGRAMS = 2_000;
const CONNECTIONS = 60;
/** Gone before: the peer hung up, which is its right. */
const LINGER_MS = 100;

/** What messages begin with: our wire format's types, TLS records, HTTP, HTTP/2, DNS. */
const OPENINGS = [
  '',
  '01',
  '0100000000000001',
  '02000000',
  '04',
  '160301',
  '16030100f1010000ed0303',
  '505249202a20485454502f322e300d0a0d0a534d0d0a0d0a',
  Buffer.from('POST /v1/cni HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n').toString('hex'),
  Buffer.from('GET /v1/status HTTP/1.1\r\n').toString('hex'),
].map((hex) => Buffer.from(hex, 'hex'));

function garbage(random: SeededRandom, bytesMax: number): Buffer {
  const opening = OPENINGS[random.below(OPENINGS.length)]!;
  return Buffer.concat([opening, random.bytes(random.below(bytesMax))]);
}

async function sendDatagrams(host: string, port: number, random: SeededRandom): Promise<void> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  for (let i = 0; i < DATAGRAMS; i++) {
    await new Promise<void>((resolve) => socket.send(garbage(random, 1_400), port, host, () => resolve()));
  }
  socket.close();
}

async function sendStreams(open: () => Socket, random: SeededRandom): Promise<void> {
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = open();
    socket.on('error', () => {}); // the peer may hang up at any time
    socket.on('data', () => {});
    socket.write(garbage(random, 20_000));
    if (i % 3 === 0) socket.end();
    await new Promise((resolve) => setTimeout(resolve, random.below(LINGER_MS)));
    socket.destroy();
  }
}

const [kind, where, ...rest] = process.argv.slice(2);
const random = new SeededRandom(Number(rest.at(-1)));
if (kind === 'udp') await sendDatagrams(where!, Number(rest[0]), random);
else if (kind === 'tcp') await sendStreams(() => connect(Number(rest[0]), where!), random);
else await sendStreams(() => connect(where!), random);
