// One author's map as one byte string: a JavaScript object per record would cost about a kilobyte, this costs 11 bytes. It
// is canonical (strictly ascending keys, one encoding), so that equal maps have equal bytes and one hash, and immutable:
// every change makes a new one. An entry is
//
//     key length 1 | key | version 8 | value length 2 (0xffff: tombstone) | value
//
// and a delta is the same with only the entries above some version (Scuttlebutt, van Renesse et al. 2008).

import { ByteWriter, equalBytes } from '../base/bytes.ts';
import { KEY_BYTES_MAX, TOMBSTONE_LENGTH } from './limits.ts';
import { compareKeys, MapCursor } from './map-cursor.ts';

export interface PackedEntry {
  readonly key: string;
  readonly version: number;
  /** A view into the map; null is a tombstone. */
  readonly value: Uint8Array | null;
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
  const entry = new MapCursor(packed);
  const previous = new MapCursor(packed);
  let live = 0;
  let tombstones = 0;
  while (entry.next()) {
    const first = live + tombstones === 0;
    if (!first && (!previous.next() || compareKeys(previous, entry) >= 0)) return null;
    if (!entry.hasValidKey() || entry.version < 1 || entry.version > bounds.version) return null;
    if (entry.deleted) tombstones++;
    else live++;
    if (entry.deleted ? entry.version <= bounds.floor : entry.valueBytes > bounds.valueBytesMax) return null;
    if (live + tombstones > bounds.entriesMax) return null;
  }
  return entry.truncated ? null : { live, tombstones };
}

/** Walks a valid map in the order of its keys. */
export function* entriesOf(packed: Uint8Array): Generator<PackedEntry> {
  const entry = new MapCursor(packed);
  while (entry.next()) yield { key: entry.key(), version: entry.version, value: entry.value() };
}

/** A view into the map, or null when the key is absent or deleted. */
export function lookUp(packed: Uint8Array, key: string): Uint8Array | null {
  return entryAt(packed, key) ?? null;
}

/** The same, but undefined when the key is absent: null is a tombstone. */
export function entryAt(packed: Uint8Array, key: string): Uint8Array | null | undefined {
  const entry = new MapCursor(packed);
  while (entry.next()) if (entry.hasKey(key)) return entry.value();
  return undefined;
}

export function packEntry(writer: ByteWriter, key: string, version: number, value: Uint8Array | null): void {
  writer.u8(key.length);
  for (let i = 0; i < key.length; i++) writer.u8(key.charCodeAt(i));
  writer.u64(version);
  if (value === null) writer.u16(TOMBSTONE_LENGTH);
  else writer.bytes16(value);
}

/** `base` with the entries of `delta` put over it, without the tombstones that `floor` has made superfluous. */
export function applyDelta(base: Uint8Array, delta: Uint8Array, floor: number): Uint8Array {
  const writer = new ByteWriter(base.length + delta.length);
  let copied = 0;
  let end = 0;
  // Neighbours in the base are copied together: mostly that is all before the one change, and all behind it.
  const copy = (): void => {
    writer.bytes(base.subarray(copied, end));
    copied = end;
  };
  walkBoth(base, delta, (old, fresh) => {
    const entry = fresh ?? old!;
    const stays = !entry.deleted || entry.version > floor;
    if (stays && fresh === null) {
      if (entry.start !== end) {
        copy();
        copied = entry.start;
      }
      end = entry.end;
      return;
    }
    copy();
    if (stays) writer.bytes(entry.bytes());
  });
  copy();
  return writer.finish();
}

/** What a reader of live entries sees change between two maps. */
export function changesBetween(before: Uint8Array, after: Uint8Array): RecordChange[] {
  const changes: RecordChange[] = [];
  walkBoth(before, after, (old, fresh) => {
    const was = old?.value() ?? null;
    const is = fresh?.value() ?? null;
    if (was === null ? is === null : is !== null && equalBytes(was, is)) return;
    changes.push({ key: (fresh ?? old!).key(), value: is === null ? null : is.slice() });
  });
  return changes;
}

/**
 * What one state of an author says that another one of it, of which it is no forerunner, knows nothing of: two histories began at
 * some version (an old copy of a disk, a clone) and each went on. Of an entry that both have, the later change counts. What the
 * other one deleted up to its `floor` can't be told from what it never had, and is left out.
 */
export function unknownTo(
  other: { readonly packed: Uint8Array; readonly floor: number },
  packed: Uint8Array,
): RecordChange[] {
  const changes: RecordChange[] = [];
  walkBoth(packed, other.packed, (own, others) => {
    if (own === null || own.version <= (others?.version ?? other.floor)) return;
    const value = own.value();
    const theirs = others?.value() ?? null;
    if (value === null ? theirs === null : theirs !== null && equalBytes(value, theirs)) return;
    changes.push({ key: own.key(), value: value === null ? null : value.slice() });
  });
  return changes;
}

/** The versions of all tombstones, ascending. */
export function tombstoneVersions(packed: Uint8Array): number[] {
  const versions: number[] = [];
  const entry = new MapCursor(packed);
  while (entry.next()) if (entry.deleted) versions.push(entry.version);
  return versions.sort((a, b) => a - b);
}

/** The keys of the tombstones up to `version`: those that a floor at `version` takes away. */
export function tombstoneKeys(packed: Uint8Array, version: number): string[] {
  const keys: string[] = [];
  const entry = new MapCursor(packed);
  while (entry.next()) if (entry.deleted && entry.version <= version) keys.push(entry.key());
  return keys;
}

/** Walks a valid map in the order of its keys; `bytes` is the whole entry, a view. */
export function* packedEntriesOf(packed: Uint8Array): Generator<{ readonly key: string; readonly bytes: Uint8Array }> {
  const entry = new MapCursor(packed);
  while (entry.next()) yield { key: entry.key(), bytes: entry.bytes() };
}

/** Both maps side by side in the order of keys; a key that one lacks is null there. The cursors are valid in the call. */
function walkBoth(a: Uint8Array, b: Uint8Array, visit: (inA: MapCursor | null, inB: MapCursor | null) => void): void {
  const left = new MapCursor(a);
  const right = new MapCursor(b);
  let hasLeft = left.next();
  let hasRight = right.next();
  while (hasLeft || hasRight) {
    const order = hasLeft && hasRight ? compareKeys(left, right) : hasLeft ? -1 : 1;
    visit(order <= 0 ? left : null, order >= 0 ? right : null);
    if (order <= 0) hasLeft = left.next();
    if (order >= 0) hasRight = right.next();
  }
}
