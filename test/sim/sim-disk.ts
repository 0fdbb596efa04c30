// The disk of a simulated machine as one daemon sees it: the Store of a MemoryStore that outlives the daemon. It can be told to
// end the daemon at a later write: before the commit, so that nothing of it is there (a torn write is undone by the journal), or
// right after it, so that nobody has been told. A disk whose daemon is dead takes no more writes. The machine goes on, and what
// was written unsynced before survives: only SimHost.cutPower loses that. A disk that is full refuses each write, and keeps what it has.

import type { Store } from '../../src/base/capabilities.ts';
import { FabricError } from '../../src/base/errors.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { PowerCut } from './process.ts';

export interface CutPlan {
  /** The write at which it happens: 1 is the next one. */
  readonly write: number;
  readonly when: 'before-commit' | 'after-commit';
}

export class SimDisk implements Store {
  readonly #store: MemoryStore;
  readonly #cut: () => void;
  readonly #isFull: () => boolean;
  #plan: CutPlan | null = null;
  #writes = 0;
  #inTransaction = false;
  #dead = false;

  /** `cut` ends the daemon. */
  constructor(store: MemoryStore, { cut, isFull }: { cut: () => void; isFull: () => boolean }) {
    this.#store = store;
    this.#cut = cut;
    this.#isFull = isFull;
  }

  /** Null takes a plan back. */
  plan(plan: CutPlan | null): void {
    this.#plan = plan;
    this.#writes = 0;
  }

  kill(): void {
    this.#dead = true;
  }

  get(space: string, key: string): Uint8Array | undefined {
    return this.#store.get(space, key);
  }

  entries(space: string): readonly (readonly [string, Uint8Array])[] {
    return this.#store.entries(space);
  }

  put(space: string, key: string, value: Uint8Array): void {
    this.#write(() => this.#store.put(space, key, value));
  }

  delete(space: string, key: string): void {
    this.#write(() => this.#store.delete(space, key));
  }

  transaction<T>(work: () => T): T {
    return this.#write(() =>
      this.#store.transaction(() => {
        this.#inTransaction = true;
        try {
          return work();
        } finally {
          this.#inTransaction = false;
        }
      }),
    );
  }

  unsynced<T>(work: () => T): T {
    return this.#store.unsynced(work);
  }

  #write<T>(work: () => T): T {
    if (this.#inTransaction) return work();
    if (this.#dead) throw new PowerCut();
    if (this.#isFull()) throw new FabricError('limit', { what: 'nothing was written', why: 'the disk is full' });
    const when = this.#plan !== null && ++this.#writes === this.#plan.write ? this.#plan.when : null;
    if (when === 'before-commit') this.#fail();
    const result = work();
    if (when === 'after-commit') this.#fail();
    return result;
  }

  #fail(): never {
    this.#dead = true;
    this.#cut();
    throw new PowerCut();
  }
}
