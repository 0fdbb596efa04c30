// A program for the namespace of a container that measures how long the network is silent: `send TO PORT EVERY-MS` sends
// numbered datagrams that carry when they left, `receive PORT` notes when each arrives. Both read the machine's monotonic clock,
// so that the delay of a datagram is exact. On a line of stdin the receiver says what it saw since the line before.

import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

export interface ProbeReport {
  readonly received: number;
  readonly lost: number;
  /** Longest time from the leaving of a datagram until it, or the next one that was not lost, arrived. */
  readonly silenceMs: number;
  /** The same without losses: how late the latest was. */
  readonly latestMs: number;
}

const BYTES = 16;
/** After so long a datagram counts as lost, not as late. */
const SETTLE_MS = 300;

interface Arrival {
  readonly number: number;
  readonly sentNs: bigint;
  readonly receivedNs: bigint;
}

function send(to: string, port: number, everyMs: number): void {
  const socket = createSocket('udp4');
  socket.on('error', () => undefined); // a network that is away is what is measured
  let number = 0n;
  const startNs = process.hrtime.bigint();
  const stepNs = BigInt(Math.round(everyMs * 1e6));
  // By the clock, not by the timer, which drifts: a delayed timer is made up for by several datagrams at once.
  setInterval(() => {
    for (const nowNs = process.hrtime.bigint(); startNs + number * stepNs <= nowNs; number++) {
      const bytes = Buffer.alloc(BYTES);
      bytes.writeBigUInt64BE(number);
      bytes.writeBigUInt64BE(process.hrtime.bigint(), 8);
      socket.send(bytes, port, to, () => undefined);
    }
  }, everyMs / 2);
}

async function receive(port: number): Promise<void> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  let arrivals: Arrival[] = [];
  socket.on('message', (bytes) => {
    const receivedNs = process.hrtime.bigint();
    arrivals.push({ number: Number(bytes.readBigUInt64BE()), sentNs: bytes.readBigUInt64BE(8), receivedNs });
  });
  await new Promise<void>((resolve) => socket.bind(port, resolve));
  process.stdout.write('ready\n');
  let last: Arrival | undefined;
  for await (const _ of createInterface({ input: process.stdin })) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const seen = last === undefined ? arrivals : [last, ...arrivals];
    process.stdout.write(`${JSON.stringify(reportOf(seen))}\n`);
    last = seen.at(-1);
    arrivals = [];
  }
  process.exit(0);
}

/** `arrivals` in the order of their coming. */
export function reportOf(arrivals: readonly Arrival[]): ProbeReport {
  const byNumber = arrivals.toSorted((a, b) => a.number - b.number);
  let [lost, silenceMs, latestMs] = [0, 0, 0];
  for (const [place, arrival] of byNumber.entries()) {
    const before = byNumber[place - 1];
    const missing = before === undefined ? 0 : arrival.number - before.number - 1;
    lost += Math.max(0, missing);
    latestMs = Math.max(latestMs, msBetween(arrival.sentNs, arrival.receivedNs));
    // When the first that is missing left: datagrams leave at equal distances.
    const distanceNs = before === undefined ? 0n : (arrival.sentNs - before.sentNs) / BigInt(missing + 1);
    const firstMissingNs = missing > 0 ? before!.sentNs + distanceNs : arrival.sentNs;
    silenceMs = Math.max(silenceMs, msBetween(firstMissingNs, arrival.receivedNs));
  }
  return { received: arrivals.length, lost, silenceMs, latestMs };
}

function msBetween(fromNs: bigint, toNs: bigint): number {
  return Number(toNs - fromNs) / 1e6;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , role = '', first = '', port = '', everyMs = ''] = process.argv;
  if (role === 'send') send(first, Number(port), Number(everyMs));
  else await receive(Number(first));
}
