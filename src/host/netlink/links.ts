// RTM_*LINK messages: veth pairs, bridges, VXLAN devices, bridge ports and what can be set on a link; and reading links back.
// linux/if_link.h; a bridge port's flags are set by AF_BRIDGE messages and read from the link's slave data.

import { macFromBytes, macToBytes } from '../../base/ids.ts';
import {
  Attributes,
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Request,
  readU16,
  readU32,
} from './message.ts';
import type {
  BridgeConfig,
  BridgeOptions,
  BridgePortFlags,
  Link,
  LinkRef,
  LinkSettings,
  VethConfig,
  VethEnd,
  VxlanConfig,
} from './objects.ts';
import { parseVxlanInfo, VXLAN_KIND, writeVxlanInfo } from './vxlan-info.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;

export const AF_BRIDGE = 7;
const AF_UNSPEC = 0;
const AF_INET6 = 10;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_PROTINFO = 12;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_LINK_NETNSID = 37;
const IFLA_GSO_IPV4_MAX_SIZE = 63;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const VETH_INFO_PEER = 1;

const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_AGEING_TIME = 4;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BR_GROUP_FWD_MASK = 9;
const IFLA_BR_MCAST_SNOOPING = 23;

const IFLA_BRPORT_STATE = 1;
/** BR_STATE_* of linux/if_bridge.h. */
const BR_STATE_DISABLED = 0;
const BR_STATE_FORWARDING = 3;
/** IFLA_BRPORT_*: one byte each. */
const PORT_FLAGS: Readonly<Record<keyof BridgePortFlags, number>> = {
  hairpin: 4,
  unicastFlood: 9,
  learning: 8,
  multicastFlood: 27,
  broadcastFlood: 30,
  neighSuppress: 32,
  isolated: 33,
  locked: 39,
};

const RTEXT_FILTER_SKIP_STATS = 8;
const ADDR_GEN_EUI64 = 0;
const ADDR_GEN_NONE = 1;
/** The kernel gives bridge times in USER_HZ, which is 100 on every architecture that we run on. */
const MS_PER_TICK = 10;
const IFINFO_BYTES = 16;

const CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
const CHANGE = NLM_F_REQUEST | NLM_F_ACK;

export function getLinkRequest(link: LinkRef): Request {
  const writer = linkMessage(RTM_GETLINK, CHANGE, link).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return { bytes: writer.finish(), operation: `read the link ${link}` };
}

export function listLinksRequest(filter: { readonly master?: number; readonly kind?: string }): Request {
  const writer = linkMessage(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0);
  writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (filter.master !== undefined) writer.attributeU32(IFLA_MASTER, filter.master);
  const { kind } = filter;
  if (kind !== undefined) writer.nested(IFLA_LINKINFO, (info) => info.attributeText(IFLA_INFO_KIND, kind));
  return { bytes: writer.finish(), operation: 'list the links' };
}

/** Without alias and address generation: creation ignores them. `up` is given apart, because they come first. */
export function createVethRequest(config: VethConfig, up: boolean): Request {
  const { peer } = config;
  const writer = linkMessage(RTM_NEWLINK, CREATE, 0, endFlags({ ...config, up }));
  writeEnd(writer, config);
  if (config.master !== undefined) writer.attributeU32(IFLA_MASTER, config.master);
  writer.nested(IFLA_LINKINFO, (info) => {
    info.attributeText(IFLA_INFO_KIND, 'veth').nested(IFLA_INFO_DATA, (data) => {
      data.nested(VETH_INFO_PEER, (end) => {
        writeIfinfo(end, AF_UNSPEC, 0, endFlags(peer));
        writeEnd(end, peer);
        if (peer.namespaceFd !== undefined) end.attributeU32(IFLA_NET_NS_FD, peer.namespaceFd);
      });
    });
  });
  return { bytes: writer.finish(), operation: `create the veth pair ${config.name} and ${peer.name}` };
}

/**
 * Without MTU (set at creation, a bridge would follow its ports' MTUs), alias, address generation and up. VLAN filtering is
 * off in a new bridge; a kernel without it refuses even to hear so.
 */
