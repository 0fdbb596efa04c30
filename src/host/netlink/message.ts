// Netlink messages and attributes as bytes: a writer that patches lengths, and a parser that accepts anything. Numbers are in
// the host's order except where a caller asks for network order; everything is aligned to 4 bytes. A truncated or
// contradictory message or attribute ends the parse of its level: the parser never throws and never reads outside its input.
// RFC 3549 §2.2; linux/netlink.h.

export const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** The length field of an attribute has 16 bits. */
export const ATTRIBUTE_BYTES_MAX = 0xffff - ATTRIBUTE_HEADER_BYTES;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
/** On a message of a dump: the table changed while it was read. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** On an ack: the request is not repeated behind the errno. */
const NLM_F_CAPPED = 0x100;
/** On an ack or DONE: attributes with the kernel's words follow. */
const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const NLMSGERR_ATTR_MSG = 1;

/** Netlink is spoken within one machine, in its own byte order. */
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Of the socket that it answers, or whose request it tells others of. */
  readonly portId: number;
  /** A view into the parsed bytes. */
  readonly payload: Uint8Array;
}

/** What is sent, before it has a sequence number: made by {@link MessageWriter.finish}. */
export interface Request {
  readonly bytes: Uint8Array;
  /** For errors: `create the veth a`, continuing "can't …". */
  readonly operation: string;
}

/** Writes one message: the header's type and flags, the family's fixed part by the number methods, then attributes. */
export class MessageWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  constructor(type: number, flags: number) {
    this.u32(0).u16(type).u16(flags).u32(0).u32(0);
  }

  u8(value: number): this {
    const offset = this.#reserve(1);
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value, LITTLE_ENDIAN);
    return this;
  }

  u32(value: number): this {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value, LITTLE_ENDIAN);
    return this;
  }

  u16be(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value);
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    if (value.length > ATTRIBUTE_BYTES_MAX) throw new RangeError(`netlink attribute of ${value.length} bytes`);
    this.u16(ATTRIBUTE_HEADER_BYTES + value.length).u16(type);
    // Reserving may replace the array: first that, then the copy.
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this.#align();
  }

  attributeU8(type: number, value: number): this {
    this.u16(ATTRIBUTE_HEADER_BYTES + 1).u16(type);
    return this.u8(value).#align();
  }

  attributeU16(type: number, value: number): this {
    this.u16(ATTRIBUTE_HEADER_BYTES + 2).u16(type);
    return this.u16(value).#align();
  }

  attributeU32(type: number, value: number): this {
    return this.u16(ATTRIBUTE_HEADER_BYTES + 4)
      .u16(type)
      .u32(value);
  }

  /** With the final zero that the kernel wants. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, new TextEncoder().encode(`${text}\0`));
  }

  /** An attribute whose value is what `write` writes. */
  nested(type: number, write: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type | NLA_F_NESTED);
    write(this);
    const length = this.#length - start;
    if (length > 0xffff) throw new RangeError(`netlink attribute of ${length} bytes`);
    this.#view.setUint16(start, length, LITTLE_ENDIAN);
    return this;
  }

  /** A copy of exactly what was written, with its length in the header. */
  finish(): Uint8Array {
    this.#view.setUint32(0, this.#length, LITTLE_ENDIAN);
    return this.#bytes.slice(0, this.#length);
  }

  #align(): this {
    this.#reserve((4 - (this.#length % 4)) % 4);
    return this;
  }

  /** The bytes behind the length are zero: alignment needs no writing. */
  #reserve(length: number): number {
    const offset = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return offset;
  }
}

export function setSequence(message: Uint8Array, sequence: number): void {
  viewOf(message).setUint32(8, sequence, LITTLE_ENDIAN);
}

/** Whether the kernel answers it with a table, ended by NLMSG_DONE. Only for GET requests: NEW ones use the bits otherwise. */
export function isDump(message: Uint8Array): boolean {
  return ((readU16(message, 6) ?? 0) & NLM_F_DUMP) === NLM_F_DUMP;
}

