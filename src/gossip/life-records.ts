// What a host says of its own life beside its peer record: a counter that proves that it lives now (rumours.ts), whose place its
// present run took, and which runs live beside it. All have a fixed length. Invariant: boot ids are drawn at random at each start,
// so only a process that read the peer record of a run can name that run as the one that it replaced.

import { ByteReader, ByteWriter, fromHex, toHex } from '../base/bytes.ts';
import { type BootId, parseBootId } from '../base/ids.ts';

/** A counter, `count 4`, which may wrap. */
export const LIFE_KEY = 'life';
/** `boot 8`: the run whose peer record the author found among its own records and replaced by that of its present run. */
export const REPLACED_BOOT_KEY = 'replaced-boot';

/** `beside/RUN/OTHER`, without a value: the run says that it lives though the other one took its place. */
export const BESIDE_PREFIX = 'beside/';

const LIFE_BYTES = 4;

/** The value of LIFE_KEY after the given one (null: there is none). */
export function nextLife(before: Uint8Array | null): Uint8Array {
  const count = before?.length === LIFE_BYTES ? new ByteReader(before).u32() : 0;
  return new ByteWriter(LIFE_BYTES).u32((count + 1) >>> 0).finish();
}

export function encodeReplacedBoot(boot: BootId): Uint8Array {
  return fromHex(boot)!;
}

/** Null for anything malformed. */
export function decodeReplacedBoot(value: Uint8Array): BootId | null {
  return parseBootId(toHex(value));
}

export interface Beside {
  readonly self: BootId;
  readonly other: BootId;
}

export function besideKey({ self, other }: Beside): string {
  return `${BESIDE_PREFIX}${self}/${other}`;
}

/** Null for anything malformed. */
export function parseBesideKey(key: string): Beside | null {
  const [self, other, ...more] = key.slice(BESIDE_PREFIX.length).split('/').map(parseBootId);
  return self && other && more.length === 0 ? { self, other } : null;
}