export function createBridgeRequest(config: BridgeConfig): Request {
  const writer = linkMessage(RTM_NEWLINK, CREATE, 0).attributeText(IFLA_IFNAME, config.name);
  if (config.mac !== undefined) writer.attribute(IFLA_ADDRESS, macToBytes(config.mac));
  const { vlanFiltering, ...others } = config;
  writeBridgeInfo(writer, vlanFiltering === true ? config : others);
  return { bytes: writer.finish(), operation: `create the bridge ${config.name}` };
}

/** Without alias, address generation and up. */
export function createVxlanRequest(config: VxlanConfig): Request {
  const writer = linkMessage(RTM_NEWLINK, CREATE, 0);
  writeEnd(writer, config);
  writer.nested(IFLA_LINKINFO, (info) => {
    info.attributeText(IFLA_INFO_KIND, VXLAN_KIND).nested(IFLA_INFO_DATA, (data) => writeVxlanInfo(data, config));
  });
  return { bytes: writer.finish(), operation: `create the VXLAN device ${config.name}` };
}

export function setBridgeRequest(index: number, options: Partial<BridgeOptions>): Request {
  const writer = linkMessage(RTM_NEWLINK, CHANGE, index);
  writeBridgeInfo(writer, options);
  return { bytes: writer.finish(), operation: `set options of the bridge ${index}` };
}

/**
 * Two messages where both kinds of settings are asked for: the kernel would bring a link up, and give it a link-local
 * address, before it looks at the address generation mode of the same message.
 */
export function setLinkRequests(link: LinkRef, settings: LinkSettings): readonly Request[] {
  const { up, ...first } = settings;
  if (up !== true || settings.addressGeneration === undefined) return [setLinkRequest(link, settings)];
  // By its new name, or the old one; by index that is the same link.
  const again = typeof link === 'string' ? (settings.name ?? link) : link;
  return [setLinkRequest(link, first), setLinkRequest(again, { up })];
}

function setLinkRequest(link: LinkRef, settings: LinkSettings): Request {
  const { mac, mtu, alias, master, group, addressGeneration, namespaceFd, gsoIpv4BytesMax } = settings;
  const writer = linkMessage(RTM_SETLINK, CHANGE, link, endFlags(settings));
  if (settings.name !== undefined) writer.attributeText(IFLA_IFNAME, settings.name);
  if (mac !== undefined) writer.attribute(IFLA_ADDRESS, macToBytes(mac));
  if (mtu !== undefined) writer.attributeU32(IFLA_MTU, mtu);
  if (alias !== undefined) writer.attribute(IFLA_IFALIAS, new TextEncoder().encode(alias));
  if (master !== undefined) writer.attributeU32(IFLA_MASTER, master ?? 0);
  if (group !== undefined) writer.attributeU32(IFLA_GROUP, group);
  if (namespaceFd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, namespaceFd);
  if (gsoIpv4BytesMax !== undefined) writer.attributeU32(IFLA_GSO_IPV4_MAX_SIZE, gsoIpv4BytesMax);
  if (addressGeneration !== undefined) {
    const mode = addressGeneration ? ADDR_GEN_EUI64 : ADDR_GEN_NONE;
    writer.nested(IFLA_AF_SPEC, (families) => {
      families.nested(AF_INET6, (inet6) => inet6.attributeU8(IFLA_INET6_ADDR_GEN_MODE, mode));
    });
  }
  return { bytes: writer.finish(), operation: `set ${Object.keys(settings).join(', ')} of the link ${link}` };
}

export function setBridgePortRequest(index: number, flags: Partial<BridgePortFlags>): Request {
  const writer = new MessageWriter(RTM_SETLINK, CHANGE);
  writeIfinfo(writer, AF_BRIDGE, index, NO_FLAGS);
  writer.nested(IFLA_PROTINFO, (port) => {
    for (const [name, attribute] of Object.entries(PORT_FLAGS)) {
      const on = flags[name as keyof BridgePortFlags];
      if (on !== undefined) port.attributeU8(attribute, on ? 1 : 0);
    }
  });
  return { bytes: writer.finish(), operation: `set ${Object.keys(flags).join(', ')} of the bridge port ${index}` };
}

