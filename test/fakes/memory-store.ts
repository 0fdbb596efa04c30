// A Store in memory with the semantics of the real one: a transaction that throws leaves nothing behind. `snapshot` is what
// a power cut would leave on disk; a new store made of it is the host after the cut (or with an old copy of its state).

import type { Store } from '../../src/base/capabilities.ts';

export type StoreSnapshot = ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;

export class MemoryStore implements Store {
  #spaces = new Map<string, Map<string, Uint8Array>>();
  #inTransaction = false;
  /** Set by a test: called before a commit; throwing is a crash just before durability. */
  beforeCommit: () => void = () => {};
  commits = 0;

  constructor(snapshot: StoreSnapshot = new Map()) {
    this.#spaces = copy(snapshot);
  }

  get(space: string, key: string): Uint8Array | undefined {
    return this.#spaces.get(space)?.get(key)?.slice();
  }

  put(space: string, key: string, value: Uint8Array): void {
    this.#write(() => {
      const entries = this.#spaces.get(space) ?? new Map<string, Uint8Array>();
      entries.set(key, value.slice());
      this.#spaces.set(space, entries);
    });
  }

  delete(space: string, key: string): void {
    this.#write(() => {
      this.#spaces.get(space)?.delete(key);
    });
  }

  entries(space: string): readonly (readonly [string, Uint8Array])[] {
    const entries = [...(this.#spaces.get(space) ?? [])];
    return entries
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, value]) => [key, value.slice()] as const);
  }

  transaction<T>(work: () => T): T {
    if (this.#inTransaction) throw new Error('invariant broken: transactions do not nest');
    const before = copy(this.#spaces);
    this.#inTransaction = true;
    try {
      const result = work();
      this.beforeCommit();
      this.commits++;
      return result;
    } catch (error) {
      this.#spaces = before;
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** The committed state; never called inside a transaction. */
  snapshot(): StoreSnapshot {
    return copy(this.#spaces);
  }

  #write(change: () => void): void {
    if (this.#inTransaction) change();
    else this.transaction(change);
  }
}

function copy(spaces: StoreSnapshot): Map<string, Map<string, Uint8Array>> {
  return new Map([...spaces].map(([space, entries]) => [space, new Map(entries)]));
}
