// The bridge of one network with its gateway: the same MAC and addresses on every host, so that a container that moves
// keeps its gateway. Every step looks first and changes only what differs: repairs are silent when all is well, and the
// notifications of our own changes start no new repair.

import { type Cidr, cidrOf, type IpAddress, parseIp } from '../../base/address.ts';
import { assert, FabricError } from '../../base/errors.ts';
import { linkLocalIp } from '../../base/link-local.ts';
import type { OverlayNetworkConfig } from '../host-network.ts';
import { writeSysctl } from '../native.ts';
import { hasErrno, isMissing } from '../netlink/errors.ts';
import { type BridgeOptions, type Link, type LinkSettings, ROUTE_PROTOCOL } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { readSysctlIfAny } from './forwarding.ts';
import { ALIAS_PREFIX } from './names.ts';

const BRIDGE_OPTIONS: BridgeOptions = {
  // Of foreign devices only: all ports of ours have static entries.
  ageingMs: 300_000,
  forwardDelayMs: 0,
  stp: false,
  vlanFiltering: false,
  // Without a querier a snooping bridge would forget groups.
  multicastSnooping: false,
  groupForwardMask: 0,
};

/** Before a network's number. */
export const BRIDGE_ALIAS = `${ALIAS_PREFIX} bridge of network`;

/** Behind every other route: what has no better one must not leave by the host's default route, in the clear. */
const FALLBACK_METRIC = 0xffff_fff0;

/** Makes or repairs the bridge; resolves with it and whether anything was different. */
export async function ensureBridge(
  netlink: Rtnetlink,
  config: OverlayNetworkConfig,
): Promise<{ readonly bridge: Link; readonly changed: boolean }> {
  const settings = {
    mac: config.gatewayMac,
    mtu: config.mtu,
    alias: `${BRIDGE_ALIAS} ${config.network}`,
    addressGeneration: false,
  };
  const found = await netlink.getLink(config.bridge);
  let changed = false;
  let bridge = found;
  if (bridge === null) {
    bridge = await createBridge(netlink, config.bridge, settings);
    changed = true;
  } else {
    refuseForeign(bridge, 'bridge');
    if (await repairBridge(netlink, bridge, settings)) changed = true;
  }
  for (const { path, value } of bridgeSysctls(config)) {
    if (await ensureSysctl(path, value)) changed = true;
  }
  if (!bridge.up) {
    await netlink.setLink(bridge.index, { up: true });
    changed = true;
  }
  if (await ensureAddresses(netlink, bridge.index, gatewayAddresses(config))) changed = true;
  if (await ensureFallbackRoutes(netlink, config)) changed = true;
  return { bridge, changed };
}

/** Also removes the routes that hang on no interface. */
export async function removeBridge(netlink: Rtnetlink, config: OverlayNetworkConfig): Promise<void> {
  for (const dst of ranges(config)) {
    await unlessMissing(netlink.deleteRoute({ dst, metric: FALLBACK_METRIC }));
  }
  await unlessMissing(netlink.deleteLink(config.bridge));
}

/** One interface address that shall be there. */
export interface WantedAddress {
  readonly ip: IpAddress;
  readonly prefix: number;
}

/** Adds what is missing, removes what is too much; link-local addresses of the kernel's own making stay. */
export async function ensureAddresses(
  netlink: Rtnetlink,
  index: number,
  wanted: readonly WantedAddress[],
): Promise<boolean> {
  const present = await netlink.listAddresses({ index });
  const same = (a: WantedAddress, b: WantedAddress): boolean =>
    a.ip.family === b.ip.family && a.ip.value === b.ip.value && a.prefix === b.prefix;
  const surplus = present.filter(
    ({ scope, ...address }) => scope === 'global' && !wanted.some((w) => same(w, address)),
  );
  const missing = wanted.filter((address) => !present.some((p) => same(p, address)));
  for (const { ip, prefix } of surplus) await netlink.deleteAddress({ index, ip, prefix });
  for (const { ip, prefix } of missing) await netlink.addAddress({ index, ip, prefix, noDad: true });
  return surplus.length + missing.length > 0;
}

/** True when it was different; a sysctl that does not exist (IPv6 off) needs no value. */
export async function ensureSysctl(path: string, value: string): Promise<boolean> {
  const current = await readSysctlIfAny(path);
  if (current === null || current === value) return false;
  await writeSysctl(path, value);
  return true;
}

/** Only what differs; null when nothing does. */
/**
 * Of TCP over IPv4, bytes: three superframes of a sender, as the engine joins them (docs/engine.md). Member ports take them whole
 * where the kernel has a limit to be raised.
 */
export const JOINED_SUPERFRAME_BYTES = 3 * 65_535;

/** What a member port of the bridge is to have beside its own settings, as far as the kernel knows it. */
export function memberLimits(link: Link): Pick<LinkSettings, 'gsoIpv4BytesMax'> {
  return link.gsoIpv4BytesMax === null ? {} : { gsoIpv4BytesMax: JOINED_SUPERFRAME_BYTES + 1 };
}

export function linkDifferences(link: Link, wanted: LinkSettings): LinkSettings | null {
  const different = Object.entries(wanted).filter(([key, value]) => link[key as keyof Link] !== value);
  return different.length === 0 ? null : Object.fromEntries(different);
}

