// `--ca`, `--cert` and `--key`: their check, and what is remembered of them. Only the paths are, never what the files hold.

import { resolve } from 'node:path';
import { FabricError } from '../base/errors.ts';
import type { CertificatePaths } from '../host/certificates/files.ts';

/** As the parser gives them: a path, or `off` for what was remembered and is to be so no more. */
export interface CertificateFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Undefined when none was given. A path counts from the directory of the command. */
export function checkCertificateFlags({ ca, cert, key }: CertificateFlags): CertificateFlags | undefined {
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  const place = (name: keyof CertificateFlags, path: string | undefined) => {
    if (path === undefined) return {};
    return { [name]: path === 'off' ? path : resolve(path) };
  };
  return { ...place('ca', ca), ...place('cert', cert), ...place('key', key) };
}

/** Flags first, then what is remembered. */
export function mergeCertificatePaths(
  given: CertificateFlags | undefined,
  remembered: CertificatePaths | undefined,
): CertificatePaths | undefined {
  if (given === undefined) return remembered;
  const pathOf = (name: keyof CertificateFlags): string | null => {
    const path = given[name];
    return path === 'off' ? null : (path ?? remembered?.[name] ?? null);
  };
  return { ca: pathOf('ca'), cert: pathOf('cert'), key: pathOf('key') };
}

/** Throws FabricError `usage`. */
export function checkTogether({ ca, cert, key }: CertificatePaths): void {
  if ((cert === null) !== (key === null)) {
    throw new FabricError('usage', {
      what: cert === null ? '--key needs --cert' : '--cert needs --key',
      why: 'a certificate is shown by whoever has its key',
      fix: 'Give both, or --cert off --key off',
    });
  }
  if (ca === null || cert !== null) return;
  throw new FabricError('usage', {
    what: '--ca needs --cert and --key',
    why: 'other hosts that demand a certificate would refuse this one',
    fix: 'Have the CA issue a certificate for this host; or --ca off',
  });
}
