// Kernel VXLAN of one network (RFC 7348): a bridge port that carries known unicast to known hosts and nothing else, and a
// device beside the bridge for probes of the same path. Forwarding entries are static and exist twice: the bridge's says which
// port, the device's says which host. Without the first, a frame goes to the datapath's port, which encrypts it: so a frame
// that has no entry, or loses it, is never lost and never in the clear.
//
//   container ─ bridge ─┬─ fabric0p ─ datapath ═══ encrypted ═══▶   all that follows no entry: broadcast, multicast, unknown
//                       └─ fabric0v ─ UDP 8472 ─── plain ───────▶   MACs of peers whose path is proven
//                          fabric0x ─ UDP 8472 ─── probes ──────▶

import { type Family, type IpAddress, parseIp } from '../../base/address.ts';
import { assert } from '../../base/errors.ts';
import type { Mac } from '../../base/ids.ts';
import type { OverlayNetworkConfig, VxlanPlan } from '../host-network.ts';
import type { BridgePortFlags, FdbEntry, Link, LinkSettings, VxlanConfig } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { ALIAS_PREFIX, type NetworkInterfaces } from './names.ts';
import { explainUnsupported, refuseForeign, unlessMissing } from './overlay-bridge.ts';
import { ensureMute, ensurePortFlags, ensureUp, OVERLAY_PORT, repairLink } from './port-veths.ts';
import { VXLAN_FAMILIES, VXLAN_PORT, VXLAN_PROBE_VNI } from './vxlan-rules.ts';

/** Known unicast only: what the bridge floods reaches other hosts by the datapath's port, once. */
const VXLAN_BRIDGE_PORT: BridgePortFlags = {
  ...OVERLAY_PORT,
  unicastFlood: false,
  multicastFlood: false,
  broadcastFlood: false,
};

/** Locally administered, and none that a probe device has. */
const PORT_MAC_FIRST_BYTES: Readonly<Record<Family, string>> = { 4: '06', 6: '0e' };

/** Calls under way at once: a full table must not fill the socket. */
const BATCH_MAX = 256;

export interface VxlanPlace {
  readonly names: NetworkInterfaces;
  readonly bridge: Link;
  readonly config: OverlayNetworkConfig;
  /** MACs behind this host's own ports: no plan of anybody moves those. */
  readonly localMacs: ReadonlySet<Mac>;
}

/** Makes the kernel follow the plan; true when something was different. */
export async function ensureVxlan(netlink: Rtnetlink, place: VxlanPlace, plan: VxlanPlan | null): Promise<boolean> {
  const changes: boolean[] = [];
  for (const family of VXLAN_FAMILIES) {
    if (plan?.families.includes(family)) changes.push(await ensureFamily(netlink, place, plan, family));
    else changes.push(await removeFamily(netlink, place.names, family));
  }
  return changes.includes(true);
}

async function ensureFamily(netlink: Rtnetlink, place: VxlanPlace, plan: VxlanPlan, family: Family): Promise<boolean> {
  const { names, bridge, config } = place;
  const { port, probe } = names.vxlan[family];
  const common = { mtu: config.mtu, alias: aliasOf(names, family), addressGeneration: false };
  const device = { family, port: VXLAN_PORT, local: localOf(plan, family), mtu: config.mtu };
  const portMac = portMacOf(plan, family);
  const changes = [
    await ensureDevice(
      netlink,
      { ...device, name: port, vni: config.network, mac: portMac },
      { ...common, mac: portMac, master: bridge.index },
    ),
    await ensurePortFlags(netlink, port, VXLAN_BRIDGE_PORT),
    await ensureDevice(
      netlink,
      { ...device, name: probe, vni: VXLAN_PROBE_VNI, mac: plan.probeMac },
      { ...common, mac: plan.probeMac, arp: false },
    ),
  ];
  changes.push(await syncEntries(netlink, probe, null, probePaths(plan, family)));
  changes.push(await syncEntries(netlink, port, bridge, framePaths(plan, family, place.localMacs)));
  for (const name of [port, probe]) changes.push(await ensureUp(netlink, name));
  return changes.includes(true);
}

async function removeFamily(netlink: Rtnetlink, names: NetworkInterfaces, family: Family): Promise<boolean> {
  let removed = false;
  for (const name of Object.values(names.vxlan[family])) {
    const link = await netlink.getLink(name);
    if (link === null || !link.alias.startsWith(ALIAS_PREFIX)) continue;
    await unlessMissing(netlink.deleteLink(link.index));
    removed = true;
  }
  return removed;
}

/** What can't be changed on a device (VNI, port, local address) makes a new one. */
async function ensureDevice(netlink: Rtnetlink, config: VxlanConfig, settings: LinkSettings): Promise<boolean> {
  const found = await netlink.getLink(config.name);
  if (found !== null) refuseForeign(found, 'vxlan');
  const fits = found !== null && isSameDevice(found, config) && found.alias === settings.alias;
  if (found !== null && !fits) await unlessMissing(netlink.deleteLink(found.index));
  if (!fits) await createDevice(netlink, config);
  const changes = [!fits, await ensureMute(config.name), await repairLink(netlink, config.name, settings)];
  return changes.includes(true);
}

