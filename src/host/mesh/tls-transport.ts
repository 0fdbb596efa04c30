// The MeshTransport of production: gRPC over TLS 1.3 over TCP, both ends proved by certificates of the cluster's token.

import type { Clock } from '../../base/capabilities.ts';
import { CALLER_LIMITS, type CallerLimits } from './caller-limits.ts';
import type { MeshCredentials } from './credentials.ts';
import { dial } from './dial.ts';
import type { Address } from './dialler.ts';
import { Listener } from './listener.ts';
import type { CallEvents, DialResult, MeshTransport } from './transport.ts';

export interface TlsTransportOptions {
  readonly credentials: MeshCredentials;
  readonly listen: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly callerLimits?: CallerLimits;
}

export class TlsTransport implements MeshTransport {
  readonly #options: TlsTransportOptions;
  #credentials: MeshCredentials;
  #listener: Listener | null = null;

  constructor(options: TlsTransportOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
  }

  listen(events: CallEvents): Promise<number> {
    const { listen, clock, callerLimits = CALLER_LIMITS } = this.#options;
    this.#listener = new Listener({ listen, credentials: this.#credentials, clock, limits: callerLimits, events });
    return this.#listener.start();
  }

  dial(address: Address, cancelled: AbortSignal): Promise<DialResult> {
    return dial(address, this.#credentials, cancelled);
  }

  /** After a rotation, for connections from now on; existing links stay. */
  updateCredentials(credentials: MeshCredentials): void {
    this.#credentials = credentials;
    this.#listener?.updateCredentials(credentials);
  }

  close(): void {
    this.#listener?.close();
  }

  async stop(): Promise<void> {
    await this.#listener?.stop();
  }
}
