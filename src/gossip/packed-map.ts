// One author's map as one byte string: a JavaScript object per record would cost about a kilobyte, this costs 11 bytes. It
// is canonical (strictly ascending keys, one encoding), so that equal maps have equal bytes and one hash, and immutable:
// every change makes a new one. An entry is
//
//     key length 1 | key | version 8 | value length 2 (0xffff: tombstone) | value
//
// and a delta is the same with only the entries above some version (Scuttlebutt, van Renesse et al. 2008).

import { ByteReader, ByteWriter, equalBytes } from '../base/bytes.ts';
import { KEY_BYTES_MAX, TOMBSTONE_LENGTH } from './limits.ts';

export interface PackedEntry {
  readonly key: string;
  readonly version: number;
  /** A view into the map; null is a tombstone. */
  readonly value: Uint8Array | null;
  /** Where the entry lies in the packed bytes. */
  readonly start: number;
  readonly end: number;
}

export interface MapShape {
  readonly live: number;
  readonly tombstones: number;
}

export interface RecordChange {
  readonly key: string;
  /** The new value, a copy that the receiver may keep; null: deleted. */
  readonly value: Uint8Array | null;
}

export const EMPTY_MAP: Uint8Array = new Uint8Array(0);

export function isKey(text: string): boolean {
  return text.length >= 1 && text.length <= KEY_BYTES_MAX && /^[\x21-\x7e]+$/.test(text);
}

/**
 * Checks bytes from outside: canonical order, keys, versions up to `version`, tombstones above `floor`, sizes. Only what
 * passed may be given to the other functions of this file.
 */
export function inspectMap(
  packed: Uint8Array,
  bounds: {
    readonly version: number;
    readonly floor: number;
    readonly entriesMax: number;
    readonly valueBytesMax: number;
  },
): MapShape | null {
  const reader = new ByteReader(packed);
  let previous = '';
  let live = 0;
  let tombstones = 0;
  while (reader.remaining > 0) {
    const key = keyText(reader.bytes(reader.u8()));
    const version = reader.u64();
    const length = reader.u16();
    if (length !== TOMBSTONE_LENGTH) reader.bytes(length);
    if (reader.failed || !isKey(key) || key <= previous) return null;
    if (version < 1n || version > BigInt(bounds.version)) return null;
    if (length === TOMBSTONE_LENGTH) tombstones++;
    else live++;
    if (length === TOMBSTONE_LENGTH && version <= BigInt(bounds.floor)) return null;
    if (length !== TOMBSTONE_LENGTH && length > bounds.valueBytesMax) return null;
    if (live + tombstones > bounds.entriesMax) return null;
    previous = key;
  }
  return { live, tombstones };
}

/** Walks a valid map in the order of its keys. */
export function* entriesOf(packed: Uint8Array): Generator<PackedEntry> {
  const reader = new ByteReader(packed);
  while (reader.remaining > 0) {
    const start = packed.length - reader.remaining;
    const key = keyText(reader.bytes(reader.u8()));
    const version = Number(reader.u64());
    const length = reader.u16();
    const value = length === TOMBSTONE_LENGTH ? null : reader.bytes(length);
    yield { key, version, value, start, end: packed.length - reader.remaining };
  }
}

/** A view into the map, or null when the key is absent or deleted. */
export function lookUp(packed: Uint8Array, key: string): Uint8Array | null {
  for (const entry of entriesOf(packed)) if (entry.key >= key) return entry.key === key ? entry.value : null;
  return null;
}

export function packEntry(writer: ByteWriter, key: string, version: number, value: Uint8Array | null): void {
  writer.u8(key.length);
  for (let i = 0; i < key.length; i++) writer.u8(key.charCodeAt(i));
  writer.u64(BigInt(version));
  if (value === null) writer.u16(TOMBSTONE_LENGTH);
  else writer.bytes16(value);
}

/** The entries newer than `version`, as a map of their own. */
export function deltaSince(packed: Uint8Array, version: number): Uint8Array {
  const writer = new ByteWriter();
  for (const entry of entriesOf(packed)) {
    if (entry.version > version) writer.bytes(packed.subarray(entry.start, entry.end));
  }
  return writer.finish();
}

/** `base` with the entries of `delta` put over it, without the tombstones that `floor` has made superfluous. */
export function applyDelta(base: Uint8Array, delta: Uint8Array, floor: number): Uint8Array {
  const writer = new ByteWriter(base.length + delta.length);
  for (const [old, fresh] of merged(base, delta)) {
    const entry = fresh ?? old;
    const source = fresh === null ? base : delta;
    if (entry === null || (entry.value === null && entry.version <= floor)) continue;
    writer.bytes(source.subarray(entry.start, entry.end));
  }
  return writer.finish();
}

/** What a reader of live entries sees change between two maps. */
export function changesBetween(before: Uint8Array, after: Uint8Array): RecordChange[] {
  const changes: RecordChange[] = [];
  for (const [old, fresh] of merged(before, after)) {
    const was = old?.value ?? null;
    const is = fresh?.value ?? null;
    if (was === null && is === null) continue;
    if (was !== null && is !== null && equalBytes(was, is)) continue;
    changes.push({ key: (fresh ?? old)!.key, value: is === null ? null : is.slice() });
  }
  return changes;
}

/** The versions of all tombstones, ascending. */
export function tombstoneVersions(packed: Uint8Array): number[] {
  const versions: number[] = [];
  for (const entry of entriesOf(packed)) if (entry.value === null) versions.push(entry.version);
  return versions.sort((a, b) => a - b);
}

/** Both maps side by side in the order of keys; a key that one lacks is null there. */
function* merged(a: Uint8Array, b: Uint8Array): Generator<readonly [PackedEntry | null, PackedEntry | null]> {
  const left = entriesOf(a);
  const right = entriesOf(b);
  let x = left.next().value ?? null;
  let y = right.next().value ?? null;
  while (x !== null || y !== null) {
    const takeX = x !== null && (y === null || x.key <= y.key);
    const takeY = y !== null && (x === null || y.key <= x.key);
    yield [takeX ? x : null, takeY ? y : null];
    if (takeX) x = left.next().value ?? null;
    if (takeY) y = right.next().value ?? null;
  }
}

function keyText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
