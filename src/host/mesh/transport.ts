// How connections between hosts come about, as the port that Mesh stands on: TCP, TLS and gRPC in production
// (tls-transport.ts), a simulated network in test/sim. Whoever comes out of it, on either side, has proved its identity.

import type { Endpoint } from '../../base/endpoint.ts';
import type { CertifiedPeer } from './certificate.ts';
import type { Address } from './dialler.ts';
import type { Refusal } from './refusal.ts';
import type { Wire } from './wire.ts';

export interface ReachedHost {
  readonly wire: Wire;
  readonly certified: CertifiedPeer;
  readonly at: Endpoint;
}

export type DialResult = ReachedHost | { readonly refusal: Refusal };

export interface AcceptedCall {
  readonly wire: Wire;
  readonly certified: CertifiedPeer;
  readonly from: Endpoint;
  /** To be called once the caller has greeted or gone: it no longer counts as pending. Idempotent. */
  readonly settled: () => void;
}

export interface CallEvents {
  accepted(call: AcceptedCall): void;
  refused(address: string, refusal: Refusal): void;
  drop(reason: string): void;
}

export interface MeshTransport {
  /** Resolves with the bound port; rejects with `port-in-use` or `usage`. Called once. */
  listen(events: CallEvents): Promise<number>;
  /** Never rejects for reasons that lie outside; `cancelled` ends it early. */
  dial(address: Address, cancelled: AbortSignal): Promise<DialResult>;
  /** Takes no more calls; links go on. */
  close(): void;
  /** Takes no more calls and cuts those that are left. */
  stop(): Promise<void>;
}