export function setBridgePortForwardingRequest(index: number, forwards: boolean): Request {
  const writer = new MessageWriter(RTM_SETLINK, CHANGE);
  writeIfinfo(writer, AF_BRIDGE, index, NO_FLAGS);
  writer.nested(IFLA_PROTINFO, (port) =>
    port.attributeU8(IFLA_BRPORT_STATE, forwards ? BR_STATE_FORWARDING : BR_STATE_DISABLED),
  );
  return { bytes: writer.finish(), operation: `${forwards ? 'open' : 'block'} the bridge port ${index}` };
}

export function deleteLinkRequest(link: LinkRef): Request {
  return { bytes: linkMessage(RTM_DELLINK, CHANGE, link).finish(), operation: `delete the link ${link}` };
}

/** All links of a group of the namespace, at once: the kernel waits once for all of them. */
export function deleteLinkGroupRequest(group: number): Request {
  const writer = linkMessage(RTM_DELLINK, CHANGE, 0).attributeU32(IFLA_GROUP, group);
  return { bytes: writer.finish(), operation: `delete the links of group ${group}` };
}

/** Null unless it is a whole RTM_NEWLINK or RTM_DELLINK about a link itself (not about a bridge port, AF_BRIDGE). */
export function parseLink({ payload }: Message): Link | null {
  const index = readU32(payload, 4);
  const flags = readU32(payload, 8);
  if (index === null || flags === null || payload.length < IFINFO_BYTES || payload[0] !== AF_UNSPEC) return null;
  const attributes = new Attributes(payload, IFINFO_BYTES);
  const name = attributes.text(IFLA_IFNAME);
  if (name === null) return null;
  const mac = attributes.bytes(IFLA_ADDRESS);
  const info = attributes.nested(IFLA_LINKINFO);
  const kind = info.text(IFLA_INFO_KIND);
  const addrGenMode = attributes.nested(IFLA_AF_SPEC).nested(AF_INET6).u8(IFLA_INET6_ADDR_GEN_MODE);
  const isPort = info.text(IFLA_INFO_SLAVE_KIND) === 'bridge';
  return {
    index,
    name,
    mac: mac?.length === 6 ? macFromBytes(mac) : null,
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    arp: (flags & IFF_NOARP) === 0,
    kind,
    master: attributes.u32(IFLA_MASTER),
    alias: attributes.text(IFLA_IFALIAS) ?? '',
    peerIndex: attributes.u32(IFLA_LINK),
    peerNamespaceId: attributes.u32(IFLA_LINK_NETNSID),
    addressGeneration: addrGenMode === null ? null : addrGenMode !== ADDR_GEN_NONE,
    txQueues: attributes.u32(IFLA_NUM_TX_QUEUES) ?? 1,
    rxQueues: attributes.u32(IFLA_NUM_RX_QUEUES) ?? 1,
    gsoIpv4BytesMax: attributes.u32(IFLA_GSO_IPV4_MAX_SIZE),
    port: isPort ? parsePortFlags(info.nested(IFLA_INFO_SLAVE_DATA)) : null,
    portForwards: isPort ? info.nested(IFLA_INFO_SLAVE_DATA).u8(IFLA_BRPORT_STATE) === BR_STATE_FORWARDING : null,
    bridge: kind === 'bridge' ? parseBridgeOptions(info.nested(IFLA_INFO_DATA)) : null,
    vxlan: kind === VXLAN_KIND ? parseVxlanInfo(info.nested(IFLA_INFO_DATA)) : null,
  };
}

/** The port and its bridge of an AF_BRIDGE link message; null on others. */
export function parseBridgePort({
  payload,
}: Message): { readonly index: number; readonly master: number | null } | null {
  const index = readU32(payload, 4);
  if (index === null || payload.length < IFINFO_BYTES || payload[0] !== AF_BRIDGE) return null;
  return { index, master: new Attributes(payload, IFINFO_BYTES).u32(IFLA_MASTER) };
}

interface FlagChange {
  readonly flags: number;
  readonly change: number;
}
const NO_FLAGS: FlagChange = { flags: 0, change: 0 };

