// A certificate authority of an operator, made with the openssl command, and the files that hosts of the lab are given of it: what
// --ca, --cert and --key name.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from './host.ts';

/** Paths of PEM files. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

export function certificateFile(host: LabHost, name: 'host.pem' | 'host.key' | 'ca.pem'): string {
  return join(host.directory, 'certificates', name);
}

/** Puts them where {@link certificateFlags} says that they are, in the place of what was there. */
export function giveCertificate(
  host: LabHost,
  { cert, key }: IssuedCertificate,
  authorities: readonly OperatorCa[],
  mode = 0o600,
): void {
  mkdirSync(join(host.directory, 'certificates'), { recursive: true });
  writeFileSync(certificateFile(host, 'host.key'), readFileSync(key));
  chmodSync(certificateFile(host, 'host.key'), mode);
  writeFileSync(certificateFile(host, 'host.pem'), readFileSync(cert));
  writeFileSync(certificateFile(host, 'ca.pem'), authorities.map(({ file }) => readFileSync(file, 'utf8')).join(''));
}

/** `demands`: it refuses who shows none, too. */
export function certificateFlags(host: LabHost, { demands = true } = {}): readonly string[] {
  const own = ['--cert', certificateFile(host, 'host.pem'), '--key', certificateFile(host, 'host.key')];
  return demands ? ['--ca', certificateFile(host, 'ca.pem'), ...own] : own;
}

const KEYS = {
  ed25519: ['-newkey', 'ed25519'],
  p256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  rsa1024: ['-newkey', 'rsa:1024'],
  rsa2048: ['-newkey', 'rsa:2048'],
} as const;

export class OperatorCa {
  /** Its own certificate. */
  readonly file: string;
  readonly #directory: string;
  readonly #name: string;
  readonly #key: string;

  /** `days` until it expires. */
  constructor(
    directory: string,
    name: string,
    { key = 'ed25519', days = 30 }: { readonly key?: keyof typeof KEYS; readonly days?: number } = {},
  ) {
    this.#directory = directory;
    this.#name = name;
    this.file = join(directory, `${name}.pem`);
    this.#key = join(directory, `${name}.key`);
    const files = ['-keyout', this.#key, '-out', this.file];
    openssl(['req', '-x509', ...KEYS[key], '-nodes', ...files, '-subj', `/CN=${name}`, '-days', String(days)]);
  }

  /**
   * `days` may be -1: it has expired. `untilMs`: Unix time instead, to the second. `extensions` are lines of openssl's configuration;
   * each issue makes a new key.
   */
  issue(
    host: string,
    {
      key = 'p256',
      days = 30,
      untilMs,
      subject = `/O=example/CN=${host}`,
      extensions = ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature'],
    }: {
      readonly key?: keyof typeof KEYS;
      readonly days?: number;
      readonly untilMs?: number;
      readonly subject?: string;
      readonly extensions?: readonly string[];
    } = {},
  ): IssuedCertificate {
    const place = (suffix: string): string => join(this.#directory, `${this.#name}-${host}.${suffix}`);
    const [issued, request, config] = [{ cert: place('pem'), key: place('key') }, place('csr'), place('cnf')];
    writeFileSync(config, `${extensions.join('\n')}\n${this.#database(place('index'))}`);
    openssl(['req', '-new', ...KEYS[key], '-nodes', '-keyout', issued.key, '-out', request, '-subj', subject]);
    if (untilMs === undefined) {
      const by = ['-CA', this.file, '-CAkey', this.#key, '-CAcreateserial', '-days', String(days), '-extfile', config];
      openssl(['x509', '-req', '-in', request, '-out', issued.cert, ...by]);
    } else {
      writeFileSync(place('index'), '');
      const times = ['-startdate', asn1Time(Date.parse('2020-01-01')), '-enddate', asn1Time(untilMs)];
      const by = ['-cert', this.file, '-keyfile', this.#key, '-config', config, '-extfile', config, ...times];
      openssl(['ca', '-batch', '-notext', '-in', request, '-out', issued.cert, ...by]);
    }
    return issued;
  }

  /** For `openssl ca`, which alone takes times that are no days. */
  #database(index: string): string {
    const lines = ['default_md=default', 'policy=any', 'preserve=yes', 'rand_serial=yes', 'unique_subject=no'];
    const own = [`database=${index}`, `new_certs_dir=${this.#directory}`, ...lines].join('\n');
    return `[ca]\ndefault_ca=own\n[own]\n${own}\n[any]\norganizationName=optional\ncommonName=supplied\n`;
  }
}

/** GeneralizedTime (RFC 5280 §4.1.2.5.2). */
function asn1Time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '')}Z`;
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
