// Who is let into this host's mesh and tunnels, judged in one order: no operator has removed it, it shows a token that holds, and
// where certificates are demanded one that holds. Each of the three parts hears what other hosts' records say of its matter.

import type { PeerId } from '../base/ids.ts';
import type { Generation } from '../base/keyring.ts';
import type { CertifiedPeer } from '../host/mesh/certificate.ts';
import type { Refusal } from '../host/mesh/refusal.ts';
import type { Certificates } from './certificates.ts';
import type { Removals, Removed } from './removals.ts';
import type { Rotations } from './rotations.ts';

export interface AdmissionParts {
  readonly removals: Removals;
  readonly rotations: Rotations;
  readonly certificates: Certificates;
}

export class Admission implements AdmissionParts {
  readonly removals: Removals;
  readonly rotations: Rotations;
  readonly certificates: Certificates;

  constructor({ removals, rotations, certificates }: AdmissionParts) {
    this.removals = removals;
    this.rotations = rotations;
    this.certificates = certificates;
  }

  /** Whether a tunnel to that host may be, which showed a membership of that token. */
  admits(peer: PeerId, by: Generation): boolean {
    return !this.removals.isRemoved(peer) && this.rotations.admits(peer, by) && this.certificates.admits(peer);
  }

  /** Why a host that proved its identity, and shows that of an operator's certificate, is not let in; null: it is welcome. */
  refusalOf(proved: CertifiedPeer, attestation: Uint8Array | null): Refusal | null {
    const byToken = this.removals.refusalOf(proved.peer) ?? this.rotations.refusalOf(proved.peer, proved);
    return byToken ?? this.certificates.refusalOf(proved, attestation);
  }

  /** `fabric revoke`: shuts a host in wrong hands out, and replaces the token, which it may know. As {@link Removals.revoke}. */
  revoke(name: string): Removed {
    const removed = this.removals.revoke(name);
    this.rotations.shutOutRevoked();
    return removed;
  }

  wake(): void {
    this.rotations.wake();
    this.certificates.wake();
  }

  stop(): void {
    this.rotations.stop();
    this.certificates.stop();
  }
}
