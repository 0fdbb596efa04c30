// The interfaces that are not a container's: the datapath's port, on which frames for other hosts leave the bridge (a veth pair
// for pcap, a TAP for the engine), and the host's own veth pair in the overlay. Each function looks first and changes only what
// differs, in the order that keeps a half-made port silent: flags before the link goes up.

import { type Cidr, cidrHasIp, cidrOf, formatIp, parseIp } from '../../base/address.ts';
import { assert } from '../../base/errors.ts';
import type { Mac } from '../../base/ids.ts';
import type { HostAccess, OverlayNetworkConfig } from '../host-network.ts';
import { type Offloads, readOffloads, setOffloads } from '../native.ts';
import {
  type BridgePortFlags,
  type Link,
  type LinkSettings,
  ROUTE_TABLE_MAIN,
  type VethConfig,
} from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { ALIAS_PREFIX, type NetworkInterfaces, networkInterfaces } from './names.ts';
import {
  ensureAddresses,
  ensureSysctl,
  explainUnsupported,
  hostSideSysctls,
  linkDifferences,
  memberLimits,
  refuseForeign,
  sameBlock,
  unlessMissing,
  type WantedAddress,
} from './overlay-bridge.ts';
import { createTap } from './tap.ts';

/** As netlink names a TAP's kind. */
const TAP_KIND = 'tun';

/** Of a port behind which exactly one MAC lives: nothing is learned, nothing else comes in, unknown unicast stays out. */
export const MEMBER_PORT: BridgePortFlags = {
  learning: false,
  unicastFlood: false,
  multicastFlood: true,
  broadcastFlood: true,
  isolated: false,
  locked: true,
  hairpin: false,
  neighSuppress: false,
};

/** Of the port to other hosts: everything unknown leaves there; two such ports never talk to each other. */
export const OVERLAY_PORT: BridgePortFlags = {
  ...MEMBER_PORT,
  unicastFlood: true,
  isolated: true,
  locked: false,
};

/**
 * The near end is the bridge port, the far end is the datapath's. Offloads are off on the near end, so that what leaves the
 * bridge there is segmented and has its checksums completed by the kernel, and containers keep theirs; on the far end the
 * large-frame offloads are off, because packet sockets size their rings by them. The far end has no address and no ARP; the
 * packet filter drops what the IP stack would see there, after packet sockets have seen it.
 */
export async function ensureVethPort(
  netlink: Rtnetlink,
  names: NetworkInterfaces,
  bridge: Link,
  config: OverlayNetworkConfig,
): Promise<boolean> {
  const alias = portAlias(names);
  const near: LinkSettings = { mtu: config.mtu, master: bridge.index, alias, addressGeneration: false };
  await removeOtherKind(netlink, names.portNear, 'veth');
  const far: LinkSettings = { mtu: config.mtu, alias, arp: false, addressGeneration: false };
  const made = await ensureVeth(netlink, {
    name: names.portNear,
    mtu: config.mtu,
    master: bridge.index,
    addressGeneration: false,
    alias,
    peer: { name: names.portFar, mtu: config.mtu, arp: false },
  });
  let changed = made;
  if (await repairLink(netlink, names.portFar, far)) changed = true;
  if (await ensureMute(names.portFar)) changed = true;
  if (await ensureMute(names.portNear)) changed = true;
  if (await repairLink(netlink, names.portNear, near)) changed = true;
  if (await ensurePortFlags(netlink, names.portNear, OVERLAY_PORT)) changed = true;
  if (await ensureOffloads(names.portNear, { txChecksum: false, tso: false, gso: false })) changed = true;
  if (await ensureOffloads(names.portFar, { tso: false, gso: false, gro: false })) changed = true;
  for (const name of [names.portFar, names.portNear]) {
    if (await ensureUp(netlink, name)) changed = true;
  }
  return changed;
}

/**
 * The TAP has the name of the veth port's near end and is the same bridge port; its other end is whoever opens it, with the
 * offloads that it asks for.
 */
