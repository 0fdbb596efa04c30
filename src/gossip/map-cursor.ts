// Walks the entries of a packed map (packed-map.ts) without making an object, a string or a bigint per entry: a host with
// 1,000 containers walks its map several times for each change. Every read is bounds-checked, so that the same walk serves
// to inspect bytes from outside: a cursor that meets a cut entry stops and says `truncated`.

import { KEY_BYTES_MAX, TOMBSTONE_LENGTH } from './limits.ts';

/** Key length before the key, version and value length after it. */
const TAIL_BYTES = 10;

export class MapCursor {
  readonly #packed: Uint8Array;
  #start = 0;
  #valueStart = 0;
  #end = 0;
  keyBytes = 0;
  /** Beyond 2^53 it is inexact and above every valid version. */
  version = 0;
  deleted = false;
  truncated = false;

  constructor(packed: Uint8Array) {
    this.#packed = packed;
  }

  /** Moves to the next entry; false at the end or at a cut entry. */
  next(): boolean {
    const packed = this.#packed;
    const start = this.#end;
    if (start >= packed.length || this.truncated) return false;
    const keyBytes = packed[start]!;
    const at = start + 1 + keyBytes;
    this.truncated = at + TAIL_BYTES > packed.length;
    if (this.truncated) return false;
    this.version = u32At(packed, at) * 2 ** 32 + u32At(packed, at + 4);
    const length = packed[at + 8]! * 256 + packed[at + 9]!;
    this.deleted = length === TOMBSTONE_LENGTH;
    this.keyBytes = keyBytes;
    this.#start = start;
    this.#valueStart = at + TAIL_BYTES;
    this.#end = this.#valueStart + (this.deleted ? 0 : length);
    this.truncated = this.#end > packed.length;
    return !this.truncated;
  }

  /** Where the entry begins in the map. */
  get start(): number {
    return this.#start;
  }

  /** Where the next one begins. */
  get end(): number {
    return this.#end;
  }

  get valueBytes(): number {
    return this.#end - this.#valueStart;
  }

  key(): string {
    const codes: number[] = new Array(this.keyBytes);
    for (let i = 0; i < codes.length; i++) codes[i] = this.keyByte(i);
    return String.fromCharCode.apply(null, codes);
  }

  /** A view into the map; null for a tombstone. */
  value(): Uint8Array | null {
    return this.deleted ? null : this.#packed.subarray(this.#valueStart, this.#end);
  }

  /** The whole entry, a view. */
  bytes(): Uint8Array {
    return this.#packed.subarray(this.#start, this.#end);
  }

  hasKey(key: string): boolean {
    if (key.length !== this.keyBytes) return false;
    for (let i = key.length - 1; i >= 0; i--) if (this.keyByte(i) !== key.charCodeAt(i)) return false;
    return true;
  }

  /** 1 to 128 bytes of printable ASCII. */
  hasValidKey(): boolean {
    if (this.keyBytes < 1 || this.keyBytes > KEY_BYTES_MAX) return false;
    for (let i = 0; i < this.keyBytes; i++) if (this.keyByte(i) < 0x21 || this.keyByte(i) > 0x7e) return false;
    return true;
  }

  keyByte(index: number): number {
    return this.#packed[this.#start + 1 + index]!;
  }
}

/** The order of keys: by byte, shorter first on a common prefix. */
export function compareKeys(a: MapCursor, b: MapCursor): number {
  const common = Math.min(a.keyBytes, b.keyBytes);
  for (let i = 0; i < common; i++) {
    const difference = a.keyByte(i) - b.keyByte(i);
    if (difference !== 0) return difference;
  }
  return a.keyBytes - b.keyBytes;
}

function u32At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
