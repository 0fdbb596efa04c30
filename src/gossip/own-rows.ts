// Our own state on disk, a row for each entry of the map and one for its head: what one change writes does not grow with the
// number of containers. Invariant: head and entries change in one transaction, so that what is read is a whole state, which
// its signature proves.

import { ByteWriter } from '../base/bytes.ts';
import type { Store } from '../base/capabilities.ts';
import { packedEntriesOf, tombstoneKeys } from './packed-map.ts';

const ENTRIES_SPACE = 'gossip-own';
const HEAD_SPACE = 'gossip-own-head';
const HEAD_KEY = 'head';

/** How a state differs from the one that is stored. */
export interface OwnChange {
  /** The entries that are new or other, packed. */
  readonly delta: Uint8Array;
  /** Keys of which nothing is kept any more. */
  readonly dropped: readonly string[];
}

/** `floor` above that of `before`: its tombstones up to there are gone. */
export function ownChange(
  before: { readonly packed: Uint8Array; readonly floor: number },
  { delta, floor }: { readonly delta: Uint8Array; readonly floor: number },
): OwnChange {
  return { delta, dropped: floor === before.floor ? [] : tombstoneKeys(before.packed, floor) };
}

export class OwnRows {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The head and the packed map behind it; null when nothing is stored. */
  read(): Uint8Array | null {
    const head = this.#store.get(HEAD_SPACE, HEAD_KEY);
    if (head === undefined) return null;
    const writer = new ByteWriter().bytes(head);
    for (const [, entry] of this.#store.entries(ENTRIES_SPACE)) writer.bytes(entry);
    return writer.finish();
  }

  /** Only inside a transaction of the store. */
  write(head: Uint8Array, { delta, dropped }: OwnChange): void {
    this.#store.put(HEAD_SPACE, HEAD_KEY, head);
    // Dropped first: a key that was deleted long ago may be back.
    for (const key of dropped) this.#store.delete(ENTRIES_SPACE, key);
    for (const { key, bytes } of packedEntriesOf(delta)) this.#store.put(ENTRIES_SPACE, key, bytes);
  }

  /** Whatever was there before. Only inside a transaction of the store. */
  replace(head: Uint8Array, packed: Uint8Array): void {
    const dropped = this.#store.entries(ENTRIES_SPACE).map(([key]) => key);
    this.write(head, { delta: packed, dropped });
  }
}
