// The decisions so far, in their order, durable. Each was made by a majority of the voters that the ones before it name; before
// the first one the cluster's creator votes alone. Invariant: what stands here was checked, nothing is ever taken out, and two
// hosts differ only in how much they know of one and the same sequence.

import type { Crypto, Store } from '../../base/capabilities.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { PeerId } from '../../base/ids.ts';
import type { AddressPlan } from '../plan.ts';
import { type Decision, decodeDecision, encodeDecision, isDecided, mayFollow } from './decision.ts';

/** A cluster that has reclaimed so often reclaims no more: an operator's rmpeer still works. */
export const DECISIONS_MAX = 1024;
/** Decisions that arrived before those they follow. */
const EARLY_MAX = 64;

export type Appended = 'added' | 'known' | 'early' | 'invalid';

export interface ChainOptions {
  readonly plan: AddressPlan;
  readonly crypto: Crypto;
  readonly store: Store;
}

export class Chain {
  readonly #options: ChainOptions;
  readonly #space: string;
  readonly #decisions: Decision[] = [];
  readonly #early = new Map<number, Decision>();
  #voters: readonly PeerId[];
  #leaseMs = 0;
  #longestLeaseMs = 0;

  /** Throws FabricError `state-damaged`. */
  constructor(options: ChainOptions) {
    this.#options = options;
    this.#space = `ipam/${options.plan.network}/decision`;
    this.#voters = [options.plan.creator];
    for (const [key, bytes] of options.store.entries(this.#space)) {
      const decision = decodeDecision(bytes);
      if (decision === null || keyOf(decision.slot) !== key || !this.#isNext(decision)) throw damaged(key);
      this.#take(decision);
    }
  }

  /** The slot that is to be decided next. */
  get length(): number {
    return this.#decisions.length;
  }

  get full(): boolean {
    return this.#decisions.length >= DECISIONS_MAX;
  }

  /** Who decides it; ascending. */
  get voters(): readonly PeerId[] {
    return this.#voters;
  }

  /** For how long its voters promise; 0 as long as the creator votes alone. */
  get leaseMs(): number {
    return this.#leaseMs;
  }

  /** The longest that any of these lists promised. */
  get longestLeaseMs(): number {
    return this.#longestLeaseMs;
  }

  all(): readonly Decision[] {
    return this.#decisions;
  }

  /** Durable when it returns. What comes too early is kept until it can be stored. Where it throws, {@link length} says what was taken. */
  append(decision: Decision): Appended {
    const result = this.#append(decision);
    for (let next = this.#early.get(this.length); next !== undefined; next = this.#early.get(this.length)) {
      this.#append(next);
      this.#early.delete(next.slot);
    }
    return result;
  }

  #append(decision: Decision): Appended {
    if (decision.slot < this.length) return 'known';
    if (decision.slot > this.length) {
      if (decision.slot >= DECISIONS_MAX || (this.#early.size >= EARLY_MAX && !this.#early.has(decision.slot))) {
        return 'invalid';
      }
      this.#early.set(decision.slot, decision);
      return 'early';
    }
    if (this.full || !this.#isNext(decision)) return 'invalid';
    this.#options.store.put(this.#space, keyOf(decision.slot), encodeDecision(decision));
    this.#take(decision);
    return 'added';
  }

  #isNext(decision: Decision): boolean {
    const { plan, crypto } = this.#options;
    const { slot, value } = decision;
    if (slot !== this.length || (value.kind === 'voters' && !mayFollow(this.#voters, value.voters))) return false;
    return isDecided(decision, { network: plan.network, voters: this.#voters, crypto });
  }

  #take(decision: Decision): void {
    assert(decision.slot === this.length, 'decisions follow each other');
    this.#decisions.push(decision);
    if (decision.value.kind !== 'voters') return;
    this.#voters = decision.value.voters;
    this.#leaseMs = decision.value.leaseMs;
    this.#longestLeaseMs = Math.max(this.#longestLeaseMs, this.#leaseMs);
  }
}

function keyOf(slot: number): string {
  return String(slot).padStart(6, '0');
}

function damaged(key: string): FabricError {
  return new FabricError('state-damaged', {
    what: `the stored decision '${key}' of the lease voters can't be read`,
    why: 'its bytes were altered, or those before it are missing',
    fix: 'restore the state directory from a copy, or run `fabric reset` and join again',
  });
}
