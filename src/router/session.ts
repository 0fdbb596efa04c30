// One session's data plane: it numbers what is sent, refuses what was received before, and holds the keys' AEAD. Which session
// a peer uses, and for how long, is the control side's business. Invariants: no counter is used twice, sending stops at
// SEND_COUNTER_MAX, and the replay window moves only for datagrams that were authenticated.

import { assert } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import { type ReplayVerdict, ReplayWindow } from './replay-window.ts';

/**
 * Datagrams sent on one key: well below AES-GCM's 2^32 (NIST SP 800-38D §8.3), with room for a last frame in pieces.
 * The control side replaces keys after two minutes, so that only a sender of 18 million datagrams per second gets here.
 */
export const SEND_COUNTER_MAX = 2 ** 31;

/** Both directions of a session's AEAD. Implementations hold the keys and zero them in `destroy`. */
export interface SessionAead {
  /** Ciphertext and tag, to be sent behind `header`, which is authenticated. Copies what it needs of its arguments. */
  seal(counter: number, header: Uint8Array, plain: Uint8Array): { readonly body: Uint8Array; readonly tag: Uint8Array };
  /** What `seal` of the other side took as `plain`, or null when the datagram is forged. Freshly allocated. */
  open(counter: number, datagram: Uint8Array): Uint8Array | null;
  /** Idempotent; afterwards seal and open are not called. */
  destroy(): void;
}

export class Session {
  readonly peer: PeerId;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly aead: SessionAead;
  readonly #window = new ReplayWindow();
  #nextCounter: number;
  /** A valid datagram arrived on it. */
  confirmed = false;
  /** The limit was reported. */
  exhausted = false;

  constructor(facts: {
    peer: PeerId;
    localIndex: number;
    remoteIndex: number;
    aead: SessionAead;
    /** Of the first datagram; tests start close to the limit. */
    firstCounter?: number;
  }) {
    this.peer = facts.peer;
    this.localIndex = facts.localIndex;
    this.remoteIndex = facts.remoteIndex;
    this.aead = facts.aead;
    this.#nextCounter = facts.firstCounter ?? 0;
  }

  /** Reserves `count` consecutive counters and returns the first, or -1 when the key is used up. */
  reserve(count: number): number {
    assert(count >= 1, 'a datagram takes a counter');
    if (this.#nextCounter + count > SEND_COUNTER_MAX) return -1;
    const first = this.#nextCounter;
    this.#nextCounter += count;
    return first;
  }

  /** Before decryption. */
  check(counter: number): ReplayVerdict {
    return this.#window.check(counter);
  }

  /** After authentication; true when this is the highest counter so far, which alone may move the peer's endpoint. */
  accept(counter: number): boolean {
    const highest = counter > this.#window.highest;
    this.#window.mark(counter);
    return highest;
  }
}
