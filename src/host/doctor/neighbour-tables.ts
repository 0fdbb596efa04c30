// How full the kernel's tables of neighbours are (ARP, ND; arp(7), ip-sysctl.rst). One table per family holds those of all network
// namespaces, so each container has an entry for every container it talks to, on any host: a large overlay fills it. Only the
// machine's first namespace shows it; elsewhere nothing is known.

import { readFileSync } from 'node:fs';
import type { NeighbourTableReading } from '../../doctor/readings.ts';
import { errnoName } from '../native.ts';

const TABLES = [
  { family: 4, statistics: '/proc/net/stat/arp_cache', limit: '/proc/sys/net/ipv4/neigh/default/gc_thresh3' },
  { family: 6, statistics: '/proc/net/stat/ndisc_cache', limit: '/proc/sys/net/ipv6/neigh/default/gc_thresh3' },
] as const;

export function readNeighbourTables(): readonly NeighbourTableReading[] {
  return TABLES.flatMap(({ family, statistics, limit }) => {
    const texts = [statistics, limit].map(readIfAny);
    const [counts, entriesMax] = [parseNeighbourStatistics(texts[0] ?? ''), Number(texts[1] ?? Number.NaN)];
    return counts === null || Number.isNaN(entriesMax) ? [] : [{ family, ...counts, entriesMax }];
  });
}

/** `text` has a line of names and a line of hexadecimal values per CPU; entries are the same in each. Null: another kernel's. */
export function parseNeighbourStatistics(text: string): Pick<NeighbourTableReading, 'entries' | 'refused'> | null {
  const [names, ...cpus] = text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const [entriesAt, refusedAt] = ['entries', 'table_fulls'].map((name) => names?.indexOf(name) ?? -1);
  if (entriesAt === -1 || refusedAt === -1 || cpus.length === 0) return null;
  const value = (cpu: readonly string[], at: number): number => Number.parseInt(cpu[at] ?? '0', 16);
  return {
    entries: value(cpus[0]!, entriesAt!),
    refused: cpus.reduce((sum, cpu) => sum + value(cpu, refusedAt!), 0),
  };
}

function readIfAny(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return null;
    throw error;
  }
}
