// Calls another host: name to addresses, then TCP by grpc-js, then TLS 1.3 with a certificate that we judge ourselves, then
// the gRPC call. grpc-js hides why a connection failed; therefore the TLS step is ours (as channel credentials), and
// each way to fail becomes a Refusal in words. One dial is one TCP connection per address, and another one per older token when
// the host that answers has not got the newest.

import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { CallCredentials, ChannelCredentials, Client, type ServiceError } from '@grpc/grpc-js';
import { parseIp } from '../../base/address.ts';
import { type Endpoint, formatEndpoint, makeEndpoint } from '../../base/endpoint.ts';
import type { TokenId } from '../../base/ids.ts';
import { type CertifiedPeer, verifyCertificate } from './certificate.ts';
import type { MeshCredential, MeshCredentials } from './credentials.ts';
import type { Address } from './dialler.ts';
import { GRPC_OPTIONS, LINK_METHOD } from './grpc-service.ts';
import { certificateRefusal, notFabric, otherToken, type Refusal, unreachable } from './refusal.ts';
import type { DialResult } from './transport.ts';
import { GrpcWire } from './wire.ts';

/** For TCP and TLS together, per address. */
const DIAL_MS = 5_000;
/** A refused host may still learn who called: our certificate is on its way when we hang up. */
const HANG_UP_MS = 300;
/** Addresses of one name that are tried. */
const ADDRESSES_MAX = 4;

/** Never rejects for reasons that lie outside; `cancelled` ends it early. */
export async function dial(
  address: Address,
  credentials: MeshCredentials,
  cancelled: AbortSignal,
): Promise<DialResult> {
  const name = formatEndpoint({ ip: address.host, port: address.port });
  const endpoints = await resolve(address);
  if ('errno' in endpoints) return { refusal: unreachable({ name, dialled: true }, endpoints.errno) };
  let result: DialResult = { refusal: unreachable({ name, dialled: true }, 'ENOTFOUND') };
  for (const endpoint of endpoints) {
    if (cancelled.aborted) break;
    result = await dialByTokens({ name, endpoint, credentials, cancelled });
    const silent = 'refusal' in result && result.refusal.code === 'peer-unreachable';
    if (!silent) break;
  }
  return result;
}

/** By the newest token first; then by what the host showed, or the next older one. Ends: each token is tried once. */
async function dialByTokens(options: Omit<AttemptOptions, 'own'>): Promise<DialResult> {
  const untried = [...options.credentials.own];
  let own = untried.shift()!;
  for (;;) {
    const attempt = new Attempt({ ...options, own });
    const result = await attempt.result;
    if (!attempt.isOtherToken || untried.length === 0 || options.cancelled.aborted) return result;
    const shown = untried.findIndex(({ id }) => id === attempt.shown);
    own = untried.splice(Math.max(0, shown), 1)[0]!;
  }
}

async function resolve({ host, port }: Address): Promise<readonly Endpoint[] | { readonly errno: string }> {
  const literal = parseIp(host) === null ? null : makeEndpoint(host, port);
  if (literal !== null) return [literal];
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return found.slice(0, ADDRESSES_MAX).flatMap(({ address }) => makeEndpoint(address, port) ?? []);
  } catch (error) {
    return { errno: errnoIn(error) ?? 'ENOTFOUND' };
  }
}

interface AttemptOptions {
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly credentials: MeshCredentials;
  readonly cancelled: AbortSignal;
  /** Shown to the host. */
  readonly own: MeshCredential;
}

