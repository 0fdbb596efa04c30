// Switches forwarding on for the overlay and back off at the end, as forwarding-plan.ts decides: originals are on disk
// before the kernel changes. What the guard says stays dropped is for the packet filter (overlay-rules.ts).

import { readFileSync } from 'node:fs';
import type { Log } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import { errnoName, NetworkNamespace, readSysctl, writeSysctl } from '../native.ts';
import type { Link } from '../netlink/objects.ts';
import {
  type ForwardingSysctls,
  mayBeUplink,
  planForwarding,
  planRestore,
  type SysctlOriginals,
} from './forwarding-plan.ts';
import { type ForwardingGuard, NO_GUARD } from './overlay-rules.ts';
import type { HostState, HostStateFile } from './state-file.ts';

/** Null when there is no such sysctl: IPv6 is off, or the interface is gone. */
export async function readSysctlIfAny(path: string, namespaceFd: number | null = null): Promise<string | null> {
  try {
    return await readSysctl(path, namespaceFd);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Rejects with `kernel-feature-missing`. */
export async function requireIpv6(): Promise<void> {
  if ((await readSysctlIfAny('net/ipv6/conf/all/forwarding')) !== null) return;
  throw new FabricError('kernel-feature-missing', {
    what: 'this kernel has no IPv6',
    why: 'it is switched off at boot or not built in',
    fix: 'Launch with --range6 off, or boot without ipv6.disable=1',
  });
}

export class Forwarding {
  readonly #file: HostStateFile;
  readonly #log: Log;

  constructor(file: HostStateFile, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  /** What must stay dropped; known before {@link enable} changes anything. Writes the originals down. */
  async prepare(links: readonly Link[], needs: { readonly ip6: boolean }): Promise<PreparedForwarding> {
    const before = this.#load();
    const plan = planForwarding(await observe(links, before.originals), before, needs);
    if (JSON.stringify(plan.originals) !== JSON.stringify(before.originals)) {
      this.#file.write({ place: before.place, originals: plan.originals, guard: plan.guard });
    }
    const enable = async (): Promise<boolean> => {
      for (const { path, value } of plan.writes) await writeSysctl(path, value);
      if (plan.writes.length > 0) this.#log.info('forwarding switched on', { sysctls: plan.writes.length });
      return plan.writes.length > 0;
    };
    return { guard: plan.guard, enable };
  }

  /** Idempotent. Interfaces that are gone are left out. */
  async restore(): Promise<void> {
    const state = this.#load();
    for (const { path, value } of planRestore(state.originals)) {
      const current = await readSysctlIfAny(path);
      if (current !== null && current !== value) await writeSysctl(path, value);
    }
    this.#file.remove();
  }

  /** A file of another boot or namespace says nothing about this one. */
  #load(): HostState {
    const place = currentPlace();
    const state = this.#file.read();
    return state?.place === place ? state : { place, originals: {}, guard: NO_GUARD };
  }
}

export interface PreparedForwarding {
  readonly guard: ForwardingGuard;
  /** Writes the sysctls; true when one was different. The guard stands before it. */
  enable(): Promise<boolean>;
}

function currentPlace(): string {
  const { dev, ino } = NetworkNamespace.currentId();
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${dev}:${ino}`;
}

async function observe(links: readonly Link[], originals: SysctlOriginals): Promise<ForwardingSysctls> {
  const ip4 = (name: string, key: string): Promise<string | null> => readSysctlIfAny(`net/ipv4/conf/${name}/${key}`);
  const ip6 = (name: string, key: string): Promise<string | null> => readSysctlIfAny(`net/ipv6/conf/${name}/${key}`);
  const [all4, default4, acceptRedirects4, all6, default6] = await Promise.all([
    ip4('all', 'forwarding'),
    ip4('default', 'forwarding'),
    ip4('all', 'accept_redirects'),
    ip6('all', 'forwarding'),
    ip6('default', 'forwarding'),
  ]);
  // A thousand container ports need no thousand reads at each check.
  const looked = all4 === '0' || all6 === '0' ? links : links.filter((link) => mayBeUplink(link, originals));
  const interfaces = looked.map(async ({ name, kind }) => {
    const [forwarding4, forwarding6, acceptRa] = await Promise.all([
      ip4(name, 'forwarding'),
      ip6(name, 'forwarding'),
      ip6(name, 'accept_ra'),
    ]);
    return { name, kind, forwarding4, forwarding6, acceptRa };
  });
  return { all4, default4, acceptRedirects4, all6, default6, interfaces: await Promise.all(interfaces) };
}
