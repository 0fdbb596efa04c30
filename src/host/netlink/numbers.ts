// Numbers that several rtnetlink families share: address families and scopes (linux/rtnetlink.h).

import type { Family } from '../../base/address.ts';
import type { Scope } from './objects.ts';

const AF_INET = 2;
const AF_INET6 = 10;

export function familyNumber(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** Null for families other than IPv4 and IPv6, and for none. */
export function familyOfNumber(value: number | undefined): Family | null {
  if (value === AF_INET) return 4;
  return value === AF_INET6 ? 6 : null;
}

const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

export function scopeNumber(scope: Scope): number {
  return typeof scope === 'number' ? scope : SCOPES[scope];
}

export function scopeOfNumber(value: number): Scope {
  const named = Object.entries(SCOPES).find(([, number]) => number === value);
  return named === undefined ? value : (named[0] as keyof typeof SCOPES);
}