/** The whole messages in `bytes`; what follows a malformed one is left out. */
export function parseMessages(bytes: Uint8Array): readonly Message[] {
  const view = viewOf(bytes);
  const messages: Message[] = [];
  let offset = 0;
  while (offset + HEADER_BYTES <= bytes.length) {
    const length = view.getUint32(offset, LITTLE_ENDIAN);
    if (length < HEADER_BYTES || length > bytes.length - offset) break;
    messages.push({
      type: view.getUint16(offset + 4, LITTLE_ENDIAN),
      flags: view.getUint16(offset + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(offset + 8, LITTLE_ENDIAN),
      portId: view.getUint32(offset + 12, LITTLE_ENDIAN),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += aligned(length);
  }
  return messages;
}

/** Attributes by type, flag bits removed; of repeated ones the last. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();

  /** Reads `bytes` from `offset`, behind the family's fixed part. */
  constructor(bytes: Uint8Array, offset = 0) {
    for (const [type, value] of eachAttribute(bytes, offset)) this.#values.set(type, value);
  }

  has(type: number): boolean {
    return this.#values.has(type);
  }

  /** A view; null when absent. */
  bytes(type: number): Uint8Array | null {
    return this.#values.get(type) ?? null;
  }

  u8(type: number): number | null {
    return this.bytes(type)?.[0] ?? null;
  }

  /** Null when absent or too short; likewise the others. */
  u16(type: number): number | null {
    const value = this.bytes(type);
    return value === null ? null : readU16(value, 0);
  }

  u32(type: number): number | null {
    const value = this.bytes(type);
    return value === null ? null : readU32(value, 0);
  }

  /** Up to the first zero; malformed UTF-8 becomes U+FFFD. */
  text(type: number): string | null {
    const value = this.bytes(type);
    if (value === null) return null;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  /** Empty when absent. */
  nested(type: number): Attributes {
    return new Attributes(this.bytes(type) ?? new Uint8Array(0));
  }
}

/** In order, repeated types included. */
export function eachAttribute(bytes: Uint8Array, offset = 0): readonly (readonly [type: number, value: Uint8Array])[] {
  const found: (readonly [number, Uint8Array])[] = [];
  let at = offset;
  while (at + ATTRIBUTE_HEADER_BYTES <= bytes.length) {
    const length = readU16(bytes, at) ?? 0;
    const type = (readU16(bytes, at + 2) ?? 0) & NLA_TYPE_MASK;
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at) break;
    found.push([type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length)]);
    at += aligned(length);
  }
  return found;
}

/** Null outside the bytes. Byte by byte: a view for each of the hundreds of numbers of a dump costs more than reading them. */
export function readU16(bytes: Uint8Array, offset: number): number | null {
  if (offset + 2 > bytes.length) return null;
  const first = bytes[offset]!;
  const second = bytes[offset + 1]!;
  return LITTLE_ENDIAN ? first | (second << 8) : (first << 8) | second;
}

export function readU32(bytes: Uint8Array, offset: number): number | null {
  if (offset + 4 > bytes.length) return null;
  const first = readU16(bytes, offset) ?? 0;
  const second = readU16(bytes, offset + 2) ?? 0;
  return (LITTLE_ENDIAN ? first | (second << 16) : (first << 16) | second) >>> 0;
}

/** The errno (0: success) and the kernel's words of an NLMSG_ERROR or NLMSG_DONE. */
export function parseOutcome(message: Message): { readonly errno: number; readonly words: string } {
  // The kernel gives a negative errno; on DONE of a dump some families leave it out.
  const errno = Math.abs((readU32(message.payload, 0) ?? 0) | 0);
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return { errno, words: '' };
  const repeated = message.type === NLMSG_DONE ? 0 : repeatedBytes(message);
  const words = new Attributes(message.payload, 4 + repeated).text(NLMSGERR_ATTR_MSG) ?? '';
  return { errno, words };
}

/** An NLMSG_ERROR repeats the request's header, and the whole request unless it is capped. */
function repeatedBytes(message: Message): number {
  if ((message.flags & NLM_F_CAPPED) !== 0) return HEADER_BYTES;
  return aligned(readU32(message.payload, 4) ?? HEADER_BYTES);
}

function aligned(length: number): number {
  // Not by a mask on the sum: a length of 2^31 and more would become negative.
  return length + (-length & 3);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
