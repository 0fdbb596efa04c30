// Byte strings without Buffer: hex, comparison, concatenation, and a bounds-checked reader and writer for
// fabric's own binary formats. All multi-byte numbers are in network order (big-endian).

/** The character codes of each byte's two digits. */
const HEX_CODES = Uint16Array.from({ length: 512 }, (_, i) =>
  ((i & 1) === 0 ? i >> 5 : (i >> 1) & 15).toString(16).charCodeAt(0),
);
/** `String.fromCharCode` takes its characters as arguments. */
const HEX_BYTES_AT_ONCE = 256;
/** By character code; -1 is no hex digit. */
const DIGIT_OF_CODE = new Int8Array(128).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  DIGIT_OF_CODE[digit.toString(16).charCodeAt(0)] = digit;
  DIGIT_OF_CODE[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let from = 0; from < bytes.length; from += HEX_BYTES_AT_ONCE) {
    const length = Math.min(HEX_BYTES_AT_ONCE, bytes.length - from);
    const codes: number[] = new Array(2 * length);
    for (let i = 0; i < length; i++) {
      codes[2 * i] = HEX_CODES[2 * bytes[from + i]!]!;
      codes[2 * i + 1] = HEX_CODES[2 * bytes[from + i]! + 1]!;
    }
    text += String.fromCharCode.apply(null, codes); // flat at once: ids are mostly keys of a map
  }
  return text;
}

/** Texts of ids that were read lately, by their first bytes: ids stand in every message, and one string serves all their mentions. */
const LATELY: string[] = new Array(8_192).fill('');

/** The same for `length` bytes from `from` on, four at least, of what is likely to be read again. */
function toHexAgain(bytes: Uint8Array, from: number, length: number): string {
  const slot = ((bytes[from]! << 24) | (bytes[from + 1]! << 16) | (bytes[from + 2]! << 8) | bytes[from + 3]!) & 0x1fff;
  const known = LATELY[slot]!;
  if (known.length === 2 * length && isHexOf(known, bytes, from)) return known;
  const text = toHex(bytes.subarray(from, from + length));
  LATELY[slot] = text;
  return text;
}

function isHexOf(text: string, bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < text.length; i += 2) {
    const byte = bytes[from + (i >> 1)]!;
    if (text.charCodeAt(i) !== HEX_CODES[2 * byte] || text.charCodeAt(i + 1) !== HEX_CODES[2 * byte + 1]) return false;
  }
  return true;
}

/** Returns null unless `text` is an even number of hex digits. */
export function fromHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0) return null;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = DIGIT_OF_CODE[text.charCodeAt(2 * i)] ?? -1;
    const low = DIGIT_OF_CODE[text.charCodeAt(2 * i + 1)] ?? -1;
    if (high < 0 || low < 0) return null;
    bytes[i] = high * 16 + low;
  }
  return bytes;
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Lexicographic order, shorter first on a common prefix: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Not constant-time: for public values only; secrets are compared by {@link Crypto.equal}. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/**
 * Reads a binary message from its start. A read past the end does not throw: it sets `failed` and returns zeros or an
 * empty array, so that a parser reads all its fields and checks `failed` once.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#take(1) ? this.#bytes[this.#offset - 1]! : 0;
  }

  u16(): number {
    return this.#take(2) ? this.#uint16(this.#offset - 2) : 0;
  }

  u32(): number {
    return this.#take(4) ? this.#uint32(this.#offset - 4) : 0;
  }

  u64(): bigint {
    if (!this.#take(8)) return 0n;
    return (BigInt(this.#uint32(this.#offset - 8)) << 32n) | BigInt(this.#uint32(this.#offset - 4));
  }

  /** LEB128 of a whole number up to 2^53 - 1; more sets `failed`. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    this.failed = true;
    return 0;
  }

  /** A view, not a copy: valid as long as the input is. */
  bytes(length: number): Uint8Array {
    return this.#take(length) ? this.#bytes.subarray(this.#offset - length, this.#offset) : new Uint8Array(0);
  }

  /** An id of so many bytes, four at least, as hex digits; empty past the end. */
  id(length: number): string {
    return this.#take(length) ? toHexAgain(this.#bytes, this.#offset - length, length) : '';
  }

  /** A 16-bit length and that many bytes. */
  bytes16(): Uint8Array {
    return this.bytes(this.u16());
  }

  /** A 16-bit length and that much UTF-8; malformed UTF-8 sets `failed`. */
  text16(): string {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.bytes16());
    } catch {
      this.failed = true;
      return '';
    }
  }

  #uint16(at: number): number {
    return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!;
  }

  #uint32(at: number): number {
    return this.#uint16(at) * 2 ** 16 + this.#uint16(at + 2);
  }

  #take(length: number): boolean {
    if (this.failed || length < 0 || length > this.remaining) {
      this.failed = true;
      return false;
    }
    this.#offset += length;
    return true;
  }
}

