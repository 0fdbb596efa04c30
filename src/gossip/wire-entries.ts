// The entries of a packed map on the wire (messages.ts): versions count back from the head's, which makes one or two bytes of
// eight, and lengths take what they need. Invariant: what {@link readEntries} returns has the shape of a packed map, but nobody
// has looked into it yet (packed-map.ts, inspectMap).
//
//     key length 1 | key | age: head's version - entry's | value length + 1, 0: tombstone | value       ages, lengths: varints

import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { TOMBSTONE_LENGTH } from './limits.ts';
import { MapCursor } from './map-cursor.ts';

/** The entries of a valid map of that version that are newer than `since`, to be put into a message. */
export function writeEntries(
  packed: Uint8Array,
  { version, since }: { readonly version: number; readonly since: number },
): Uint8Array {
  const writer = new ByteWriter();
  const entry = new MapCursor(packed);
  while (entry.next()) {
    if (entry.version <= since) continue;
    const value = entry.value();
    writer.bytes(entry.bytes().subarray(0, 1 + entry.keyBytes)).varint(version - entry.version);
    if (value === null) writer.varint(0);
    else writer.varint(value.length + 1).bytes(value);
  }
  return writer.finishMessage();
}

/** A copy in the form of a packed map; null when the bytes are malformed. */
export function readEntries(bytes: Uint8Array, version: number): Uint8Array | null {
  const reader = new ByteReader(bytes);
  const writer = new ByteWriter(2 * bytes.length);
  while (reader.remaining > 0) {
    const key = reader.bytes(reader.u8());
    const age = reader.varint();
    const length = reader.varint();
    const value = reader.bytes(Math.max(0, length - 1));
    if (reader.failed || age >= version || length > TOMBSTONE_LENGTH) return null;
    writer
      .u8(key.length)
      .bytes(key)
      .u64(version - age);
    if (length === 0) writer.u16(TOMBSTONE_LENGTH);
    else writer.bytes16(value);
  }
  return writer.finish();
}
