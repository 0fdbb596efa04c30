// Room in the kernel's table of ARP entries. It is one for all network namespaces, so twenty hosts of a lab have together what one
// machine has in life: fifty containers that all talk to each other overflow its 1,024 entries, and pings are lost.

import { readFileSync, writeFileSync } from 'node:fs';

const LIMIT = '/proc/sys/net/ipv4/neigh/default/gc_thresh3';

/** Raises the limit where it is lower. Returns how to put it back; a run that is killed leaves the machine with the larger table. */
export function makeNeighbourRoom(entries: number): () => void {
  const before = readFileSync(LIMIT, 'utf8');
  if (Number(before) >= entries) return () => {};
  writeFileSync(LIMIT, String(entries));
  return () => writeFileSync(LIMIT, before);
}
