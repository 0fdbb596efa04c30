// Reads the packet filter of this host: nftables by `nft -j`, what iptables-legacy left by its own program. Changes nothing.

import { readFileSync } from 'node:fs';
import type { Log } from '../../base/capabilities.ts';
import type { ChainName, PacketFilterReading } from '../../doctor/readings.ts';
import { ForeignAccepts } from '../linux/foreign-accepts.ts';
import { acceptRules, type ChainPlace, droppingChains } from '../linux/foreign-chains.ts';
import { readSysctlIfAny } from '../linux/forwarding.ts';
import { NFT_TABLE, routedInterfaces } from '../linux/names.ts';
import { PacketFilterPrograms } from '../linux/nft.ts';
import { errnoName } from '../native.ts';
import { mayAccept } from './input-rules.ts';

const LEGACY = [
  { family: 'ip', names: '/proc/net/ip_tables_names', program: 'iptables-legacy' },
  { family: 'ip6', names: '/proc/net/ip6_tables_names', program: 'ip6tables-legacy' },
] as const;

/** `bridges`: of networks with a gateway, the default network's first. Rejects with the FabricError of a program that can't be run. */
export async function readPacketFilter(
  { bridges, port }: { readonly bridges: readonly string[]; readonly port: number },
  log: Log,
): Promise<PacketFilterReading> {
  const programs = new PacketFilterPrograms();
  const rules = acceptRules(routedInterfaces(bridges));
  const own = await Promise.all(['inet', 'bridge'].map((family) => programs.list('table', family, NFT_TABLE)));
  const forwardDrops = await new ForeignAccepts(programs, log).unopened([{ hook: 'forward', rules }]);
  return {
    hasOwnTables: own.every((table) => table !== null),
    forwardDrops: forwardDrops.map(nameOf),
    inputDrops: await inputDrops(programs, port),
    legacyDrops: (await Promise.all(LEGACY.map((legacy) => legacyDrops(programs, legacy, bridges)))).flat(),
    bridgeNetfilter: (await readSysctlIfAny('net/bridge/bridge-nf-call-iptables')) === '1',
  };
}

async function inputDrops(programs: PacketFilterPrograms, port: number): Promise<PacketFilterReading['inputDrops']> {
  const chains = (await programs.list('ruleset')) ?? [];
  const drops: { chain: ChainName; protocol: 'TCP' | 'UDP' }[] = [];
  for (const place of droppingChains(chains, 'input')) {
    const table = chains.filter(({ rule }) => isIn(rule, place));
    for (const protocol of ['TCP', 'UDP'] as const) {
      const open = mayAccept(table, protocol.toLowerCase() as 'tcp' | 'udp', port);
      if (!open) drops.push({ chain: nameOf(place), protocol });
    }
  }
  return drops;
}

function isIn(rule: unknown, { family, table }: ChainPlace): boolean {
  const { family: ruleFamily, table: ruleTable } = (rule ?? {}) as { family?: unknown; table?: unknown };
  return ruleFamily === family && ruleTable === table;
}

/** Chains of iptables-legacy whose last word is drop, unless an accept rule for each of our bridges stands in them. */
async function legacyDrops(
  programs: PacketFilterPrograms,
  { family, names, program }: (typeof LEGACY)[number],
  bridges: readonly string[],
): Promise<readonly string[]> {
  if (!tableNames(names).includes('filter')) return [];
  if ((await programs.firstInstalled([program])) === null) return [];
  return legacyDropping(await programs.iptables(program, ['-S']), bridges).map((chain) => `${family} filter ${chain}`);
}

/** `listing` is what `iptables -S` prints. */
export function legacyDropping(listing: string, bridges: readonly string[]): readonly string[] {
  const lines = listing.split('\n');
  return ['FORWARD'].filter((chain) => {
    const rules = lines.filter((line) => line.startsWith(`-A ${chain} `));
    const drops = lines.includes(`-P ${chain} DROP`) || /^-A \S+ -j (DROP|REJECT)\b/.test(rules.at(-1) ?? '');
    const accepts = (bridge: string): boolean =>
      rules.some((rule) => rule.includes(`-i ${bridge} `) && rule.endsWith('-j ACCEPT'));
    return drops && !bridges.every(accepts);
  });
}

/** None where the module is not loaded. */
function tableNames(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    if (errnoName(error) === 'ENOENT' || errnoName(error) === 'EACCES') return [];
    throw error;
  }
}

function nameOf({ family, table, chain }: ChainPlace): ChainName {
  return `${family} ${table} ${chain}`;
}
