// Makes a member's admission from its options and the parts that a removal, a token or a certificate changes.

import type { FabricError } from '../base/errors.ts';
import { Admission } from './admission.ts';
import type { Member } from './member.ts';
import type { MemberOptions } from './member-options.ts';
import { openCertificates } from './open-certificates.ts';
import { openRotations } from './open-rotations.ts';
import type { OwnRecords } from './own-records.ts';
import { Removals } from './removals.ts';

/** What the member adds to its options. `member` is used when there is news, not before. */
export interface AdmissionWiring {
  readonly own: OwnRecords;
  readonly member: Pick<Member, 'directory' | 'gossip' | 'spaces' | 'neighbourhood' | 'tunnels' | 'vxlan' | 'isAlive'>;
  failed(error: FabricError): void;
}

export function openAdmission(options: MemberOptions, wiring: AdmissionWiring): Admission {
  const { identity, log, mesh } = options;
  const { own, member } = wiring;
  const revoked = () => admission.wake();
  const removals = new Removals({ self: identity.keys.peer, log, mesh, own, revoked, parts: member });
  const rotations = openRotations(options, removals, wiring);
  const admission = new Admission({ removals, rotations, certificates: openCertificates(options, removals, wiring) });
  return admission;
}
