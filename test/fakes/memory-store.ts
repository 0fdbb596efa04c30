// A Store in memory with the semantics of the real one: a transaction that throws leaves nothing behind. `snapshot` is what
// a killed process leaves, and after `cutPower` a power cut; a new store made of it is the host after that (or with an old copy
// of its state).

import type { Store } from '../../src/base/capabilities.ts';

export type StoreSnapshot = ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;

export class MemoryStore implements Store {
  readonly #spaces: Map<string, Map<string, Uint8Array>>;
  /** What takes back the changes of the transaction that runs, oldest first; null outside of one. */
  #undo: (() => void)[] | null = null;
  /** What a power cut takes back, oldest first: everything since the last synced commit. */
  #unsynced: (() => void)[] = [];
  #isSyncing = true;
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
    this.#write(space, key, value.slice());
  }

  delete(space: string, key: string): void {
    this.#write(space, key, undefined);
  }

  entries(space: string): readonly (readonly [string, Uint8Array])[] {
    const entries = [...(this.#spaces.get(space) ?? [])];
    return entries
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, value]) => [key, value.slice()] as const);
  }

  transaction<T>(work: () => T): T {
    if (this.#undo !== null) throw new Error('invariant broken: transactions do not nest');
    const undo: (() => void)[] = [];
    this.#undo = undo;
    try {
      const result = work();
      this.beforeCommit();
      this.commits++;
      if (this.#isSyncing) this.#unsynced = [];
      else this.#unsynced.push(...undo);
      return result;
    } catch (error) {
      for (const takeBack of undo.reverse()) takeBack();
      throw error;
    } finally {
      this.#undo = null;
    }
  }

  unsynced<T>(work: () => T): T {
    this.#isSyncing = false;
    try {
      return work();
    } finally {
      this.#isSyncing = true;
    }
  }

  /** Takes everything that was not synced: the most that a power cut can take. */
  cutPower(): void {
    for (const takeBack of this.#unsynced.reverse()) takeBack();
    this.#unsynced = [];
  }

  /** The committed state; never called inside a transaction. */
  snapshot(): StoreSnapshot {
    return copy(this.#spaces);
  }

  #write(space: string, key: string, value: Uint8Array | undefined): void {
    const undo = this.#undo;
    if (undo === null) {
      this.transaction(() => this.#write(space, key, value));
      return;
    }
    const entries = this.#spaces.get(space) ?? new Map<string, Uint8Array>();
    this.#spaces.set(space, entries);
    const before = entries.get(key);
    undo.push(() => set(entries, key, before));
    set(entries, key, value);
  }
}

function set(entries: Map<string, Uint8Array>, key: string, value: Uint8Array | undefined): void {
  if (value === undefined) entries.delete(key);
  else entries.set(key, value);
}

function copy(spaces: StoreSnapshot): Map<string, Map<string, Uint8Array>> {
  return new Map([...spaces].map(([space, entries]) => [space, new Map(entries)]));
}