class Attempt {
  readonly result: Promise<DialResult>;
  /** The host does not hold the token that we showed. */
  isOtherToken = false;
  /** The token that it has instead, when we hold it, too. */
  shown: TokenId | null = null;
  readonly #options: AttemptOptions;
  readonly #client: Client;
  readonly #timer: NodeJS.Timeout;
  readonly #cancel = (): void => this.#fail(unreachable(this.#party, 'cancelled'));
  #resolve: (result: DialResult) => void = () => {};
  #tcp: Socket | null = null;
  #settled = false;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.result = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { ip, port } = options.endpoint;
    const target = ip.includes(':') ? `ipv6:[${ip}]:${port}` : `ipv4:${ip}:${port}`;
    const credentials = new JudgingCredentials((tcp) => this.#secure(tcp));
    this.#client = new Client(target, credentials, GRPC_OPTIONS);
    this.#timer = setTimeout(() => this.#timedOut(), DIAL_MS);
    options.cancelled.addEventListener('abort', this.#cancel);
    const { path, requestSerialize, responseDeserialize } = LINK_METHOD;
    this.#call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#call.on('error', (error: ServiceError) => this.#fail(this.#explain(error)));
  }

  readonly #call;

  get #party(): { name: string; dialled: true } {
    return { name: this.#options.name, dialled: true };
  }

  /** Called by grpc-js once TCP stands; resolves with the verified connection. */
  #secure(tcp: Socket): Promise<TLSSocket> {
    this.#tcp = tcp;
    const { secureContext, serverName: servername } = this.#options.own;
    return new Promise((resolve, reject) => {
      const refuse = (refusal: Refusal): void => {
        this.#fail(refusal);
        reject(new Error(refusal.why));
      };
      if (this.#settled) {
        refuse(unreachable(this.#party, 'cancelled'));
        return;
      }
      const socket = connect({
        socket: tcp,
        secureContext,
        servername,
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
      });
      socket.on('error', (error) => refuse(this.#explainTls(error)));
      socket.on('close', () => refuse(notFabric(this.#party, 'it closed the connection during the TLS handshake')));
      socket.once('secureConnect', () => {
        const verdict = this.#judge(socket);
        if ('code' in verdict) {
          this.#settle({ refusal: verdict });
          socket.end();
          setTimeout(() => refuse(verdict), HANG_UP_MS);
          return;
        }
        resolve(socket);
        socket.on('close', () => this.#client.close());
        this.#settle({ wire: new GrpcWire(this.#call, socket), certified: verdict, at: this.#options.endpoint });
      });
    });
  }

  #judge(socket: TLSSocket): CertifiedPeer | Refusal {
    if (socket.alpnProtocol !== 'h2') return notFabric(this.#party, 'it does not speak gRPC');
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return notFabric(this.#party, 'it shows no certificate');
    const { credentials, own } = this.#options;
    const verdict = verifyCertificate(certificate.raw, credentials);
    if ('fault' in verdict) {
      this.isOtherToken = verdict.fault === 'other-generation' || verdict.fault === 'other-secret';
      return certificateRefusal(this.#party, verdict, credentials.clusterId);
    }
    if (verdict.id === own.id) return verdict;
    this.isOtherToken = true;
    this.shown = verdict.id;
    return otherToken(this.#party, verdict.generation);
  }

  #timedOut(): void {
    const why = 'it takes connections but does not answer in TLS';
    this.#fail(this.#tcp === null ? unreachable(this.#party, 'timeout') : notFabric(this.#party, why));
  }

  #explainTls(error: Error): Refusal {
    const errno = errnoIn(error) ?? '';
    if (errno.startsWith('ERR_SSL')) return notFabric(this.#party, 'it does not speak TLS 1.3');
    return notFabric(this.#party, `it closed the connection during the TLS handshake (${errno})`);
  }

  /** grpc-js' status of a call whose connection never stood; the errno is in its text. */
  #explain(error: ServiceError): Refusal {
    const errno = /\bE[A-Z]{4,}\b/.exec(error.details)?.[0];
    return unreachable(this.#party, errno ?? error.details);
  }

  #fail(refusal: Refusal): void {
    if (this.#settled) return;
    this.#settle({ refusal });
    this.#tcp?.destroy();
    this.#client.close();
  }

  #settle(result: DialResult): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.cancelled.removeEventListener('abort', this.#cancel);
    this.#resolve(result);
  }
}

/** Channel credentials whose TLS handshake is done by `secure`. */
class JudgingCredentials extends ChannelCredentials {
  readonly #secure: (tcp: Socket) => Promise<TLSSocket>;

  constructor(secure: (tcp: Socket) => Promise<TLSSocket>) {
    super();
    this.#secure = secure;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  override _createSecureConnector(): ReturnType<ChannelCredentials['_createSecureConnector']> {
    return {
      connect: async (tcp) => ({ socket: await this.#secure(tcp), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }
}

function errnoIn(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
