// Takes calls from other hosts: TCP, then TLS 1.3 with a certificate that we judge ourselves, then gRPC by injection into a
// grpc-js server that has no socket of its own. So no stranger reaches the gRPC stack, and every refusal has its reason.
// Invariant: connections that have not greeted are bounded in number, rate and time.

import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContext,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { type ConnectionInjector, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../../base/capabilities.ts';
import { type Endpoint, makeEndpoint } from '../../base/endpoint.ts';
import { FabricError } from '../../base/errors.ts';
import { limitTcpSegments } from '../native.ts';
import { CallerGate, type CallerLimits } from './caller-limits.ts';
import { type CertifiedPeer, verifyCertificate } from './certificate.ts';
import type { MeshCredentials } from './credentials.ts';
import { GRPC_OPTIONS, LINK_METHOD } from './grpc-service.ts';
import { certificateRefusal, notFabric, type Refusal } from './refusal.ts';
import type { CallEvents } from './transport.ts';
import { GrpcWire } from './wire.ts';

export interface ListenerOptions {
  /** `::` is dual stack and falls back to IPv4 where the kernel has no IPv6. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly credentials: MeshCredentials;
  readonly clock: Clock;
  readonly limits: CallerLimits;
  readonly events: CallEvents;
}

/**
 * TCP's own search for what a path carries (RFC 4821) is off on most hosts, and an underlay that drops large packets without a
 * word would keep hosts apart. What every IPv4 path carries (RFC 9293 §3.7.1) costs links, which move little, next to nothing.
 */
const SEGMENT_BYTES_MAX = 536;
/** For the TLS handshake, and again for the first gRPC call. */
const HANDSHAKE_MS = 5_000;

interface Verified {
  readonly socket: TLSSocket;
  readonly certified: CertifiedPeer;
  readonly from: Endpoint;
  readonly settled: () => void;
  readonly deadline: NodeJS.Timeout;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #gate: CallerGate;
  readonly #tcp: NetServer;
  readonly #tls: TlsServer;
  readonly #grpc: Server;
  readonly #injector: ConnectionInjector;
  readonly #sockets = new Set<Socket>();
  /** TLS connections that have not made their call yet, by remote address and port. */
  readonly #verified = new Map<string, Verified>();
  /** What each open connection owes the gate, by remote address and port. */
  readonly #pending = new Map<string, () => void>();
  #credentials: MeshCredentials;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
    this.#gate = new CallerGate(options.clock, options.limits);
    this.#grpc = new Server(GRPC_OPTIONS);
    this.#grpc.addService(
      { Link: LINK_METHOD },
      { Link: (call: ServerDuplexStream<Buffer, Buffer>) => this.#called(call) },
    );
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tls = createTlsServer({
      ...options.credentials.own[0]!.tls,
      SNICallback: (serverName, done) => done(null, this.#contextFor(serverName)),
      requestCert: true,
      rejectUnauthorized: false, // judged in #secured
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_MS,
    });
    this.#tls.on('secureConnection', (socket) => this.#secured(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket));
    this.#tcp = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#connected(socket));
  }

  /** For connections from now on. */
  updateCredentials(credentials: MeshCredentials): void {
    this.#credentials = credentials;
    this.#tls.setSecureContext(credentials.own[0]!.tls);
  }

  /** Resolves with the bound port; rejects with `port-in-use` or `usage`. */
  async start(): Promise<number> {
    const { host, port } = this.#options.listen;
    try {
      await this.#bind(host, port);
    } catch (error) {
      const noIpv6 = host === '::' && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errnoOf(error));
      if (!noIpv6) throw bindError(error, host, port);
      await this.#bind('0.0.0.0', port).catch((second: unknown) => {
        throw bindError(second, '0.0.0.0', port);
      });
    }
    limitTcpSegments(this.#tcp, SEGMENT_BYTES_MAX);
    return (this.#tcp.address() as AddressInfo).port;
  }

  /** Takes no more calls and cuts those that are left. */
  async stop(): Promise<void> {
    for (const { deadline } of this.#verified.values()) clearTimeout(deadline);
    for (const socket of this.#sockets) socket.destroy();
    this.#injector.destroy();
    this.#grpc.forceShutdown();
    if (this.#tcp.listening) await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  /** Stops listening only; links go on. */
  close(): void {
    if (this.#tcp.listening) this.#tcp.close();
  }

  #bind(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#tcp.once('error', reject);
      this.#tcp.listen({ host, port }, () => {
        this.#tcp.off('error', reject);
        this.#tcp.on('error', () => this.#options.events.drop('accept-failed'));
        resolve();
      });
    });
  }

  /** Of the token that the caller names; of the newest one when that is not held. */
  #contextFor(serverName: string): SecureContext {
    const { own } = this.#credentials;
    return (own.find((one) => one.serverName === serverName) ?? own[0]!).secureContext;
  }

  #connected(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const barred = this.#gate.enter(address);
    if (barred !== null) {
      this.#options.events.drop(barred);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    let pending = true;
    const settled = (): void => {
      if (pending) this.#gate.leave(address);
      pending = false;
    };
    const key = callKey(socket);
    this.#pending.set(key, settled);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (this.#pending.get(key) === settled) this.#pending.delete(key);
      settled();
    });
    socket.on('error', () => this.#options.events.drop('caller-connection'));
    this.#tls.emit('connection', socket);
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    this.#options.events.drop('caller-handshake');
    const name = endpointOf(socket)?.ip;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    // A caller that hung up (a port scan, a health check) is counted only.
    if (name !== undefined && code.startsWith('ERR_SSL')) {
      const why = /PROTOCOL|VERSION/.test(code) ? 'it does not speak TLS 1.3' : `its TLS handshake failed (${code})`;
      this.#options.events.refused(name, notFabric({ name, dialled: false }, why));
    }
    socket.destroy();
  }

  #secured(socket: TLSSocket): void {
    socket.on('error', () => this.#options.events.drop('caller-connection'));
    const from = endpointOf(socket);
    if (from === null) {
      socket.destroy();
      return;
    }
    const refusal = this.#judge(socket, from.ip);
    if ('code' in refusal) {
      this.#options.events.drop('caller-refused');
      this.#options.events.refused(from.ip, refusal);
      socket.end();
      socket.setTimeout(HANDSHAKE_MS, () => socket.destroy());
      return;
    }
    const key = callKey(socket);
    if (this.#verified.has(key)) {
      this.#options.events.drop('caller-ambiguous');
      socket.destroy();
      return;
    }
    const settled = this.#pending.get(key) ?? ((): void => {});
    const deadline = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    socket.on('close', () => {
      clearTimeout(deadline);
      if (this.#verified.get(key)?.socket === socket) this.#verified.delete(key);
      settled();
    });
    this.#verified.set(key, { socket, certified: refusal, from, settled, deadline });
    this.#injector.injectConnection(socket);
  }

  #judge(socket: TLSSocket, name: string): CertifiedPeer | Refusal {
    const party = { name, dialled: false };
    if (socket.alpnProtocol !== 'h2') return notFabric(party, 'it does not speak gRPC');
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return notFabric(party, 'it shows no certificate');
    const verdict = verifyCertificate(certificate.raw, this.#credentials);
    return 'fault' in verdict ? certificateRefusal(party, verdict, this.#credentials.clusterId) : verdict;
  }

  #called(call: ServerDuplexStream<Buffer, Buffer>): void {
    const key = call.getPeer();
    const verified = this.#verified.get(key);
    if (verified === undefined) {
      this.#options.events.drop('caller-second-call');
      call.destroy();
      return;
    }
    this.#verified.delete(key);
    clearTimeout(verified.deadline);
    const { socket, certified, from, settled } = verified;
    this.#options.events.accepted({ wire: new GrpcWire(call, socket), certified, from, settled });
  }
}

/** As grpc-js' getPeer() writes it. */
function callKey({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

function endpointOf(socket: Socket): Endpoint | null {
  return makeEndpoint(socket.remoteAddress ?? '', socket.remotePort ?? 0);
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function bindError(error: unknown, host: string, port: number): FabricError {
  const errno = errnoOf(error);
  if (errno === 'EADDRINUSE') {
    return new FabricError('port-in-use', {
      what: `TCP port ${port} is in use`,
      why: 'another program listens there',
      fix: `End it ('ss -ltnp sport = :${port}' names it), or choose another with --port`,
    });
  }
  const what = `can't listen on ${host} port ${port}`;
  if (errno === 'EADDRNOTAVAIL') {
    const fix = 'Give --listen an address that ip address show lists, or 0.0.0.0 for all';
    return new FabricError('usage', { what, why: 'no interface of this host has that address', fix });
  }
  return new FabricError('usage', { what, why: errno || String(error), fix: 'Correct --listen and --port' });
}