/** Buffers of finished writers: a writer lives for a few lines, and a fresh buffer costs more than what goes into it. */
const SPARE: Uint8Array[] = [];
const SPARE_MAX = 8;
const SPARE_BYTES = 4_096;
const NOTHING = new Uint8Array(0);
/** Messages of more than this many bytes (up to that, V8 keeps an array's bytes beside it) share memory. */
const ALONE_BYTES_MAX = 64;
const SHARED_BYTES = 16_384;
let shared = NOTHING;
let sharedUsed = 0;

/** Grows as needed; `finish()` returns a copy of exactly what was written, and is the last call but for `length`. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  /** `capacity`: bytes that are expected. */
  constructor(capacity = 256) {
    this.#bytes = capacity <= SPARE_BYTES ? (SPARE.pop() ?? new Uint8Array(SPARE_BYTES)) : new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const offset = this.#reserve(1);
    this.#bytes[offset] = value;
    return this;
  }

  u16(value: number): this {
    const offset = this.#reserve(2);
    this.#bytes[offset] = value >> 8;
    this.#bytes[offset + 1] = value;
    return this;
  }

  u32(value: number): this {
    const offset = this.#reserve(4);
    this.#bytes[offset] = value >> 24;
    this.#bytes[offset + 1] = value >> 16;
    this.#bytes[offset + 2] = value >> 8;
    this.#bytes[offset + 3] = value;
    return this;
  }

  /** A number is a whole one from 0 to 2^53 - 1. */
  u64(value: bigint | number): this {
    if (typeof value === 'number') return this.u32(Math.floor(value / 2 ** 32)).u32(value);
    return this.u32(Number((value >> 32n) & 0xffffffffn)).u32(Number(value & 0xffffffffn));
  }

  /** LEB128: 7 bits per byte, the lowest first. `value` is a whole number from 0 to 2^53 - 1. */
  varint(value: number): this {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.u8((rest % 128) + 128);
    return this.u8(rest);
  }

  /** An id in hex digits, an even number of them. */
  id(hex: string): this {
    const offset = this.#reserve(hex.length / 2);
    for (let i = 0; i < hex.length; i += 2) {
      this.#bytes[offset + i / 2] = DIGIT_OF_CODE[hex.charCodeAt(i)]! * 16 + DIGIT_OF_CODE[hex.charCodeAt(i + 1)]!;
    }
    return this;
  }

  bytes(value: Uint8Array): this {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** Throws RangeError above 65,535 bytes: the callers' limits lie far below. */
  bytes16(value: Uint8Array): this {
    if (value.length > 0xffff) throw new RangeError(`bytes16: ${value.length} bytes`);
    return this.u16(value.length).bytes(value);
  }

  text16(value: string): this {
    return this.bytes16(utf8(value));
  }

  finish(): Uint8Array {
    return this.#end(this.#bytes.slice(0, this.#length));
  }

  /** The same for a message that is gone soon: it shares its memory with others, which lasts as long as any of them. */
  finishMessage(): Uint8Array {
    const length = this.#length;
    if (length <= ALONE_BYTES_MAX || length > SPARE_BYTES) return this.finish();
    if (sharedUsed + length > shared.length) {
      shared = new Uint8Array(SHARED_BYTES);
      sharedUsed = 0;
    }
    const message = shared.subarray(sharedUsed, sharedUsed + length);
    message.set(this.#bytes.subarray(0, length));
    sharedUsed += length;
    return this.#end(message);
  }

  #end(finished: Uint8Array): Uint8Array {
    if (this.#bytes.length === SPARE_BYTES && SPARE.length < SPARE_MAX) SPARE.push(this.#bytes);
    this.#bytes = NOTHING;
    return finished;
  }

  /** May replace `#bytes`: call it before touching them. */
  #reserve(length: number): number {
    const offset = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return offset;
  }
}