export async function ensureTapPort(
  netlink: Rtnetlink,
  names: NetworkInterfaces,
  bridge: Link,
  config: OverlayNetworkConfig,
): Promise<boolean> {
  await removeOtherKind(netlink, names.portNear, TAP_KIND);
  const found = await netlink.getLink(names.portNear);
  if (found === null) await createTap(names.portNear);
  else refuseForeign(found, TAP_KIND);
  let changed = found === null;
  if (await ensureMute(names.portNear)) changed = true;
  const settings: LinkSettings = {
    mtu: config.mtu,
    master: bridge.index,
    alias: portAlias(names),
    addressGeneration: false,
  };
  if (await repairLink(netlink, names.portNear, settings)) changed = true;
  if (await ensurePortFlags(netlink, names.portNear, OVERLAY_PORT)) changed = true;
  if (await ensureUp(netlink, names.portNear)) changed = true;
  return changed;
}

/** The host's interface carries its own MAC, its address and the network's prefix route. */
export async function ensureHostInterface(
  netlink: Rtnetlink,
  names: NetworkInterfaces,
  bridge: Link,
  config: OverlayNetworkConfig,
  access: HostAccess,
): Promise<boolean> {
  const alias = hostAlias(names);
  let changed = await ensureVeth(netlink, {
    name: names.host,
    mac: access.mac,
    mtu: config.mtu,
    alias,
    peer: { name: names.hostPort, mtu: config.mtu },
  });
  const limits = memberLimits(await existing(netlink, names.hostPort));
  const port: LinkSettings = { mtu: config.mtu, master: bridge.index, alias, addressGeneration: false, ...limits };
  if (await ensureMute(names.hostPort)) changed = true;
  if (await repairLink(netlink, names.hostPort, port)) changed = true;
  if (await ensurePortFlags(netlink, names.hostPort, MEMBER_PORT)) changed = true;
  if (await ensureFdb(netlink, names.hostPort, access.mac)) changed = true;
  if (await repairLink(netlink, names.host, { mac: access.mac, mtu: config.mtu, alias })) changed = true;
  const sysctls = hostSideSysctls(names.host);
  if (access.ip6 !== null) sysctls.push({ path: `net/ipv6/conf/${names.host}/disable_ipv6`, value: '0' });
  for (const { path, value } of sysctls) {
    if (await ensureSysctl(path, value)) changed = true;
  }
  for (const name of [names.hostPort, names.host]) {
    if (await ensureUp(netlink, name)) changed = true;
  }
  const host = await existing(netlink, names.host);
  const addresses = hostAddresses(config, access);
  if (await ensureAddresses(netlink, host.index, addresses)) changed = true;
  if (await ensurePrefixRoutes(netlink, host.index, addresses)) changed = true;
  return changed;
}

/** The host's own pair as a daemon before has left it; null: there is none, or it has no address of this network. */
export async function readHostAccess(
  netlink: Rtnetlink,
  { bridge, range, range6 }: OverlayNetworkConfig,
): Promise<HostAccess | null> {
  const names = networkInterfaces(bridge);
  const link = await netlink.getLink(names.host);
  if (link === null || link.mac === null || link.alias !== hostAlias(names)) return null;
  const present = await netlink.listAddresses({ index: link.index });
  const within = (block: Cidr | null): string | null => {
    const found = present.find(({ ip }) => block !== null && cidrHasIp(block, ip));
    return found === undefined ? null : formatIp(found.ip);
  };
  const ip = within(range);
  return ip === null ? null : { mac: link.mac, ip, ip6: within(range6) };
}

/** Either end takes the other with it. */
export async function removeVeth(netlink: Rtnetlink, name: string): Promise<void> {
  await unlessMissing(netlink.deleteLink(name));
}

/** The one forwarding entry of a member port; an entry of the same MAC on another port moves here. */
export async function ensureFdb(netlink: Rtnetlink, name: string, mac: Mac): Promise<boolean> {
  const { index, mac: own } = await existing(netlink, name);
  const entries = await netlink.listFdb({ port: index });
  const ours = entries.filter((entry) => entry.master !== null && entry.state === 'static');
  const stale = ours.filter((entry) => entry.mac !== mac && entry.mac !== own);
  for (const entry of stale) await unlessMissing(netlink.deleteFdbEntry({ index, mac: entry.mac }));
  const there = ours.some((entry) => entry.mac === mac);
  if (!there) await netlink.setFdbEntry({ index, mac });
  return stale.length > 0 || !there;
}

