// The certificates that an operator gave this host (--ca, --cert, --key), as they are in force: read at the start, read again
// when the files change, and judged by. Invariant: files that can't be used change nothing of what is in force, and say so;
// a host that is told to demand certificates and knows no CA admits nobody.

import type { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { attestedBytes, encodeAttestation } from '../../base/attestation.ts';
import type { Cancel, Clock, Log, Timers } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import type { ClusterId } from '../../base/ids.ts';
import { type CertificatePaths, type OwnCertificate, readAuthorities, readOwn } from './files.ts';
import { type CertificateJudgement, expiryOf, judgeAttestation, nameOf, signAttested } from './judge.ts';

export interface OperatorCertificatesOptions {
  readonly paths: CertificatePaths;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

/** Of an identity in its cluster. */
export interface Identity {
  readonly clusterId: ClusterId;
  /** Ed25519 public key, 32 bytes. */
  readonly identityKey: Uint8Array;
}

/** What this host shows. */
export interface OwnCertificateFacts {
  readonly name: string;
  /** Clock.wallMs of its validity. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** New files are taken up within that time. A change of the mount under them is seen by no watch, but by its stat. */
const LOOK_EVERY_MS = 2_000;

export class OperatorCertificates {
  readonly #options: OperatorCertificatesOptions;
  #authorities: readonly X509Certificate[] = [];
  #own: OwnCertificate | null = null;
  #fault: FabricError | null = null;
  /** Of the one identity of this host: ECDSA signs otherwise each time. */
  #attested: Uint8Array | null = null;
  /** Of the files that were read last, good or bad. */
  #stamp = '';
  #cancel: Cancel | null = null;

  constructor(options: OperatorCertificatesOptions) {
    this.#options = options;
  }

  /**
   * Reads the files for the first time; call once. Throws `certificate-invalid` when `strict`; else what is wrong with them is
   * {@link fault}, and logged.
   */
  load({ strict = false } = {}): void {
    this.#stamp = this.#stampOfFiles();
    this.#read();
    if (this.#fault === null) return;
    if (strict) throw this.#fault;
    this.#logFault(this.#fault);
  }

  /** `changed`: other certificates are in force, or none could be read and now can. */
  watch(changed: () => void): void {
    if (!this.#isGiven) return;
    this.#cancel = this.#options.timers.after(LOOK_EVERY_MS, () => {
      this.watch(changed);
      const stamp = this.#stampOfFiles();
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      this.#read();
      if (this.#fault !== null) {
        this.#logFault(this.#fault);
        return;
      }
      this.#options.log.info('the certificates were read again', { certificate: this.own?.name ?? '' });
      changed();
    });
  }

  stop(): void {
    this.#cancel?.();
  }

  /** Hosts without a certificate that one of the CAs has issued are refused. */
  get demanded(): boolean {
    return this.#options.paths.ca !== null;
  }

  /** Why the files as they are now are not in force; null when they are. */
  get fault(): FabricError | null {
    return this.#fault;
  }

  get own(): OwnCertificateFacts | null {
    if (this.#own === null) return null;
    const { certificate } = this.#own;
    return { name: nameOf(certificate), fromMs: Date.parse(certificate.validFrom), untilMs: expiryOf(certificate) };
  }

  /** What this identity shows to others; null: it has no certificate. The same bytes until the files change. */
  attest({ clusterId, identityKey }: Identity): Uint8Array | null {
    if (this.#own === null) return null;
    const { certificate, key } = this.#own;
    this.#attested ??= encodeAttestation({
      certificate: new Uint8Array(certificate.raw),
      signature: signAttested(key, attestedBytes(clusterId, identityKey)),
    });
    return this.#attested;
  }

  /** `attestation`: null when that identity shows none. Never throws. */
  judge(attestation: Uint8Array | null, of: Identity): CertificateJudgement {
    const { clock } = this.#options;
    return judgeAttestation(attestation, { ...of, authorities: this.#authorities, nowMs: clock.wallMs() });
  }

  get #isGiven(): boolean {
    const { ca, cert } = this.#options.paths;
    return ca !== null || cert !== null;
  }

  /** CAs and own certificate each stand for themselves: one that is readable is used, whatever the other is like. */
  #read(): void {
    const { paths, clock } = this.#options;
    const { ca, cert, key } = paths;
    const faults: FabricError[] = [];
    const attempt = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        if (!(error instanceof FabricError)) throw error;
        faults.push(error);
      }
    };
    attempt(() => {
      if (ca !== null) this.#authorities = readAuthorities(ca);
    });
    attempt(() => {
      const authorities = ca === null ? null : this.#authorities;
      if (cert === null || key === null) return;
      this.#own = readOwn({ cert, key }, { authorities, nowMs: clock.wallMs() });
      this.#attested = null;
    });
    this.#fault = faults[0] ?? null;
  }

  #logFault({ explanation: { what, why = '', fix = '' } }: FabricError): void {
    this.#options.log.error(what, { why, fix });
  }

  #stampOfFiles(): string {
    const { ca, cert, key } = this.#options.paths;
    return [ca, cert, key].map((path) => (path === null ? '' : stampOf(path))).join(' ');
  }
}

function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeMs } = statSync(path);
    return `${dev}:${ino}:${size}:${mtimeMs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
