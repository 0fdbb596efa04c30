// The tunnels' UDP socket on node:dgram: one per host, dual stack when it listens on `::`. Addresses are turned into the
// socket's own notation once per peer, and name resolution, which dgram does for every send, is short-circuited.

import { createSocket, type Socket } from 'node:dgram';
import { type Endpoint, formatEndpoint } from '../../base/endpoint.ts';
import { FabricError } from '../../base/errors.ts';
import { portInUse } from '../port-in-use.ts';

/** Our tuning: net.core.rmem_max and wmem_max cap it silently. */
const SOCKET_BUFFER_BYTES = 8 * 1024 * 1024;
/** What libuv may hold for us while the kernel's send buffer is full. */
const SEND_QUEUE_MAX_BYTES = 4 * 1024 * 1024;

/** An endpoint as this socket writes it: IPv4 on a dual-stack socket is `::ffff:192.0.2.1`. */
export interface WireAddress {
  readonly address: string;
  readonly port: number;
}

export interface DatagramSocketEvents {
  /** `datagram` is memory of its own: whoever gets it may keep it. */
  datagram(datagram: Uint8Array, address: string, port: number): void;
  receiveFailed(): void;
}

export class DatagramSocket {
  readonly #listen: Endpoint;
  #socket: Socket | null = null;
  #dualStack = false;

  constructor(listen: Endpoint) {
    this.#listen = listen;
  }

  /** Rejects with `port-in-use` or `usage` (no such local address). */
  async open(events: DatagramSocketEvents): Promise<void> {
    const { ip, port } = this.#listen;
    let socket: Socket;
    try {
      socket = await bind(ip, port);
    } catch (error) {
      const withoutIpv6 = ip === '::' && errno(error) === 'EAFNOSUPPORT';
      if (!withoutIpv6) throw explainBind(this.#listen, error);
      socket = await bind('0.0.0.0', port).catch((second: unknown) => {
        throw explainBind(this.#listen, second);
      });
    }
    this.#dualStack = socket.address().family === 'IPv6';
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
    socket.on('message', (datagram, from) => events.datagram(datagram, from.address, from.port));
    socket.on('error', () => events.receiveFailed());
    this.#socket = socket;
  }

  /** The bound port: of interest when 0 was asked for. */
  get port(): number {
    return this.#socket?.address().port ?? 0;
  }

  wireAddress(endpoint: Endpoint): WireAddress {
    const mapped = this.#dualStack && !endpoint.ip.includes(':');
    return { address: mapped ? `::ffff:${endpoint.ip}` : endpoint.ip, port: endpoint.port };
  }

  /**
   * Sends the parts as one datagram; they must not change afterwards. False when the queue is full; `sent` hears of errors
   * of the system call.
   */
  send(parts: readonly Uint8Array[], to: WireAddress, sent: (error: Error | null) => void): boolean {
    const socket = this.#socket;
    if (socket === null || socket.getSendQueueSize() > SEND_QUEUE_MAX_BYTES) return false;
    socket.send(parts, to.port, to.address, sent);
    return true;
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.removeAllListeners('message');
    await new Promise<void>((closed) => socket.close(() => closed()));
  }
}

/** Rejects as {@link DatagramSocket.open} would now. */
export async function tryPort(listen: Endpoint): Promise<void> {
  const socket = new DatagramSocket(listen);
  await socket.open({ datagram: () => undefined, receiveFailed: () => undefined });
  await socket.close();
}

function bind(address: string, port: number): Promise<Socket> {
  const family = address.includes(':') ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    ipv6Only: false,
    lookup: (host, _options, found) => found(null, host, family),
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

function errno(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function explainBind(listen: Endpoint, error: unknown): FabricError {
  if (errno(error) === 'EADDRINUSE') return portInUse(listen, error);
  const why = error instanceof Error ? error.message : String(error);
  const what = `can't listen on UDP ${formatEndpoint(listen)}`;
  return new FabricError('usage', { what, why, fix: 'check --listen and --port' }, { cause: error });
}
