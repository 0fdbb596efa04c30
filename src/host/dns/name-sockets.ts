// The sockets of the name server: UDP and TCP on one address, port 53. Gives messages to a handler with who sent them in and carries
// its answers back. Bounded: connections in all and per asker, time and octets of each (RFC 7766 §6).

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { makeEndpoint } from '../../base/endpoint.ts';
import { FramedMessages, frameMessage } from './framed-messages.ts';

export const NAME_PORT = 53;
const CONNECTIONS_MAX = 128;
const CONNECTIONS_PER_ASKER_MAX = 16;
const IDLE_MS = 10_000;
/** Answers that a peer does not read: then it is cut off. */
const UNREAD_BYTES_MAX = 256 * 1024;
/** A segment holds a thousand questions: whatever else the daemon does has its turn after so many. */
const QUESTIONS_PER_TURN = 4;

/** By us. An answer of another server may come later, and send() on a closed socket throws. */
const CLOSED = new WeakSet<UdpSocket | Server>();

export type MessageHandler = (
  message: Uint8Array,
  asker: { readonly ip: string; readonly transport: 'udp' | 'tcp' },
  reply: (answer: Uint8Array) => void,
) => void;

export interface NameSocket {
  /** Resolves when both sockets are closed; idempotent. */
  close(): Promise<void>;
}

/** Rejects with ErrnoException (EADDRINUSE, EADDRNOTAVAIL, …), and then nothing is open. `failed`: a socket broke later. */
export async function openNameSocket(
  ip: string,
  handler: MessageHandler,
  failed: (reason: string) => void,
  port: number = NAME_PORT,
): Promise<NameSocket> {
  const udp = await openUdp(ip, port, handler);
  const sockets = new Set<Socket>();
  try {
    const tcp = await openTcp(ip, port, handler, sockets);
    udp.on('error', (error) => failed(error.message));
    tcp.on('error', (error) => failed(error.message));
    let closing: Promise<unknown> | null = null;
    return {
      close: async () => {
        for (const socket of sockets) socket.destroy();
        closing ??= Promise.all([closed(udp), closed(tcp)]);
        await closing;
      },
    };
  } catch (error) {
    await closed(udp);
    throw error;
  }
}

function openUdp(ip: string, port: number, handler: MessageHandler): Promise<UdpSocket> {
  const isV6 = ip.includes(':');
  const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', ...(isV6 ? { ipv6Only: true } : {}) });
  socket.on('message', (message, from) => {
    const asker = makeEndpoint(from.address, from.port);
    if (asker === null) return; // of a scope that only one link knows: on no network of ours
    const reply = (answer: Uint8Array): void => {
      // The kernel takes it or it is lost, as any datagram may be: the asker asks again.
      if (!CLOSED.has(socket)) socket.send(answer, asker.port, asker.ip, () => undefined);
    };
    handler(message, { ip: asker.ip, transport: 'udp' }, reply);
  });
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', refused);
    socket.bind({ address: ip, port, exclusive: true }, () => {
      socket.off('error', refused);
      resolve(socket);
    });
  });
}

function openTcp(ip: string, port: number, handler: MessageHandler, sockets: Set<Socket>): Promise<Server> {
  const server = createServer((socket) => {
    const asker = makeEndpoint(socket.remoteAddress ?? '', socket.remotePort ?? 0);
    const fromSame = [...sockets].filter(({ remoteAddress }) => remoteAddress === socket.remoteAddress).length;
    if (asker === null || sockets.size >= CONNECTIONS_MAX || fromSame >= CONNECTIONS_PER_ASKER_MAX) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    serveConnection(socket, asker.ip, handler);
    socket.once('close', () => sockets.delete(socket));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: ip, port, exclusive: true, ipv6Only: ip.includes(':') }, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}

function serveConnection(socket: Socket, ip: string, handler: MessageHandler): void {
  const messages = new FramedMessages();
  socket.setNoDelay(true);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy()); // an asker may hang up at any time
  const reply = (answer: Uint8Array): void => {
    if (socket.writableLength > UNREAD_BYTES_MAX) socket.destroy();
    else if (!socket.destroyed) socket.write(frameMessage(answer));
  };
  socket.on('data', (chunk) => {
    const waiting = [...messages.push(chunk)];
    const takeSome = (): void => {
      for (const message of waiting.splice(0, QUESTIONS_PER_TURN)) {
        if (!socket.destroyed) handler(message, { ip, transport: 'tcp' }, reply);
      }
      if (waiting.length === 0 || socket.destroyed) socket.resume();
      else setImmediate(takeSome);
    };
    socket.pause();
    takeSome();
  });
}

function closed(socket: UdpSocket | Server): Promise<void> {
  CLOSED.add(socket);
  return new Promise((resolve) => socket.close(() => resolve()));
}