async function createDevice(netlink: Rtnetlink, config: VxlanConfig): Promise<void> {
  try {
    await netlink.createVxlan(config);
  } catch (error) {
    throw explainUnsupported(error, 'vxlan');
  }
}

function isSameDevice({ vxlan }: Link, { vni, port, local }: VxlanConfig): boolean {
  return vxlan?.vni === vni && vxlan.port === port && sameIp(vxlan.local, local);
}

/**
 * Removes what no path asks for, then adds what is missing. The bridge's entries, which draw the frames here, come last and go
 * first. `bridge` is null for a device in none.
 */
async function syncEntries(
  netlink: Rtnetlink,
  name: string,
  bridge: Link | null,
  paths: ReadonlyMap<Mac, IpAddress>,
): Promise<boolean> {
  const link = await netlink.getLink(name);
  assert(link !== null, `the VXLAN device ${name} was just made or seen`);
  const { index } = link;
  const entries = await netlink.listFdb({ port: index });
  const drawing = entries.filter(
    ({ master, state }) => bridge !== null && master === bridge.index && state === 'static',
  );
  const leading = new Map(entries.filter(({ master }) => master === null).map((entry) => [entry.mac, entry]));
  const surplus = (entry: FdbEntry): boolean => !paths.has(entry.mac);
  const gone = [...leading.values()].filter((entry) => entry.remote !== null && surplus(entry));
  await inBatches(drawing.filter(surplus), ({ mac }) => unlessMissing(netlink.deleteFdbEntry({ index, mac })));
  await inBatches(gone, ({ mac }) => unlessMissing(netlink.deleteFdbEntry({ index, mac, where: 'self' })));
  const moved = [...paths].filter(([mac, remote]) => !sameIp(leading.get(mac)?.remote ?? null, remote));
  await inBatches(moved, ([mac, remote]) => netlink.setFdbEntry({ index, mac, where: 'self', remote }));
  const drawn = new Set(drawing.map(({ mac }) => mac));
  const missing = bridge === null ? [] : [...paths.keys()].filter((mac) => !drawn.has(mac));
  await inBatches(missing, (mac) => netlink.setFdbEntry({ index, mac }));
  return drawing.some(surplus) || gone.length + moved.length + missing.length > 0;
}

/** In order of the batches; within one all at once, which share a system call. */
async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += BATCH_MAX) {
    await Promise.all(items.slice(start, start + BATCH_MAX).map(work));
  }
}

function framePaths(plan: VxlanPlan, family: Family, localMacs: ReadonlySet<Mac>): ReadonlyMap<Mac, IpAddress> {
  return addressed(
    [...plan.paths].filter(([mac]) => !localMacs.has(mac)),
    family,
  );
}

function probePaths({ peers }: VxlanPlan, family: Family): ReadonlyMap<Mac, IpAddress> {
  return addressed(
    peers.map(({ probeMac, ip }) => [probeMac, ip] as const),
    family,
  );
}

function addressed(paths: readonly (readonly [Mac, string])[], family: Family): ReadonlyMap<Mac, IpAddress> {
  const found = new Map<Mac, IpAddress>();
  for (const [mac, text] of paths) {
    const ip = parseIp(text);
    assert(ip !== null, `address of a VXLAN peer: ${text}`);
    if (ip.family === family) found.set(mac, ip);
  }
  return found;
}

/** The same each time the port is made, so that a restart leaves the kernel as it was. Nobody sends to it. */
function portMacOf({ probeMac }: VxlanPlan, family: Family): Mac {
  return `${PORT_MAC_FIRST_BYTES[family]}${probeMac.slice(2)}` as Mac;
}

function localOf({ local }: VxlanPlan, family: Family): IpAddress | null {
  const ip = local === null ? null : parseIp(local);
  return ip?.family === family && ip.value !== 0n ? ip : null;
}

function sameIp(a: IpAddress | null, b: IpAddress | null): boolean {
  return a === null || b === null ? a === b : a.family === b.family && a.value === b.value;
}

function aliasOf({ bridge }: NetworkInterfaces, family: Family): string {
  return `${ALIAS_PREFIX} VXLAN over IPv${family} of ${bridge}`;
}

/**
 * The plan `before` without the paths that `after` ends or moves; null when it keeps them all. Such paths go before the packet filter
 * follows the new plan, which takes its time: the peer at their other end may have shut them already.
 */
export function withoutEndingPaths(before: VxlanPlan | null, after: VxlanPlan | null): VxlanPlan | null {
  if (before === null || after === null) return null;
  const paths = new Map([...before.paths].filter(([mac, ip]) => after.paths.get(mac) === ip));
  return paths.size === before.paths.size ? null : { ...before, paths };
}

/** True when both let in the same hosts to the same devices: only paths may differ. */
export function sameFilter(a: VxlanPlan | null, b: VxlanPlan | null): boolean {
  const filterOf = (plan: VxlanPlan | null) => JSON.stringify(plan === null ? null : { ...plan, paths: null });
  return filterOf(a) === filterOf(b);
}
