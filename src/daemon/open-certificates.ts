// Makes what operators' certificates are for this host: its files at the launch, and a member's admission by them.

import type { Clock, Log, Timers } from '../base/capabilities.ts';
import { type Identity, OperatorCertificates } from '../host/certificates/operator-certificates.ts';
import { type CertificateJudge, Certificates, NO_CERTIFICATES } from './certificates.ts';
import type { LaunchOptions } from './launch-options.ts';
import type { MemberOptions } from './member-options.ts';
import type { AdmissionWiring } from './open-admission.ts';
import type { Removals } from './removals.ts';
import type { Settings } from './settings.ts';
import type { CertificateFacts } from './status-types.ts';

const NONE = { ca: null, cert: null, key: null };

interface FileCapabilities {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

/** Of a host whose settings are not known yet. */
export function noFiles({ clock, timers, log }: FileCapabilities): OperatorCertificates {
  return new OperatorCertificates({ paths: NONE, clock, timers, log });
}

/**
 * Throws `certificate-invalid` for files that this launch names: an operator is there to mend them. A host that resumes by itself
 * goes on and says in its health what is wrong.
 */
export function openFiles(
  { certificates: paths = NONE }: Settings,
  { certificates: given }: Pick<LaunchOptions, 'certificates'>,
  { clock, timers, log }: FileCapabilities,
): OperatorCertificates {
  const files = new OperatorCertificates({ paths, clock, timers, log });
  files.load({ strict: given !== undefined });
  return files;
}

/** The same as one identity sees it. */
export function judgeOf(files: OperatorCertificates, identity: Identity): CertificateJudge {
  return {
    demanded: files.demanded,
    own: () => files.attest(identity),
    judge: (attestation, identityKey) => files.judge(attestation, { clusterId: identity.clusterId, identityKey }),
  };
}

/** For `status`; null: this host was told nothing of certificates. */
export function certificateFacts({ own, demanded, fault }: OperatorCertificates): CertificateFacts | null {
  if (own === null && !demanded && fault === null) return null;
  const expiresAt = own === null ? null : new Date(own.untilMs).toISOString();
  return { name: own?.name ?? null, expiresAt, demanded, reason: fault?.message ?? null };
}

export function openCertificates(
  { identity, certificates = NO_CERTIFICATES, clock, timers, mesh }: MemberOptions,
  removals: Removals,
  { own, member, failed }: AdmissionWiring,
): Certificates {
  return new Certificates({
    self: identity.keys.peer,
    clock,
    timers,
    judge: certificates,
    identityKeyOf: (peer) => member.directory.identityKeyOf(peer) ?? member.gossip.identityKeyOf(peer),
    members: () => member.directory.peers().map(([peer]) => peer),
    isRemoved: (peer) => removals.isRemoved(peer),
    isRevoked: (peer) => removals.isRevoked(peer),
    revoked: () => removals.revoked(),
    publish: (attestation) => own.publishAttestation(attestation),
    cut: (peer, why) => {
      mesh.shutOut(peer, why);
      member.tunnels.cut(peer);
      member.vxlan?.forget(peer);
    },
    failed,
  });
}