function endFlags({ up, arp }: { readonly up?: boolean; readonly arp?: boolean }): FlagChange {
  const flags = (up === true ? IFF_UP : 0) | (arp === false ? IFF_NOARP : 0);
  const change = (up === undefined ? 0 : IFF_UP) | (arp === undefined ? 0 : IFF_NOARP);
  return { flags, change };
}

/** A message about one link, by index or by name. */
function linkMessage(type: number, messageFlags: number, link: LinkRef, change = NO_FLAGS): MessageWriter {
  const writer = new MessageWriter(type, messageFlags);
  writeIfinfo(writer, AF_UNSPEC, typeof link === 'number' ? link : 0, change);
  if (typeof link === 'string') writer.attributeText(IFLA_IFNAME, link);
  return writer;
}

function writeIfinfo(writer: MessageWriter, family: number, index: number, { flags, change }: FlagChange): void {
  writer.u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

function writeEnd(writer: MessageWriter, end: VethEnd): void {
  writer.attributeText(IFLA_IFNAME, end.name);
  if (end.mac !== undefined) writer.attribute(IFLA_ADDRESS, macToBytes(end.mac));
  if (end.mtu !== undefined) writer.attributeU32(IFLA_MTU, end.mtu);
  if (end.txQueues !== undefined) writer.attributeU32(IFLA_NUM_TX_QUEUES, end.txQueues);
  if (end.rxQueues !== undefined) writer.attributeU32(IFLA_NUM_RX_QUEUES, end.rxQueues);
  if (end.gsoIpv4BytesMax !== undefined) writer.attributeU32(IFLA_GSO_IPV4_MAX_SIZE, end.gsoIpv4BytesMax);
}

function writeBridgeInfo(writer: MessageWriter, options: Partial<BridgeOptions>): void {
  const { ageingMs, forwardDelayMs, stp, vlanFiltering, multicastSnooping, groupForwardMask } = options;
  writer.nested(IFLA_LINKINFO, (info) => {
    info.attributeText(IFLA_INFO_KIND, 'bridge').nested(IFLA_INFO_DATA, (data) => {
      if (forwardDelayMs !== undefined) data.attributeU32(IFLA_BR_FORWARD_DELAY, ticks(forwardDelayMs));
      if (ageingMs !== undefined) data.attributeU32(IFLA_BR_AGEING_TIME, ticks(ageingMs));
      if (stp !== undefined) data.attributeU32(IFLA_BR_STP_STATE, stp ? 1 : 0);
      if (vlanFiltering !== undefined) data.attributeU8(IFLA_BR_VLAN_FILTERING, vlanFiltering ? 1 : 0);
      if (groupForwardMask !== undefined) data.attributeU16(IFLA_BR_GROUP_FWD_MASK, groupForwardMask);
      if (multicastSnooping !== undefined) data.attributeU8(IFLA_BR_MCAST_SNOOPING, multicastSnooping ? 1 : 0);
    });
  });
}

function ticks(ms: number): number {
  return Math.round(ms / MS_PER_TICK);
}

function parseBridgeOptions(data: Attributes): BridgeOptions {
  return {
    ageingMs: (data.u32(IFLA_BR_AGEING_TIME) ?? 0) * MS_PER_TICK,
    forwardDelayMs: (data.u32(IFLA_BR_FORWARD_DELAY) ?? 0) * MS_PER_TICK,
    stp: data.u32(IFLA_BR_STP_STATE) !== 0,
    vlanFiltering: data.u8(IFLA_BR_VLAN_FILTERING) === 1,
    multicastSnooping: data.u8(IFLA_BR_MCAST_SNOOPING) === 1,
    groupForwardMask: readU16(data.bytes(IFLA_BR_GROUP_FWD_MASK) ?? new Uint8Array(0), 0) ?? 0,
  };
}

function parsePortFlags(data: Attributes): BridgePortFlags {
  const on = (flag: keyof BridgePortFlags) => data.u8(PORT_FLAGS[flag]) === 1;
  return {
    learning: on('learning'),
    unicastFlood: on('unicastFlood'),
    multicastFlood: on('multicastFlood'),
    broadcastFlood: on('broadcastFlood'),
    isolated: on('isolated'),
    locked: on('locked'),
    hairpin: on('hairpin'),
    neighSuppress: on('neighSuppress'),
  };
}
