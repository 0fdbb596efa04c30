// RTM_*ROUTE messages: IPv4 and IPv6 routes. What fabric makes carries a protocol number of its own. linux/rtnetlink.h.

import {
  addressBits,
  cidrOf,
  type Family,
  formatCidr,
  type IpAddress,
  ipFromBytes,
  ipToBytes,
} from '../../base/address.ts';
import {
  Attributes,
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type Request,
  readU16,
  readU32,
} from './message.ts';
import { familyNumber, familyOfNumber, scopeNumber, scopeOfNumber } from './numbers.ts';
import {
  ROUTE_PROTOCOL,
  ROUTE_TABLE_MAIN,
  type Route,
  type RouteConfig,
  type RouteFilter,
  type RouteKey,
  type RouteType,
} from './objects.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;

const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
const RTMSG_BYTES = 12;
const NEXT_HOP_BYTES = 8;
const TYPES = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
} as const;

export function addRouteRequest(config: RouteConfig, onExisting: 'refuse' | 'replace'): Request {
  const { type = 'unicast', gateway, preferredSource, mtu, advertisedSegment } = config;
  const { scope = gateway === undefined && type === 'unicast' ? 'link' : 'global' } = config;
  const flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | (onExisting === 'refuse' ? NLM_F_EXCL : NLM_F_REPLACE);
  const writer = routeMessage(RTM_NEWROUTE, flags, config, {
    protocol: config.protocol ?? ROUTE_PROTOCOL,
    scope: config.dst.family === 4 ? scopeNumber(scope) : 0,
    type: typeof type === 'number' ? type : TYPES[type],
    flags: config.onlink === true ? RTNH_F_ONLINK : 0,
  });
  if (preferredSource !== undefined) writer.attribute(RTA_PREFSRC, ipToBytes(preferredSource));
  if (mtu !== undefined || advertisedSegment !== undefined) {
    writer.nested(RTA_METRICS, (metrics) => {
      if (mtu !== undefined) metrics.attributeU32(RTAX_MTU, mtu);
      if (advertisedSegment !== undefined) metrics.attributeU32(RTAX_ADVMSS, advertisedSegment);
    });
  }
  return { bytes: writer.finish(), operation: `add the route ${describe(config)}` };
}

export function deleteRouteRequest(key: RouteKey): Request {
  const { protocol = ROUTE_PROTOCOL } = key;
  const writer = routeMessage(RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, key, {
    protocol: protocol ?? 0,
    scope: key.dst.family === 4 ? scopeNumber('nowhere') : 0,
    type: 0,
    flags: 0,
  });
  return { bytes: writer.finish(), operation: `delete the route ${describe(key)}` };
}

/** Of one family: the kernel's filters work for one only. */
export function listRoutesRequest(family: Family, { table, protocol, index }: RouteFilter): Request {
  const writer = new MessageWriter(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
  writer.u8(familyNumber(family)).u8(0).u8(0).u8(0);
  writer
    .u8(0)
    .u8(protocol ?? 0)
    .u8(0)
    .u8(0)
    .u32(0);
  if (table !== undefined) writer.attributeU32(RTA_TABLE, table);
  if (index !== undefined) writer.attributeU32(RTA_OIF, index);
  return { bytes: writer.finish(), operation: `list the IPv${family} routes` };
}

/** Null unless it is a whole IPv4 or IPv6 route of a table (not of the cache). */
export function parseRoute({ payload }: Message): Route | null {
  const family = familyOfNumber(payload[0]);
  const flags = readU32(payload, 8);
  if (family === null || flags === null || (flags & RTM_F_CLONED) !== 0) return null;
  const attributes = new Attributes(payload, RTMSG_BYTES);
  const prefix = payload[1]!;
  const base = attributes.bytes(RTA_DST);
  const ip: IpAddress | null = base === null ? { family, value: 0n } : ipFromBytes(base);
  if (ip?.family !== family || prefix > addressBits(family)) return null;
  return {
    dst: cidrOf(ip, prefix),
    gateway: gatewayOf(attributes),
    index: attributes.u32(RTA_OIF),
    preferredSource: ipFromBytes(attributes.bytes(RTA_PREFSRC) ?? new Uint8Array(0)),
    scope: scopeOfNumber(payload[6]!),
    table: attributes.u32(RTA_TABLE) ?? payload[4]!,
    metric: attributes.u32(RTA_PRIORITY) ?? 0,
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    mtu: attributes.nested(RTA_METRICS).u32(RTAX_MTU),
    protocol: payload[5]!,
    type: typeOfNumber(payload[7]!),
    nextHops: parseNextHops(attributes.bytes(RTA_MULTIPATH) ?? new Uint8Array(0)),
  };
}

interface RouteHeader {
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

function routeMessage(type: number, messageFlags: number, key: RouteKey, header: RouteHeader): MessageWriter {
  const { dst, gateway, index, table = ROUTE_TABLE_MAIN, metric } = key;
  const writer = new MessageWriter(type, messageFlags);
  writer.u8(familyNumber(dst.family)).u8(dst.prefix).u8(0).u8(0);
  // A table above 255 does not fit the header.
  writer
    .u8(table < 256 ? table : 0)
    .u8(header.protocol)
    .u8(header.scope)
    .u8(header.type)
    .u32(header.flags);
  if (dst.prefix > 0) writer.attribute(RTA_DST, ipToBytes({ family: dst.family, value: dst.base }));
  if (gateway !== undefined) writeGateway(writer, dst.family, gateway);
  if (metric !== undefined) writer.attributeU32(RTA_PRIORITY, metric);
  if (index !== undefined) writer.attributeU32(RTA_OIF, index);
  if (table >= 256) writer.attributeU32(RTA_TABLE, table);
  return writer;
}

/** A gateway of the other family (RFC 5549) has an attribute of its own, which names the family. */
function writeGateway(writer: MessageWriter, family: Family, gateway: IpAddress): void {
  if (gateway.family === family) {
    writer.attribute(RTA_GATEWAY, ipToBytes(gateway));
    return;
  }
  const via = new Uint8Array([
    ...new Uint8Array(new Uint16Array([familyNumber(gateway.family)]).buffer),
    ...ipToBytes(gateway),
  ]);
  writer.attribute(RTA_VIA, via);
}

function gatewayOf(attributes: Attributes): IpAddress | null {
  const gateway = attributes.bytes(RTA_GATEWAY) ?? attributes.bytes(RTA_VIA)?.subarray(2);
  return gateway === undefined ? null : ipFromBytes(gateway);
}

/** struct rtnexthop: length 2, flags 1, hops 1, interface 4, then attributes. */
function parseNextHops(bytes: Uint8Array): Route['nextHops'] {
  const hops: { readonly index: number; readonly gateway: IpAddress | null }[] = [];
  let offset = 0;
  while (offset + NEXT_HOP_BYTES <= bytes.length) {
    const length = readU16(bytes, offset) ?? 0;
    if (length < NEXT_HOP_BYTES || length > bytes.length - offset) break;
    const attributes = new Attributes(bytes.subarray(offset, offset + length), NEXT_HOP_BYTES);
    hops.push({ index: readU32(bytes, offset + 4) ?? 0, gateway: gatewayOf(attributes) });
    offset += (length + 3) & ~3;
  }
  return hops;
}

function typeOfNumber(value: number): RouteType {
  const named = Object.entries(TYPES).find(([, number]) => number === value);
  return named === undefined ? value : (named[0] as keyof typeof TYPES);
}

function describe({ dst, index }: RouteKey): string {
  return index === undefined ? formatCidr(dst) : `${formatCidr(dst)} through the link ${index}`;
}
