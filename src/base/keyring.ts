// The tokens that a host holds: the current one and, of a rotation, those that it replaced. Operators on both sides of a partition
// may rotate at once, so a generation may have several tokens; every host orders them alike and thus comes to the same current one.
// Invariants: what is taken in is durable before it is used; tokens two generations behind the current one are gone for good.

import type { Clock, Crypto } from './capabilities.ts';
import { assert } from './errors.ts';
import type { ClusterId, TokenId } from './ids.ts';
import { deriveClusterKeys, type Token, tokenIdOf } from './token.ts';

/** A token with all that follows from it; one object per token as long as it is held. */
export interface Generation {
  readonly id: TokenId;
  readonly token: Token;
  readonly generation: number;
  /** Ed25519 seed and public key of the certificate authority. */
  readonly caSeed: Uint8Array;
  readonly caKey: Uint8Array;
  /** Of the tunnels' handshakes. */
  readonly psk: Uint8Array;
  readonly mac1Key: Uint8Array;
}

/** What a host keeps of its tokens. */
export interface KeyringState {
  readonly token: Token;
  /** Those that it replaced, newest first. */
  readonly older: readonly Token[];
  /** Clock.wallMs until which an older token lets unknown hosts in; null: it lets in none. */
  readonly graceEndsMs: number | null;
  /** The current token was made here, and nobody has been told of it. */
  readonly untold: boolean;
}

/** Of a host that holds its first token. */
export function firstState(token: Token): KeyringState {
  return { token, older: [], graceEndsMs: null, untold: false };
}

/** Tokens held at once: two of either generation after a rotation on both sides of a partition; of more the lowest go. */
const HELD_MAX = 4;
/** A grace of more is a mistake. */
export const GRACE_MS_MAX = 30 * 86_400_000;

export function deriveGeneration(token: Token, crypto: Crypto): Generation {
  const { caSeed, tunnelPsk, mac1Key } = deriveClusterKeys(token, crypto);
  const { generation } = token;
  const caKey = crypto.ed25519Public(caSeed);
  return { id: tokenIdOf(token, crypto), token, generation, caSeed, caKey, psk: tunnelPsk, mac1Key };
}

/** The later generation; of two tokens of one generation, the greater id. */
export function isLater(
  one: Pick<Generation, 'generation' | 'id'>,
  other: Pick<Generation, 'generation' | 'id'>,
): boolean {
  return one.generation === other.generation ? one.id > other.id : one.generation > other.generation;
}

export class Keyring {
  readonly #clock: Clock;
  readonly #crypto: Crypto;
  readonly #keep: (state: KeyringState) => void;
  #generations: readonly Generation[];
  #graceEndsMs: number | null;
  #untold: boolean;
  /** By the clock that never steps. */
  #graceOverMs: number;

  /** `keep` makes a state durable before it returns, or throws. */
  constructor(
    state: KeyringState,
    { clock, crypto, keep }: { clock: Clock; crypto: Crypto; keep: (state: KeyringState) => void },
  ) {
    this.#clock = clock;
    this.#crypto = crypto;
    this.#keep = keep;
    this.#generations = sorted([state.token, ...state.older].map((token) => deriveGeneration(token, crypto)));
    this.#graceEndsMs = state.graceEndsMs;
    this.#untold = state.untold;
    this.#graceOverMs = clock.monotonicMs() + this.#leftMs(state.graceEndsMs);
  }

  get clusterId(): ClusterId {
    return this.current.token.clusterId;
  }

  get current(): Generation {
    return this.#generations[0]!;
  }

  /** The current one first. */
  get generations(): readonly Generation[] {
    return this.#generations;
  }

  /** The current token was made here, and {@link told} was not called since. */
  get untold(): boolean {
    return this.#untold;
  }

  /** How long an older token lets in hosts that nobody knew at the rotation, as of now; 0: it does not. */
  get graceLeftMs(): number {
    if (this.#generations.length === 1) return 0;
    const nowMs = this.#clock.monotonicMs();
    return Math.max(0, Math.min(this.#graceOverMs - nowMs, this.#leftMs(this.#graceEndsMs)));
  }

  /** The same object for the same token; undefined when it is not held. */
  find(id: TokenId): Generation | undefined {
    return this.#generations.find((one) => one.id === id);
  }

  /**
   * Takes a token in, durably. `graceMs` counts when it becomes the current one. False when it is held or out of date. A token
   * of another cluster is a bug. `untold`: it was made here.
   */
  take(token: Token, graceMs: number, { untold = false } = {}): boolean {
    assert(token.clusterId === this.clusterId, 'a keyring holds the tokens of one cluster');
    const taken = deriveGeneration(token, this.#crypto);
    if (this.find(taken.id) !== undefined) return false;
    const generations = sorted([...this.#generations, taken]);
    if (!generations.includes(taken)) return false;
    const isCurrent = generations[0] === taken;
    const lastsMs = Math.min(Math.max(0, graceMs), GRACE_MS_MAX);
    const graceEndsMs = isCurrent ? this.#clock.wallMs() + lastsMs : this.#graceEndsMs;
    this.#change({ generations, graceEndsMs, untold: isCurrent ? untold : this.#untold });
    if (isCurrent) this.#graceOverMs = this.#clock.monotonicMs() + lastsMs;
    return true;
  }

  /** Nothing but this token from now on, durably: an operator brought it to a host that was away for too long. */
  replaceAll(token: Token): void {
    this.#change({ generations: [deriveGeneration(token, this.#crypto)], graceEndsMs: null, untold: false });
  }

  /** Others can learn the current token. Durable. */
  told(): void {
    this.#change({ generations: this.#generations, graceEndsMs: this.#graceEndsMs, untold: false });
  }

  #change(next: {
    readonly generations: readonly Generation[];
    readonly graceEndsMs: number | null;
    readonly untold: boolean;
  }): void {
    const { generations, graceEndsMs, untold } = next;
    const [current, ...older] = generations;
    this.#keep({ token: current!.token, older: older.map(({ token }) => token), graceEndsMs, untold });
    this.#generations = generations;
    this.#graceEndsMs = graceEndsMs;
    this.#untold = untold;
  }

  /** Wall clocks step: never more than the longest grace is left. */
  #leftMs(endsMs: number | null): number {
    return endsMs === null ? 0 : Math.min(Math.max(0, endsMs - this.#clock.wallMs()), GRACE_MS_MAX);
  }
}

/** Latest first, without what is out of date. */
function sorted(generations: readonly Generation[]): readonly Generation[] {
  const ordered = [...generations].sort((a, b) => (isLater(a, b) ? -1 : 1));
  const newest = ordered[0]!.generation;
  return ordered.filter(({ generation }) => generation >= newest - 1).slice(0, HELD_MAX);
}