export async function ensurePortFlags(netlink: Rtnetlink, name: string, wanted: BridgePortFlags): Promise<boolean> {
  const { index, port } = await existing(netlink, name);
  const same = Object.entries(wanted).every(([flag, value]) => port?.[flag as keyof BridgePortFlags] === value);
  if (!same) await netlink.setBridgePort(index, wanted);
  return !same;
}

function portAlias({ bridge }: NetworkInterfaces): string {
  return `${ALIAS_PREFIX} port to other hosts of ${bridge}`;
}

/** What another datapath of ours left. */
async function removeOtherKind(netlink: Rtnetlink, name: string, kind: string): Promise<void> {
  const link = await netlink.getLink(name);
  if (link === null || link.kind === kind || !link.alias.startsWith(ALIAS_PREFIX)) return;
  await unlessMissing(netlink.deleteLink(link.index));
}

async function ensureVeth(netlink: Rtnetlink, config: VethConfig): Promise<boolean> {
  const [near, far] = await Promise.all([netlink.getLink(config.name), netlink.getLink(config.peer.name)]);
  if (near !== null && far !== null && near.peerIndex === far.index) return false;
  // Half a pair, or two halves of different pairs.
  for (const link of [near, far]) {
    if (link === null) continue;
    refuseForeign(link, 'veth');
    await removeVeth(netlink, link.name);
  }
  try {
    await netlink.createVeth(config);
  } catch (error) {
    throw explainUnsupported(error, 'veth');
  }
  return true;
}

/** True when it was different. */
export async function repairLink(netlink: Rtnetlink, name: string, wanted: LinkSettings): Promise<boolean> {
  const link = await existing(netlink, name);
  const differences = linkDifferences(link, wanted);
  if (differences !== null) await netlink.setLink(link.index, differences);
  return differences !== null;
}

export async function ensureUp(netlink: Rtnetlink, name: string): Promise<boolean> {
  const link = await existing(netlink, name);
  if (!link.up) await netlink.setLink(link.index, { up: true });
  return !link.up;
}

/** An interface that only carries others' frames says nothing itself: IPv6 would report multicast groups from its own MAC. */
export function ensureMute(name: string): Promise<boolean> {
  return ensureSysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1');
}

/** The kernel makes them with the addresses; someone may have deleted them since. */
async function ensurePrefixRoutes(
  netlink: Rtnetlink,
  index: number,
  addresses: readonly WantedAddress[],
): Promise<boolean> {
  const present = await netlink.listRoutes({ index, table: ROUTE_TABLE_MAIN });
  const missing = addresses.filter(({ ip, prefix }) => !present.some(({ dst }) => sameBlock(dst, cidrOf(ip, prefix))));
  for (const { ip, prefix } of missing) {
    await netlink.replaceRoute({ dst: cidrOf(ip, prefix), index, ...(ip.family === 4 ? { preferredSource: ip } : {}) });
  }
  return missing.length > 0;
}

async function ensureOffloads(name: string, wanted: Offloads): Promise<boolean> {
  const now = await readOffloads(name);
  const same = Object.entries(wanted).every(([key, value]) => now[key as keyof Offloads] === value);
  if (!same) await setOffloads(name, wanted);
  return !same;
}

export async function existing(netlink: Rtnetlink, name: string): Promise<Link> {
  const link = await netlink.getLink(name);
  assert(link !== null, `the interface ${name} was just made or seen`);
  return link;
}

function hostAlias({ bridge }: NetworkInterfaces): string {
  return `${ALIAS_PREFIX} this host in ${bridge}`;
}

function hostAddresses({ range, range6 }: OverlayNetworkConfig, access: HostAccess): readonly WantedAddress[] {
  const inside = (text: string, block: Cidr | null): WantedAddress => {
    const ip = parseIp(text);
    assert(ip !== null && block !== null && ip.family === block.family, `address of this host: ${text}`);
    return { ip, prefix: block.prefix };
  };
  return [inside(access.ip, range), ...(access.ip6 === null ? [] : [inside(access.ip6, range6)])];
}
