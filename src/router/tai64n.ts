// TAI64N timestamps (https://cr.yp.to/libtai/tai64.html) for handshake initiations: responders accept only increasing ones
// per peer, which makes a replayed initiation worthless. Invariant: a source never repeats or steps back, whatever the wall
// clock does and however often the host restarts, as long as its store is kept.

import { compareBytes } from '../base/bytes.ts';
import type { Clock, Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';

export const TAI64N_BYTES = 12;
const NS_PER_SECOND = 1_000_000_000n;
/** TAI64's label of the Unix epoch; libtai's convention, leap seconds ignored. */
const TAI64_EPOCH = 0x4000_0000_0000_000an;
/**
 * Timestamps up to this far ahead are reserved by one durable write, instead of a write per handshake. A restart goes on
 * behind the reservation, at most this far ahead of the wall clock.
 */
const RESERVE_NS = 60n * NS_PER_SECOND;
const SPACE = 'tunnels';
const KEY = 'timestamp-reserved';

/** Nanoseconds since the Unix epoch as 8 bytes of seconds and 4 of nanoseconds, big-endian: bytes order as times do. */
export function encodeTai64n(ns: bigint): Uint8Array {
  const bytes = new Uint8Array(TAI64N_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, TAI64_EPOCH + ns / NS_PER_SECOND);
  view.setUint32(8, Number(ns % NS_PER_SECOND));
  return bytes;
}

/** Null unless there are 12 bytes of a time since the Unix epoch. */
export function decodeTai64n(bytes: Uint8Array): bigint | null {
  if (bytes.length !== TAI64N_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seconds = view.getBigUint64(0) - TAI64_EPOCH;
  const nanoseconds = view.getUint32(8);
  return seconds < 0n || nanoseconds >= NS_PER_SECOND ? null : seconds * NS_PER_SECOND + BigInt(nanoseconds);
}

/** Negative, zero or positive, as the first is earlier, equal or later. */
export const compareTai64n = compareBytes;

export class Tai64nSource {
  readonly #clock: Clock;
  readonly #store: Store;
  #lastNs: bigint;
  #reservedNs: bigint;

  /** Throws `state-damaged` when what is stored is no timestamp: guessing could silence this host for ever. */
  constructor({ clock, store }: { clock: Clock; store: Store }) {
    this.#clock = clock;
    this.#store = store;
    const stored = store.get(SPACE, KEY);
    const reservedNs = stored === undefined ? 0n : decodeTai64n(stored);
    if (reservedNs === null) {
      throw new FabricError('state-damaged', {
        what: 'the stored handshake timestamp is malformed',
        why: `${stored?.length} bytes, no TAI64N label`,
      });
    }
    this.#lastNs = reservedNs;
    this.#reservedNs = reservedNs;
  }

  /** Later than all before, also before a restart. Throws what the store throws; nothing was used up then. */
  next(): Uint8Array {
    const wallNs = BigInt(Math.max(0, Math.floor(this.#clock.wallMs()))) * 1_000_000n;
    const ns = wallNs > this.#lastNs ? wallNs : this.#lastNs + 1n;
    if (ns > this.#reservedNs) {
      this.#store.put(SPACE, KEY, encodeTai64n(ns + RESERVE_NS));
      this.#reservedNs = ns + RESERVE_NS;
    }
    this.#lastNs = ns;
    return encodeTai64n(ns);
  }
}
