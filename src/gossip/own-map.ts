// The one map that this host may write: turns a batch of puts and removes into the next signed state. One batch is one
// version, one signature and one durable write. Deletions stay as tombstones until there are more of them than live
// entries; then the older half is dropped and the floor rises, and who is older than the floor gets the full map.

import { ByteWriter, equalBytes } from '../base/bytes.ts';
import { FabricError } from '../base/errors.ts';
import type { GossipLimits } from './limits.ts';
import {
  applyDelta,
  EMPTY_MAP,
  inspectMap,
  isKey,
  lookUp,
  type MapShape,
  packEntry,
  tombstoneVersions,
} from './packed-map.ts';

/** A null value deletes the key. The last change of a key wins. */
export type Batch = ReadonlyMap<string, Uint8Array | null>;

export interface MapVersion {
  readonly packed: Uint8Array;
  readonly version: number;
  readonly floor: number;
}

/** The next version, or null when the batch changes nothing. Throws FabricError `limit` when it does not fit. */
export function nextVersion(
  current: MapVersion,
  batch: Batch,
  limits: GossipLimits,
): (MapVersion & { shape: MapShape }) | null {
  const version = current.version + 1;
  const delta = packBatch(current.packed, version, batch, limits);
  if (delta.length === 0) return null;
  const full = applyDelta(current.packed, delta, current.floor);
  const floor = risenFloor(full, current.floor, version, limits);
  const packed = floor === current.floor ? full : applyDelta(full, EMPTY_MAP, floor);
  const shape = inspectMap(packed, { version, floor, ...limits });
  if (shape === null || packed.length > limits.mapBytesMax) {
    throw new FabricError('limit', {
      what: "this host's records exceed what one host may publish",
      why: `at most ${limits.entriesMax} records in ${limits.mapBytesMax} bytes`,
      fix: 'detach containers, or move some to another host',
    });
  }
  return { packed, version, floor, shape };
}

function packBatch(packed: Uint8Array, version: number, batch: Batch, limits: GossipLimits): Uint8Array {
  const writer = new ByteWriter();
  for (const [key, value] of [...batch].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!isKey(key) || (value !== null && value.length > limits.valueBytesMax)) {
      throw new FabricError('limit', {
        what: `record ${JSON.stringify(key)} cannot be published`,
        why: `keys have 1 to 128 printable ASCII characters, values at most ${limits.valueBytesMax} bytes`,
      });
    }
    const before = lookUp(packed, key);
    const same = value === null ? before === null : before !== null && equalBytes(value, before);
    if (!same) packEntry(writer, key, version, value);
  }
  return writer.finish();
}

/** Never reaches `version` itself, so that whoever has the version before this one still gets a delta when possible. */
function risenFloor(packed: Uint8Array, floor: number, version: number, limits: GossipLimits): number {
  const tombstones = tombstoneVersions(packed);
  if (tombstones.length <= limits.tombstonesMin) return floor;
  const live = inspectMap(packed, { version, floor, ...limits })?.live ?? 0;
  if (tombstones.length <= live) return floor;
  return Math.max(floor, Math.min(tombstones[tombstones.length >> 1]!, version - 1));
}
