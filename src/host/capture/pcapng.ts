// The pcapng file format, as far as a capture of Ethernet frames needs it: section header, interface descriptions, packets, and
// statistics with what was lost. draft-ietf-opsawg-pcapng; little-endian, times in microseconds. Pure.

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;
/** Type and length before the body, length again behind it. */
const BLOCK_BYTES = 12;
const PACKET_FIELDS_BYTES = 20;
const OPTION = { end: 0, userApplication: 4, interfaceName: 2, filter: 11, received: 4, dropped: 5, delivered: 8 };
const UNKNOWN_LENGTH = 0xffff_ffff_ffff_ffffn;

export interface PacketTimes {
  /** Seconds and microseconds since the Unix epoch. */
  readonly seconds: number;
  readonly microseconds: number;
}

export interface CapturedFrame extends PacketTimes {
  /** As in the order of the interface descriptions. */
  readonly interfaceId: number;
  /** What was captured of it. */
  readonly bytes: Uint8Array;
  /** How long it was, bytes. */
  readonly wireBytes: number;
}

export interface InterfaceStatistics extends PacketTimes {
  readonly interfaceId: number;
  /** Frames that the filter let through, those lost for lack of buffers, and those in the file. */
  readonly received: number;
  readonly dropped: number;
  readonly delivered: number;
}

/** Once, first. */
export function sectionHeader(application: string): Buffer {
  const fields = Buffer.alloc(16);
  fields.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  fields.writeUInt16LE(1, 4); // version 1.0
  fields.writeBigUInt64LE(UNKNOWN_LENGTH, 8);
  return block(SECTION_HEADER, [fields, ...options([[OPTION.userApplication, Buffer.from(application)]])]);
}

/** In the order of their ids, before their frames. `filter` is a pcap expression; empty: none. */
export function interfaceDescription(
  name: string,
  { snapBytes, filter }: { snapBytes: number; filter: string },
): Buffer {
  const fields = Buffer.alloc(8);
  fields.writeUInt16LE(LINKTYPE_ETHERNET, 0);
  fields.writeUInt32LE(snapBytes, 4);
  // A zero octet says that the filter is an expression, not code.
  const said = filter === '' ? [] : [[OPTION.filter, Buffer.from(`\0${filter}`)] as const];
  return block(INTERFACE_DESCRIPTION, [fields, ...options([[OPTION.interfaceName, Buffer.from(name)], ...said])]);
}

/** Bytes that {@link writePacket} needs for a frame of that captured length. */
export function packetBytes(capturedBytes: number): number {
  return BLOCK_BYTES + PACKET_FIELDS_BYTES + padded(capturedBytes);
}

/** Writes one frame at `at`, which has room for it; returns where the next one goes. */
export function writePacket(target: Buffer, at: number, frame: CapturedFrame): number {
  const { bytes, wireBytes, interfaceId } = frame;
  const length = packetBytes(bytes.length);
  target.writeUInt32LE(ENHANCED_PACKET, at);
  target.writeUInt32LE(length, at + 4);
  target.writeUInt32LE(interfaceId, at + 8);
  writeTime(target, at + 12, frame);
  target.writeUInt32LE(bytes.length, at + 20);
  target.writeUInt32LE(wireBytes, at + 24);
  target.set(bytes, at + 28);
  target.fill(0, at + 28 + bytes.length, at + length - 4);
  target.writeUInt32LE(length, at + length - 4);
  return at + length;
}

/** Last, one per interface. */
export function interfaceStatistics(statistics: InterfaceStatistics): Buffer {
  const { interfaceId, received, dropped, delivered } = statistics;
  const fields = Buffer.alloc(12);
  fields.writeUInt32LE(interfaceId, 0);
  writeTime(fields, 4, statistics);
  const counters = [
    [OPTION.received, received],
    [OPTION.dropped, dropped],
    [OPTION.delivered, delivered],
  ] as const;
  const numbers = counters.map(([code, count]) => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(BigInt(count));
    return [code, value] as const;
  });
  return block(INTERFACE_STATISTICS, [fields, ...options(numbers)]);
}

/** 64 bits of microseconds, the upper half first (§4.3). */
function writeTime(target: Buffer, at: number, { seconds, microseconds }: PacketTimes): void {
  const total = seconds * 1e6 + microseconds; // exact until the year 2255
  target.writeUInt32LE(Math.floor(total / 2 ** 32), at);
  target.writeUInt32LE(total % 2 ** 32, at + 4);
}

function block(type: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = BLOCK_BYTES + body.length;
  const whole = Buffer.alloc(length);
  whole.writeUInt32LE(type, 0);
  whole.writeUInt32LE(length, 4);
  body.copy(whole, 8);
  whole.writeUInt32LE(length, length - 4);
  return whole;
}

function options(list: readonly (readonly [code: number, value: Buffer])[]): readonly Buffer[] {
  const parts = [...list, [OPTION.end, Buffer.alloc(0)] as const].map(([code, value]) => {
    const option = Buffer.alloc(4 + padded(value.length));
    option.writeUInt16LE(code, 0);
    option.writeUInt16LE(value.length, 2);
    value.copy(option, 4);
    return option;
  });
  return parts;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
