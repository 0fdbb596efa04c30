// What a host's kernel holds for its network, as plain sorted values that can be compared: links, addresses, routes, rules,
// FDB, nftables and the network sysctls. What changes by itself (indexes, handles, counters, lifetimes) is left out.

import { eventually } from './exec.ts';
import type { LabHost } from './host.ts';

export type KernelState = Readonly<Record<string, readonly string[]>>;

const JSON_DUMPS: Readonly<Record<string, readonly string[]>> = {
  links: ['ip', '-d', '-j', 'link', 'show'],
  addresses: ['ip', '-j', 'address', 'show'],
  routes: ['ip', '-4', '-j', 'route', 'show', 'table', 'all'],
  routes6: ['ip', '-6', '-j', 'route', 'show', 'table', 'all'],
  rules: ['ip', '-4', '-j', 'rule', 'show'],
  rules6: ['ip', '-6', '-j', 'rule', 'show'],
  fdb: ['bridge', '-j', 'fdb', 'show'],
};

/** Indexes, counters, lifetimes and the timers of bridges. */
const VOLATILE =
  /^(ifindex|link_index|link|link_netnsid|handle|index|packets|bytes|expires|age|used|metainfo|valid_life_time|preferred_life_time)$|_timer$/;

/** Waits until the kernel has checked its IPv6 addresses for duplicates: they and their routes come and go till then. */
export async function kernelState(host: LabHost): Promise<KernelState> {
  await eventually('no IPv6 address is tentative', async () => {
    return (await host.run(['ip', '-6', 'address', 'show', 'tentative'])).stdout === '';
  });
  const state: Record<string, readonly string[]> = {};
  for (const [name, command] of Object.entries(JSON_DUMPS)) {
    const { stdout } = await host.run(command);
    state[name] = linesOf(JSON.parse(stdout.trim() || '[]') as unknown[]);
  }
  const { stdout: ruleset } = await host.run(['nft', '-j', 'list', 'ruleset']);
  state.nftables = linesOf((JSON.parse(ruleset) as { nftables: unknown[] }).nftables);
  const { stdout: sysctls } = await host.run(['sysctl', '-a', '--pattern', String.raw`^net\.(ipv4|ipv6|bridge)\.`], {
    mayFail: true, // some may not be read by anybody
  });
  state.sysctls = sysctls.split('\n').filter((line) => line !== '');
  return state;
}

function linesOf(values: readonly unknown[]): readonly string[] {
  return values
    .map((value) => JSON.stringify(withoutVolatile(value)))
    .filter((text) => text !== '{}')
    .sort();
}

/** Of nftables, sets hold their elements in no order. */
function withoutVolatile(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutVolatile);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => !VOLATILE.test(key));
  return Object.fromEntries(
    kept.map(([key, inner]) => {
      const clean = withoutVolatile(inner);
      if (key !== 'elem' || !Array.isArray(clean)) return [key, clean];
      return [key, clean.map((element) => JSON.stringify(element)).sort()];
    }),
  );
}