/** Ours carries our alias, or is half made by a daemon that was killed: the alias comes before the link goes up. */
export function refuseForeign(link: Link, kind: string): void {
  if (link.kind === kind && (link.alias.startsWith(ALIAS_PREFIX) || (link.alias === '' && !link.up))) return;
  throw new FabricError('interface-exists', {
    what: `there is an interface ${link.name} that fabric did not make`,
    why: `it is ${link.kind === null ? 'hardware' : `of kind ${link.kind}`}${link.alias === '' ? '' : ` (${link.alias})`}`,
    fix: 'Choose another name with --bridge',
  });
}

/** For deletions: what is gone is gone. */
export async function unlessMissing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Names the kernel feature when the kernel knows no such kind of interface. */
export function explainUnsupported(error: unknown, kind: string): unknown {
  if (!hasErrno(error, 'EOPNOTSUPP')) return error;
  const what = `this kernel can't make interfaces of kind ${kind}`;
  return new FabricError(
    'kernel-feature-missing',
    { what, fix: `Load the module: modprobe ${kind}` },
    { cause: error },
  );
}

async function createBridge(netlink: Rtnetlink, name: string, settings: LinkSettings): Promise<Link> {
  try {
    return await netlink.createBridge({ name, ...BRIDGE_OPTIONS, ...settings });
  } catch (error) {
    throw explainUnsupported(error, 'bridge');
  }
}

async function repairBridge(netlink: Rtnetlink, bridge: Link, settings: LinkSettings): Promise<boolean> {
  const options = Object.entries(BRIDGE_OPTIONS).some(
    ([key, value]) => bridge.bridge?.[key as keyof BridgeOptions] !== value,
  );
  if (options) await netlink.setBridge(bridge.index, BRIDGE_OPTIONS);
  const differences = linkDifferences(bridge, settings);
  if (differences !== null) await netlink.setLink(bridge.index, differences);
  return options || differences !== null;
}

/** Several interfaces of one host stand in one segment, so each answers ARP for its own address only. */
function bridgeSysctls({ bridge, range6, internal }: OverlayNetworkConfig): readonly { path: string; value: string }[] {
  if (internal) return [{ path: `net/ipv6/conf/${bridge}/disable_ipv6`, value: '1' }];
  return [
    ...hostSideSysctls(bridge),
    ...(range6 === null ? [] : [{ path: `net/ipv6/conf/${bridge}/disable_ipv6`, value: '0' }]),
  ];
}

/**
 * Of the interfaces through which the host itself takes part in the overlay. route_localnet is left as it is: portmap sets it for
 * its snat, and what it would let in from containers is dropped by our rules (overlay-rules.ts).
 */
export function hostSideSysctls(name: string): { path: string; value: string }[] {
  return [
    { path: `net/ipv4/conf/${name}/arp_ignore`, value: '1' },
    { path: `net/ipv4/conf/${name}/arp_announce`, value: '2' },
    // Loose: packets come in by host0 whose way back is the host route over the bridge.
    { path: `net/ipv4/conf/${name}/rp_filter`, value: '2' },
    { path: `net/ipv4/conf/${name}/accept_redirects`, value: '0' },
    { path: `net/ipv6/conf/${name}/accept_ra`, value: '0' },
    { path: `net/ipv6/conf/${name}/accept_redirects`, value: '0' },
  ];
}

function gatewayAddresses(config: OverlayNetworkConfig): readonly WantedAddress[] {
  const { internal, gateway, gateway6, gatewayMac } = config;
  if (internal) return [];
  const ip4 = parseIp(gateway);
  assert(ip4?.family === 4, `IPv4 gateway: ${gateway}`);
  const addresses: WantedAddress[] = [{ ip: ip4, prefix: 32 }];
  if (gateway6 !== null) {
    const ip6 = parseIp(gateway6);
    assert(ip6?.family === 6, `IPv6 gateway: ${gateway6}`);
    addresses.push({ ip: ip6, prefix: 128 }, { ip: linkLocalIp(gatewayMac), prefix: 64 });
  }
  return addresses;
}

/** That lead there from this host. */
function ranges({ range, range6, internal }: OverlayNetworkConfig): readonly Cidr[] {
  if (internal) return [];
  return range6 === null ? [range] : [range, range6];
}

async function ensureFallbackRoutes(netlink: Rtnetlink, config: OverlayNetworkConfig): Promise<boolean> {
  const present = await netlink.listRoutes({ protocol: ROUTE_PROTOCOL });
  let changed = false;
  for (const dst of ranges(config)) {
    const there = present.some(
      (r) => r.type === 'unreachable' && sameBlock(r.dst, dst) && r.metric === FALLBACK_METRIC,
    );
    if (there) continue;
    await netlink.replaceRoute({ dst, type: 'unreachable', metric: FALLBACK_METRIC });
    changed = true;
  }
  return changed;
}

export function sameBlock(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.base === b.base && a.prefix === b.prefix;
}

/** A single address as a route's destination. */
export function hostRoute(ip: IpAddress): Cidr {
  return cidrOf(ip, ip.family === 4 ? 32 : 128);
}
