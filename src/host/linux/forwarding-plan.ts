// Which sysctls let a host forward for its containers without any other effect, and how they go back. Switching IPv6
// forwarding on makes the kernel drop default routes learned from router advertisements unless accept_ra is 2 (measured),
// and both families' switches write every interface's own value. Pure: values in, writes and originals out.

import type { ForwardingGuard } from './overlay-rules.ts';

/** The sysctls of one interface; null: there is none (IPv6 off). */
export interface InterfaceSysctls {
  readonly name: string;
  /** Null on hardware, else `veth`, `bridge`, …. */
  readonly kind: string | null;
  readonly forwarding4: string | null;
  readonly forwarding6: string | null;
  readonly acceptRa: string | null;
}

export interface ForwardingSysctls {
  readonly all4: string | null;
  readonly default4: string | null;
  readonly acceptRedirects4: string | null;
  readonly all6: string | null;
  readonly default6: string | null;
  /** Interfaces of others only. */
  readonly interfaces: readonly InterfaceSysctls[];
}

/** Values before fabric changed them, by sysctl path below /proc/sys. */
export type SysctlOriginals = Readonly<Record<string, string>>;

export interface SysctlWrite {
  readonly path: string;
  readonly value: string;
}

export interface ForwardingPlan {
  /** In this order: accept_ra before forwarding. Empty when nothing is to do. */
  readonly writes: readonly SysctlWrite[];
  /** To be durable before the first write; what an earlier plan recorded stays. */
  readonly originals: SysctlOriginals;
  readonly guard: ForwardingGuard;
}

const IP4 = 'net/ipv4/conf';
const IP6 = 'net/ipv6/conf';
const UPLINK_KINDS: readonly string[] = ['bond', 'team', 'vlan'];

/** `before` is what an earlier plan left behind, in this boot and this namespace. */
export function planForwarding(
  now: ForwardingSysctls,
  before: Pick<ForwardingPlan, 'originals' | 'guard'>,
  needs: { readonly ip6: boolean },
): ForwardingPlan {
  const writes: SysctlWrite[] = [];
  const originals: Record<string, string> = {};
  const change = (path: string, from: string, to: string): void => {
    originals[path] = from;
    writes.push({ path, value: to });
  };
  const bridgesBefore = now.interfaces.filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  let { ip4, ip6 } = before.guard;

  if (now.all4 === '0') {
    ip4 ??= { forwardedFrom: now.interfaces.filter((i) => i.forwarding4 === '1').map((i) => i.name), bridgesBefore };
    // The kernel writes these three along with `all/forwarding`.
    if (now.default4 !== null) originals[`${IP4}/default/forwarding`] = now.default4;
    if (now.acceptRedirects4 !== null) originals[`${IP4}/all/accept_redirects`] = now.acceptRedirects4;
    for (const { name, forwarding4 } of now.interfaces) {
      if (forwarding4 !== null) originals[`${IP4}/${name}/forwarding`] = forwarding4;
    }
    change(`${IP4}/all/forwarding`, now.all4, '1');
  }

  if (needs.ip6 && now.all6 !== null) {
    const switching = now.all6 === '0';
    if (switching) ip6 ??= { forwardedFrom: [], bridgesBefore };
    for (const uplink of now.interfaces) {
      if (ip6 === null || uplink.acceptRa !== '1') continue;
      if (switching ? uplink.forwarding6 === '0' : mayBeUplink(uplink, before.originals)) {
        change(`${IP6}/${uplink.name}/accept_ra`, uplink.acceptRa, '2');
      }
    }
    if (switching) {
      if (now.default6 !== null) originals[`${IP6}/default/forwarding`] = now.default6;
      for (const { name, forwarding6 } of now.interfaces) {
        if (forwarding6 !== null) originals[`${IP6}/${name}/forwarding`] = forwarding6;
      }
      change(`${IP6}/all/forwarding`, now.all6, '1');
    }
  }
  return { writes, originals: { ...originals, ...before.originals }, guard: { ip4, ip6 } };
}

/**
 * The way back: the global switches first (they overwrite the others), then each value that differed, accept_ra last so
 * that no router advertisement is lost in between.
 */
export function planRestore(originals: SysctlOriginals): readonly SysctlWrite[] {
  const rank = (path: string): number => {
    if (path.endsWith('/all/forwarding')) return 0;
    return path.endsWith('/accept_ra') ? 2 : 1;
  };
  return Object.entries(originals)
    .map(([path, value]) => ({ path, value }))
    .sort((a, b) => rank(a.path) - rank(b.path) || (a.path < b.path ? -1 : 1));
}

/**
 * Hardware and what stacks on it may lead to routers, also when plugged in after fabric started. Bridges and veths that
 * appear later belong to container runtimes: advertisements from there must not count (CVE-2020-13401).
 */
export function mayBeUplink(
  { name, kind }: Pick<InterfaceSysctls, 'name' | 'kind'>,
  originals: SysctlOriginals,
): boolean {
  return kind === null || UPLINK_KINDS.includes(kind) || `${IP6}/${name}/accept_ra` in originals;
}
