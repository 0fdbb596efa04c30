// Failures of netlink calls as FabricErrors: the operation, the errno's name and the kernel's own words (extended ack).
// The predicates let idempotent callers accept "exists" and "is gone" without comparing texts.

import { constants } from 'node:os';
import { FabricError } from '../../base/errors.ts';

export class NetlinkError extends FabricError {
  /** `EEXIST`, `ENODEV`, …. */
  readonly errno: string;
  /** What the kernel said beyond the errno, or empty. */
  readonly kernelWords: string;

  constructor(operation: string, errno: string, kernelWords = '', options?: { cause?: unknown }) {
    const why = kernelWords === '' ? errno : `${errno}, ${kernelWords}`;
    const fix = errno === 'EPERM' ? 'Run it as root (CAP_NET_ADMIN)' : undefined;
    super('netlink', { what: `can't ${operation}`, why, ...(fix === undefined ? {} : { fix }) }, options);
    this.name = 'NetlinkError';
    this.errno = errno;
    this.kernelWords = kernelWords;
  }
}

/** Two names share a number on Linux; the kernel's documentation uses these. */
const PREFERRED = ['EOPNOTSUPP', 'EAGAIN'];
const ERRNO_NAMES = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, value]) => [value, name] as const),
  ...Object.entries(constants.errno).flatMap(([name, value]) =>
    PREFERRED.includes(name) ? [[value, name] as const] : [],
  ),
]);

/** `17` → `EEXIST`; an unknown number stays a number. */
export function errnoNameOf(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** EEXIST: the object is there already. */
export function isExists(error: unknown): boolean {
  return hasErrno(error, 'EEXIST');
}

/** The object, or the link it belongs to, is not there: ENOENT, ENODEV, ESRCH, ENXIO or EADDRNOTAVAIL. */
export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENODEV', 'ESRCH', 'ENXIO', 'EADDRNOTAVAIL'].some((errno) => hasErrno(error, errno));
}

export function hasErrno(error: unknown, errno: string): boolean {
  return error instanceof NetlinkError && error.errno === errno;
}
