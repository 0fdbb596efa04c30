// Reads the network below fabric on this host, by rtnetlink, ethtool and /proc: which interfaces carry it, what collides with it.
// Changes nothing; sends a few ARP probes on the underlay.

import { type Cidr, formatIp } from '../../base/address.ts';
import type { DuplicateAddress, PortHolder, UnderlayInterface, UnderlayReading } from '../../doctor/readings.ts';
import { allPortHolders } from '../dns/port-holder.ts';
import { readSysctlIfAny } from '../linux/forwarding.ts';
import { routedInterfaces } from '../linux/names.ts';
import { isOurs, overlappingRoutes, rankUnderlay } from '../linux/underlay.ts';
import { errnoName, readOffloads } from '../native.ts';
import type { Address, Link } from '../netlink/objects.ts';
import { Rtnetlink } from '../netlink/rtnetlink.ts';
import { findDuplicates } from './duplicate-address.ts';

/** More uplinks say nothing new, and each costs time. */
const INTERFACES_MAX = 8;
const STRICT = 1;
/** What a daemon left running for the next one: it is ours. */
const ENGINE = 'fabric-engine';

export interface UnderlayQuestion {
  readonly ranges: readonly Cidr[];
  /** Of networks with a gateway; the default network's first. */
  readonly bridges: readonly string[];
  /** To look who holds it; null: a daemon of ours does. */
  readonly port: number | null;
  /** This process may capture and inject. */
  readonly mayProbe: boolean;
}

export async function readUnderlay({ ranges, bridges, port, mayProbe }: UnderlayQuestion): Promise<UnderlayReading> {
  const netlink = Rtnetlink.open();
  try {
    const [links, addresses, routes] = await Promise.all([
      netlink.listLinks(),
      netlink.listAddresses(),
      netlink.listRoutes(),
    ]);
    const ranked = rankUnderlay({ links, addresses, routes }).map(({ ip }) => ip);
    const carrying = linksOf(ranked, links, addresses);
    return {
      interfaces: await Promise.all(carrying.map(readInterface)),
      overlappingRoutes: ranges.flatMap((range) => overlappingRoutes(range, links, routes)),
      duplicates: [
        ...failedDetection(links, addresses),
        ...(mayProbe ? (await Promise.all(carrying.map((link) => duplicatesOn(link, addresses)))).flat() : []),
      ],
      strictReversePath: await strictInterfaces(bridges, links),
      takenPorts: port === null ? [] : await holdersOf(port),
    };
  } finally {
    netlink.close();
  }
}

/** The interfaces of these addresses, in their order. */
function linksOf(ips: readonly string[], links: readonly Link[], addresses: readonly Address[]): readonly Link[] {
  const found = new Set<Link>();
  for (const ip of ips) {
    const index = addresses.find((address) => formatIp(address.ip) === ip)?.index;
    const link = links.find((each) => each.index === index);
    if (link !== undefined) found.add(link);
  }
  return [...found].slice(0, INTERFACES_MAX);
}

/**
 * Only offloads that the kernel itself does, which can always be switched on; GRO is off by default on all that is no hardware.
 */
async function readInterface({ name, mtu, kind }: Link): Promise<UnderlayInterface> {
  const offloads = await readOffloads(name).catch((error: unknown) => {
    if (errnoName(error) === 'EOPNOTSUPP') return null;
    throw error;
  });
  const off =
    offloads === null ? [] : [...(offloads.gso ? [] : ['gso']), ...(offloads.gro || kind !== null ? [] : ['gro'])];
  return { name, mtu, offloadsOff: off };
}

function failedDetection(links: readonly Link[], addresses: readonly Address[]): readonly DuplicateAddress[] {
  return addresses
    .filter(({ dadFailed }) => dadFailed)
    .map(({ ip, index }) => ({
      ip: formatIp(ip),
      ifname: links.find((link) => link.index === index)?.name ?? `interface ${index}`,
      mac: null,
    }));
}

async function duplicatesOn(
  { index, name, mac, arp }: Link,
  addresses: readonly Address[],
): Promise<DuplicateAddress[]> {
  const own = addresses.filter((address) => address.index === index && address.ip.family === 4);
  if (mac === null || !arp || own.length === 0) return [];
  const found = await findDuplicates(
    name,
    own.map(({ ip }) => ({ ip: formatIp(ip), mac })),
  );
  return found.map((duplicate) => ({ ...duplicate, ifname: name }));
}

/** The larger of an interface's value and that of `all` counts (ip-sysctl.rst, rp_filter). */
async function strictInterfaces(bridges: readonly string[], links: readonly Link[]): Promise<readonly string[]> {
  const names = routedInterfaces(bridges);
  const ours = links.filter((link) => isOurs(link, links) && names.includes(link.name));
  const all = Number(await readSysctlIfAny('net/ipv4/conf/all/rp_filter'));
  const values = await Promise.all(
    ours.map(async ({ name }) => ({ name, value: Number(await readSysctlIfAny(`net/ipv4/conf/${name}/rp_filter`)) })),
  );
  return values.filter(({ value }) => Math.max(all, value) === STRICT).map(({ name }) => name);
}

async function holdersOf(port: number): Promise<readonly PortHolder[]> {
  const holdings = await allPortHolders(port);
  return holdings
    .filter(({ program }) => !program.startsWith(ENGINE))
    .map(({ protocol, socket, program }) => ({ protocol, port, holder: `${program} on ${socket}` }));
}
