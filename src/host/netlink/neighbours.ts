// RTM_*NEIGH messages: neighbours (ARP and ND) and the forwarding entries of bridges, which are neighbours of family AF_BRIDGE.
// linux/neighbour.h.

import { type Family, formatIp, ipFromBytes, ipToBytes } from '../../base/address.ts';
import { macFromBytes, macToBytes } from '../../base/ids.ts';
import { AF_BRIDGE } from './links.ts';
import {
  Attributes,
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type Request,
  readU16,
  readU32,
} from './message.ts';
import { familyNumber, familyOfNumber } from './numbers.ts';
import type { FdbConfig, FdbEntry, Neighbour, NeighbourConfig } from './objects.ts';

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_VLAN = 5;
const NDA_IFINDEX = 8;
const NDA_MASTER = 9;

const NUD_REACHABLE = 0x02;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;
const NDMSG_BYTES = 12;

const REPLACE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;

interface NeighbourHeader {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
}

export function setNeighbourRequest({ index, ip, mac }: NeighbourConfig): Request {
  const header = { family: familyNumber(ip.family), index, state: NUD_PERMANENT, flags: 0 };
  const writer = neighbourMessage(RTM_NEWNEIGH, REPLACE, header);
  writer.attribute(NDA_DST, ipToBytes(ip)).attribute(NDA_LLADDR, macToBytes(mac));
  return { bytes: writer.finish(), operation: `set the neighbour ${formatIp(ip)} of the link ${index}` };
}

export function deleteNeighbourRequest({ index, ip }: Pick<NeighbourConfig, 'index' | 'ip'>): Request {
  const header = { family: familyNumber(ip.family), index, state: 0, flags: 0 };
  const writer = neighbourMessage(RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_ACK, header);
  writer.attribute(NDA_DST, ipToBytes(ip));
  return { bytes: writer.finish(), operation: `delete the neighbour ${formatIp(ip)} of the link ${index}` };
}

export function listNeighboursRequest(filter: { readonly index?: number; readonly family?: Family }): Request {
  const family = filter.family === undefined ? 0 : familyNumber(filter.family);
  const writer = neighbourMessage(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, { ...ANY, family });
  if (filter.index !== undefined) writer.attributeU32(NDA_IFINDEX, filter.index);
  return { bytes: writer.finish(), operation: 'list the neighbours' };
}

export function setFdbEntryRequest(config: FdbConfig): Request {
  const writer = neighbourMessage(RTM_NEWNEIGH, REPLACE, fdbHeader(config));
  writer.attribute(NDA_LLADDR, macToBytes(config.mac));
  if (config.remote !== undefined) writer.attribute(NDA_DST, ipToBytes(config.remote));
  return { bytes: writer.finish(), operation: `set the forwarding entry ${config.mac} of the port ${config.index}` };
}

export function deleteFdbEntryRequest(config: FdbConfig): Request {
  const writer = neighbourMessage(RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_ACK, fdbHeader(config));
  writer.attribute(NDA_LLADDR, macToBytes(config.mac));
  return { bytes: writer.finish(), operation: `delete the forwarding entry ${config.mac} of the port ${config.index}` };
}

export function listFdbRequest(filter: { readonly bridge?: number; readonly port?: number }): Request {
  const writer = neighbourMessage(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, { ...ANY, family: AF_BRIDGE });
  if (filter.port !== undefined) writer.attributeU32(NDA_IFINDEX, filter.port);
  if (filter.bridge !== undefined) writer.attributeU32(NDA_MASTER, filter.bridge);
  return { bytes: writer.finish(), operation: 'list the forwarding entries' };
}

/** Null unless it is a whole IPv4 or IPv6 neighbour. */
export function parseNeighbour({ payload }: Message): Neighbour | null {
  const family = familyOfNumber(payload[0]);
  const index = readU32(payload, 4);
  const state = readU16(payload, 8);
  if (family === null || index === null || state === null || payload.length < NDMSG_BYTES) return null;
  const attributes = new Attributes(payload, NDMSG_BYTES);
  const ip = ipFromBytes(attributes.bytes(NDA_DST) ?? new Uint8Array(0));
  if (ip?.family !== family) return null;
  const mac = attributes.bytes(NDA_LLADDR);
  return {
    index,
    ip,
    mac: mac?.length === 6 ? macFromBytes(mac) : null,
    permanent: (state & NUD_PERMANENT) !== 0,
    state,
  };
}

/** Null unless it is a whole forwarding entry of an Ethernet device. */
export function parseFdbEntry({ payload }: Message): FdbEntry | null {
  const index = readU32(payload, 4);
  const state = readU16(payload, 8);
  if (payload[0] !== AF_BRIDGE || index === null || state === null || payload.length < NDMSG_BYTES) return null;
  const attributes = new Attributes(payload, NDMSG_BYTES);
  const mac = attributes.bytes(NDA_LLADDR);
  if (mac?.length !== 6) return null;
  return {
    index,
    mac: macFromBytes(mac),
    master: attributes.u32(NDA_MASTER),
    vlan: attributes.u16(NDA_VLAN),
    remote: ipFromBytes(attributes.bytes(NDA_DST) ?? new Uint8Array(0)),
    state: (state & NUD_PERMANENT) !== 0 ? 'permanent' : (state & NUD_NOARP) !== 0 ? 'static' : 'learned',
  };
}

/** What strict checking wants of a dump's header. */
const ANY: NeighbourHeader = { family: 0, index: 0, state: 0, flags: 0 };

function neighbourMessage(type: number, messageFlags: number, header: NeighbourHeader): MessageWriter {
  const writer = new MessageWriter(type, messageFlags);
  return writer.u8(header.family).u8(0).u16(0).u32(header.index).u16(header.state).u8(header.flags).u8(0);
}

/**
 * As `bridge fdb` does: in a bridge NUD_NOARP is static, and NUD_PERMANENT would make the MAC one of the bridge's own. A device's
 * own table knows only the latter.
 */
function fdbHeader({ index, where = 'master' }: FdbConfig): NeighbourHeader {
  return where === 'master'
    ? { family: AF_BRIDGE, index, state: NUD_NOARP | NUD_REACHABLE, flags: NTF_MASTER }
    : { family: AF_BRIDGE, index, state: NUD_PERMANENT, flags: NTF_SELF };
}
