// What a process must have before fabric changes anything of its host's network: the capability to do so. Whatever else a kernel
// may lack shows when it is asked for.

import { readFileSync } from 'node:fs';
import { FabricError } from '../../base/errors.ts';

/** CAP_NET_ADMIN's bit in /proc/self/status. */
const CAP_NET_ADMIN = 1n << 12n;

/** Throws FabricError `not-root`. */
export function checkCapabilities(): void {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  if ((BigInt(`0x${capabilities}`) & CAP_NET_ADMIN) !== 0n) return;
  throw new FabricError('not-root', {
    what: "fabric can't change this host's network",
    why: 'it lacks CAP_NET_ADMIN',
    fix: 'Run it as root: sudo fabric launch',
  });
}
