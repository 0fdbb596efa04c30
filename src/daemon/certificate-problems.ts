// What an operator should know of certificates: own files that can't be used, a certificate that runs out, members that are
// refused, and two members that show the same one. Part of `health` (docs/status.md).

import type { PeerId } from '../base/ids.ts';
import type { OperatorCertificates } from '../host/certificates/operator-certificates.ts';
import type { Certificates } from './certificates.ts';
import { firstFew } from './first-few.ts';
import type { Problem } from './status-types.ts';

export interface CertificateHealthFacts {
  readonly files: Pick<OperatorCertificates, 'own' | 'fault'>;
  /** Null before this host has joined. */
  readonly certificates: Pick<Certificates, 'refused' | 'shared'> | null;
  /** Clock.wallMs. */
  readonly nowMs: number;
  /** As Directory.nameOf. */
  nameOf(peer: PeerId): string;
}

const WEEK_MS = 7 * 86_400_000;
/** Of its validity: what is renewed in time never gets so far. */
const LAST_PART = 1 / 4;
const RENEW = 'Put a new one in the place of the files of --cert and --key; they are read again within 2 s';

export function certificateProblems(facts: CertificateHealthFacts): readonly Problem[] {
  const { certificates, nowMs, nameOf } = facts;
  const { own, fault } = facts.files;
  const problems: Problem[] = [];
  if (fault !== null) {
    const { what, why = '', fix = '' } = fault.explanation;
    problems.push({ code: 'certificate-invalid', what, why, fix });
  } else if (own !== null && own.untilMs < nowMs) {
    const what = "this host's certificate has expired: others refuse it";
    problems.push({ code: 'certificate-expired', what, why: timesOf(own.untilMs, nowMs), fix: RENEW });
  }
  for (const { name, peers } of certificates?.shared() ?? []) {
    problems.push({
      code: 'certificate-shared',
      what: `${peers.map(nameOf).join(' and ')} show one certificate`,
      why: `it is issued to ${name}; one of them is a copy, or has a stolen key`,
      fix: "Find out which; give any other a certificate and key of its own, then 'fabric revoke' the one in wrong hands",
    });
  }
  return problems;
}

export function certificateNotices({
  files: { own },
  certificates,
  nowMs,
  nameOf,
}: CertificateHealthFacts): readonly Problem[] {
  const notices: Problem[] = [];
  const leftMs = own === null ? 0 : own.untilMs - nowMs;
  if (own !== null && leftMs >= 0 && leftMs < Math.min(WEEK_MS, (own.untilMs - own.fromMs) * LAST_PART)) {
    const what = "this host's certificate runs out soon";
    notices.push({ code: 'certificate-expiring', what, why: timesOf(own.untilMs, nowMs), fix: RENEW });
  }
  const refused = certificates?.refused() ?? [];
  if (refused.length > 0) {
    notices.push({
      code: 'certificate-refused',
      what: 'hosts of the cluster are kept out, because no certificate of theirs holds here',
      why: firstFew(refused.map(([peer, why]) => `${nameOf(peer)} (${why})`)),
      fix: 'Give each a certificate (--cert, --key) of a CA in the file of --ca, or remove it with fabric rmpeer',
    });
  }
  return notices;
}

function timesOf(untilMs: number, nowMs: number): string {
  return `it holds until ${new Date(untilMs).toISOString()}; the clock here says ${new Date(nowMs).toISOString()}`;
}
