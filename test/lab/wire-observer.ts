// The underlay between two hosts, in the hands of a test: each host sees the other at an address of the observer, which passes
// every data datagram on, loses handshakes as it is told, and records each (receiver index, counter). Invariant: a pair that
// comes twice under one receiver index, which names one key, is a reused nonce and is kept as such.
//
//   host 0 ── socket 0 ─┐ observer ┌─ socket 1 ── host 1

import { createSocket, type Socket } from 'node:dgram';
import type { Endpoint } from '../../src/base/endpoint.ts';
import {
  DatagramType,
  datagramType,
  OUTER_BYTES,
  readCounter,
  readReceiverIndex,
} from '../../src/router/wire-format.ts';

/** Which host: the sender of a datagram, or the owner of a socket. */
export type Place = 0 | 1;

export class WireObserver {
  readonly #sockets: readonly [Socket, Socket];
  readonly #hosts: [Endpoint | null, Endpoint | null] = [null, null];
  /** True: this handshake datagram is lost. */
  readonly #loses: () => boolean;
  /** Counters by sender and receiver index. */
  readonly #seen = new Map<string, Set<number>>();
  readonly reused: string[] = [];
  data = 0;
  handshakes = 0;
  lostHandshakes = 0;

  private constructor(sockets: readonly [Socket, Socket], loses: () => boolean) {
    this.#sockets = sockets;
    this.#loses = loses;
    for (const place of [0, 1] as const) sockets[place].on('message', (bytes) => this.#pass(bytes, place));
  }

  static async open(loses: () => boolean): Promise<WireObserver> {
    return new WireObserver([await bound(), await bound()], loses);
  }

  /** Keys that were used, for either direction. */
  get keys(): number {
    return this.#seen.size;
  }

  connect(hosts: readonly [Endpoint, Endpoint]): void {
    this.#hosts[0] = hosts[0];
    this.#hosts[1] = hosts[1];
  }

  /** Where that host sends what is for the other. */
  endpoint(place: Place): Endpoint {
    return { ip: '127.0.0.1', port: this.#sockets[place].address().port };
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  #pass(bytes: Buffer, from: Place): void {
    if (datagramType(bytes) === DatagramType.data && bytes.length >= OUTER_BYTES) this.#record(bytes, from);
    else {
      this.handshakes++;
      if (this.#loses()) {
        this.lostHandshakes++;
        return;
      }
    }
    const other = from === 0 ? 1 : 0;
    const to = this.#hosts[other];
    // From the socket that the receiver takes for the sender.
    if (to !== null) this.#sockets[other].send(bytes, to.port, to.ip);
  }

  #record(bytes: Buffer, from: Place): void {
    this.data++;
    const key = `${from} ${readReceiverIndex(bytes)}`;
    const counter = readCounter(bytes);
    let counters = this.#seen.get(key);
    if (counters === undefined) {
      counters = new Set();
      this.#seen.set(key, counters);
    }
    if (counters.has(counter)) this.reused.push(`${key} ${counter}`);
    counters.add(counter);
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', () => resolve()));
  return socket;
}
