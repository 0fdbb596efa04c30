// The one map that this host may write: turns a batch of puts and removes into the next signed state. One batch is one
// version, one signature and one durable write. Deletions stay as tombstones until there are more of them than live
// entries; then the older half is dropped and the floor rises, and who is older than the floor gets the full map.

import { ByteWriter, equalBytes } from '../base/bytes.ts';
import { FabricError } from '../base/errors.ts';
import type { GossipLimits } from './limits.ts';
import { applyDelta, EMPTY_MAP, entryAt, isKey, type MapShape, packEntry, tombstoneVersions } from './packed-map.ts';

/** A null value deletes the key. The last change of a key wins. */
export type Batch = ReadonlyMap<string, Uint8Array | null>;

export interface MapVersion {
  readonly packed: Uint8Array;
  readonly version: number;
  readonly floor: number;
  readonly shape: MapShape;
}

export interface NextVersion extends MapVersion {
  /** The entries of this version alone, packed. */
  readonly delta: Uint8Array;
}

/** Before anything was written. */
export const FIRST_VERSION: MapVersion = {
  packed: EMPTY_MAP,
  version: 0,
  floor: 0,
  shape: { live: 0, tombstones: 0 },
};

/** The next version, or null when the batch changes nothing. Throws FabricError `limit` when it does not fit. */
export function nextVersion(current: MapVersion, batch: Batch, limits: GossipLimits): NextVersion | null {
  const version = current.version + 1;
  const { delta, shape } = packBatch(current, version, batch, limits);
  if (delta.length === 0) return null;
  const full = applyDelta(current.packed, delta, current.floor);
  const floor = risenFloor(full, shape, current.floor, version, limits);
  const next = floor === current.floor ? { packed: full, shape } : withoutTombstones(full, shape, floor);
  const entries = next.shape.live + next.shape.tombstones;
  if (entries > limits.entriesMax || next.packed.length > limits.mapBytesMax) {
    throw new FabricError('limit', {
      what: "this host's records exceed what one host may publish",
      why: `at most ${limits.entriesMax} records in ${limits.mapBytesMax} bytes`,
      fix: 'detach containers, or move some to another host',
    });
  }
  return { ...next, version, floor, delta };
}

/** What really changes, and what the map consists of then. */
function packBatch(
  { packed, shape }: MapVersion,
  version: number,
  batch: Batch,
  limits: GossipLimits,
): { readonly delta: Uint8Array; readonly shape: MapShape } {
  const writer = new ByteWriter();
  let { live, tombstones } = shape;
  for (const [key, value] of [...batch].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!isKey(key) || (value !== null && value.length > limits.valueBytesMax)) {
      throw new FabricError('limit', {
        what: `record ${JSON.stringify(key)} cannot be published`,
        why: `keys have 1 to 128 printable ASCII characters, values at most ${limits.valueBytesMax} bytes`,
      });
    }
    const entry = entryAt(packed, key);
    const before = entry ?? null;
    if (value === null ? before === null : before !== null && equalBytes(value, before)) continue;
    packEntry(writer, key, version, value);
    if (before !== null) live--;
    if (entry === null) tombstones--;
    if (value === null) tombstones++;
    else live++;
  }
  return { delta: writer.finish(), shape: { live, tombstones } };
}

function withoutTombstones(full: Uint8Array, { live }: MapShape, floor: number): Pick<MapVersion, 'packed' | 'shape'> {
  const packed = applyDelta(full, EMPTY_MAP, floor);
  return { packed, shape: { live, tombstones: tombstoneVersions(packed).length } };
}

/** Never reaches `version` itself, so that whoever has the version before this one still gets a delta when possible. */
function risenFloor(
  packed: Uint8Array,
  { live, tombstones }: MapShape,
  floor: number,
  version: number,
  limits: GossipLimits,
): number {
  if (tombstones <= Math.max(limits.tombstonesMin, live)) return floor;
  return Math.max(floor, Math.min(tombstoneVersions(packed)[tombstones >> 1]!, version - 1));
}
