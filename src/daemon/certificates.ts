// Admission by operators' certificates (docs/keys.md): who of the cluster shows one that holds, and which identity it belongs to.
// What hosts say in Hellos and records is kept, and judged again when it expires or when the CAs change. Invariants: where
// certificates are demanded, whoever has none that holds is neither linked nor tunnelled to; a new identity never gets in by
// the certificate of one that is a member.

import { equalBytes } from '../base/bytes.ts';
import type { Clock, Timers } from '../base/capabilities.ts';
import type { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { CertificateJudgement, CertifiedHost } from '../host/certificates/judge.ts';
import type { Refusal } from '../host/mesh/refusal.ts';
import { Ticker } from './ticker.ts';

/** The files of --ca, --cert and --key; src/host/certificates/operator-certificates.ts. */
export interface CertificateJudge {
  readonly demanded: boolean;
  /** Null: this host shows none. */
  own(): Uint8Array | null;
  /** `attestation`: null when that identity shows none. */
  judge(attestation: Uint8Array | null, identityKey: Uint8Array): CertificateJudgement;
}

export interface CertificatePorts {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly judge: CertificateJudge;
  /** Ed25519 public key; null: nobody has told it yet. */
  identityKeyOf(peer: PeerId): Uint8Array | null;
  /** Hosts that say who they are. */
  members(): readonly PeerId[];
  isRemoved(peer: PeerId): boolean;
  isRevoked(peer: PeerId): boolean;
  /** All hosts that were ever revoked. */
  revoked(): readonly PeerId[];
  /** Tells all others what this host shows; null: nothing. Durable when it returns. */
  publish(attestation: Uint8Array | null): void;
  /** What that host was let in by does not hold any more. Idempotent; must not call back. */
  cut(peer: PeerId, why: string): void;
  /** A tick could not do its work; it is tried again. */
  failed(error: FabricError): void;
}

interface Shown {
  readonly attestation: Uint8Array;
  /** Null: not judged by the CAs of now, or by a key that nobody knew. */
  judgement: CertificateJudgement | null;
}

/** Two members that show one certificate. */
export interface SharedCertificate {
  readonly name: string;
  readonly peers: readonly PeerId[];
}

/** Of a host that was told nothing of certificates. */
export const NO_CERTIFICATES: CertificateJudge = {
  demanded: false,
  own: () => null,
  judge: () => ({ holds: false, why: 'no CA is known here', fix: 'Launch with --ca' }),
};

/** Files are replaced on one host after the other, and records come later still: what does not hold for so long does not hold. */
const PATIENCE_MS = 60_000;
const SWEEP_EVERY_MS = 30_000;
const IDLE_MS = 600_000;

export class Certificates {
  readonly #ports: CertificatePorts;
  /** As large as gossip's table of authors. */
  readonly #shown = new Map<PeerId, Shown>();
  /** Clock.monotonicMs since which a member has been refused. */
  #refusedSince: ReadonlyMap<PeerId, number> = new Map();
  readonly #ticker: Ticker;

  constructor(ports: CertificatePorts) {
    this.#ports = ports;
    this.#ticker = new Ticker(ports.timers, () => this.#tick(), ports.failed);
  }

  /** Others are told at once what this host shows. */
  wake(): void {
    this.#ticker.wake();
  }

  stop(): void {
    this.#ticker.stop();
  }

  /** Host `author` shows that certificate from now on; null: none. A revoked host's key stays known, whatever it says. */
  heard(author: PeerId, attestation: Uint8Array | null): void {
    if (this.#ports.isRevoked(author) && this.#shown.has(author)) return;
    if (attestation === null) this.#shown.delete(author);
    else this.#keep(author, attestation);
  }

  /** Whether a tunnel to that host may be. */
  admits(peer: PeerId): boolean {
    return !this.#ports.judge.demanded || this.#verdictOf(peer).holds;
  }

  /** Why a host that proved its identity is not let in with what it shows; null: it is welcome. Then its certificate is known. */
  refusalOf(
    { peer, identityKey }: { readonly peer: PeerId; readonly identityKey: Uint8Array },
    attestation: Uint8Array | null,
  ): Refusal | null {
    const { judge } = this.#ports;
    if (!judge.demanded) return null;
    const judgement = judge.judge(attestation, identityKey);
    if (!judgement.holds) return faultRefusal(peer, judgement);
    const member = this.#shown.has(peer) ? null : this.#memberWith(judgement, peer);
    const holder = this.#revokedWith(judgement, peer) ?? member;
    if (holder !== null) return this.#inUse(peer, judgement, holder);
    this.#keep(peer, attestation!);
    return null;
  }

  /** The files say something else than before: everybody is judged anew, and told what this host shows. */
  changed(): void {
    for (const shown of this.#shown.values()) shown.judgement = null;
    this.wake();
  }

  /** Members that are not let in, with the reason. */
  refused(): readonly (readonly [PeerId, string])[] {
    if (!this.#ports.judge.demanded) return [];
    return this.#others().flatMap((peer) => {
      const verdict = this.#verdictOf(peer);
      return verdict.holds ? [] : [[peer, verdict.why] as const];
    });
  }

  /** One of each pair is a copy, or has a stolen key: came in on two sides of a partition, or before certificates were demanded. */
  shared(): readonly SharedCertificate[] {
    const holders = new Map<string, PeerId[]>();
    for (const peer of [this.#ports.self, ...this.#others()]) {
      const judgement = this.#shown.has(peer) ? this.#judgementOf(peer) : null;
      if (judgement?.holds) holders.set(judgement.name, [...(holders.get(judgement.name) ?? []), peer]);
    }
    return [...holders].flatMap(([name, peers]) => (peers.length > 1 ? [{ name, peers }] : []));
  }

  /** Does what is due; returns the milliseconds until it wants to be called again. */
  #tick(): number {
    const { judge, publish, cut, clock } = this.#ports;
    publish(judge.own());
    const nowMs = clock.monotonicMs();
    const refused = this.refused();
    this.#refusedSince = new Map(refused.map(([peer]) => [peer, this.#refusedSince.get(peer) ?? nowMs]));
    for (const [peer, why] of refused) {
      const isPatient = !this.#judgementOf(peer).holds; // else its key is a revoked host's: no new file is on its way
      if (!isPatient || nowMs - this.#refusedSince.get(peer)! >= PATIENCE_MS) cut(peer, why);
    }
    return judge.demanded ? SWEEP_EVERY_MS : IDLE_MS;
  }

  #keep(peer: PeerId, attestation: Uint8Array): void {
    const before = this.#shown.get(peer);
    if (before === undefined || !equalBytes(before.attestation, attestation)) {
      this.#shown.set(peer, { attestation: attestation.slice(), judgement: null });
    }
  }

  #judgementOf(peer: PeerId): CertificateJudgement {
    const { judge, clock, identityKeyOf } = this.#ports;
    const shown = this.#shown.get(peer);
    const identityKey = identityKeyOf(peer);
    if (shown === undefined || identityKey === null) return judge.judge(null, NO_KEY);
    const isStale = shown.judgement?.holds === true && shown.judgement.untilMs < clock.wallMs();
    if (shown.judgement === null || isStale) shown.judgement = judge.judge(shown.attestation, identityKey);
    return shown.judgement;
  }

  /** What is said of its certificate, unless its key is that of a revoked host: whoever shows it is out. */
  #verdictOf(peer: PeerId): CertificateJudgement {
    const judgement = this.#judgementOf(peer);
    const holder = judgement.holds ? this.#revokedWith(judgement, peer) : null;
    return holder === null || !judgement.holds ? judgement : { holds: false, ...revokedKey(judgement, holder) };
  }

  /** The revoked host that had the certificate's key. */
  #revokedWith({ keyId }: CertifiedHost, peer: PeerId): PeerId | null {
    const hadIt = (other: PeerId): boolean => {
      const theirs = this.#judgementOf(other);
      return other !== peer && theirs.holds && theirs.keyId === keyId;
    };
    return this.#ports.revoked().find(hadIt) ?? null;
  }

  /** The member that has the certificate, or another one of its key or name, which a new identity shows. */
  #memberWith({ name, keyId }: CertifiedHost, newcomer: PeerId): PeerId | null {
    const { members, isRemoved } = this.#ports;
    const hasIt = (other: PeerId): boolean => {
      if (other === newcomer || isRemoved(other) || !this.#shown.has(other)) return false;
      const theirs = this.#judgementOf(other);
      return theirs.holds && (theirs.keyId === keyId || theirs.name === name);
    };
    return members().find(hasIt) ?? null;
  }

  #inUse(peer: PeerId, certified: CertifiedHost, holder: PeerId): Refusal {
    const refusal = { code: 'certificate-in-use', what: `refused peer ${peer}` } as const;
    if (this.#ports.isRevoked(holder)) return { ...refusal, ...revokedKey(certified, holder) };
    return {
      ...refusal,
      why: `it shows the certificate of peer ${holder}, which is a member: ${certified.name}`,
      fix: `Give it a certificate and key of its own; if it takes the place of that host: 'fabric rmpeer ${holder}' on a member`,
    };
  }

  #others(): readonly PeerId[] {
    const { members, self } = this.#ports;
    return members().filter((peer) => peer !== self);
  }
}

function revokedKey({ name }: CertifiedHost, holder: PeerId): { readonly why: string; readonly fix: string } {
  return {
    why: `it shows the certificate key of peer ${holder}, which was revoked: ${name}`,
    fix: 'Make a new key there, and have the CA issue a certificate for it',
  };
}

/** Of a host that shows nothing, no key is looked at. */
const NO_KEY = new Uint8Array(32);

/** Of a host before it is a member, too: it looks at whom it joins. */
export function faultRefusal(peer: PeerId, { why, fix }: { readonly why: string; readonly fix: string }): Refusal {
  return { code: 'certificate-refused', what: `refused peer ${peer}`, why, fix };
}
