// What hosts have said of tokens: which rotations there were, whom each token was kept from, and who has it. Bounded: only
// generations around the current one count, and only so many tokens of them. Invariants: what was said of the tokens that this
// host holds stays; there is always room for another one, whatever members announced before.

import type { PeerId, TokenId } from '../base/ids.ts';
import type { Keyring } from '../base/keyring.ts';
import type { RotationRecord, SealsRecord } from '../base/records.ts';

/** A generation is taken up at most so far ahead: nobody uses up the numbers. */
const AHEAD_MAX = 64;
const TOKENS_MAX = 64;
const MEMBERS_MAX = 16_384;

interface Heard {
  readonly generation: number;
  graceMs: number | null;
  /** By everybody who announced it: who knew less made it for more. */
  excluded: ReadonlySet<PeerId>;
  readonly members: Set<PeerId>;
  /** By author. */
  readonly parts: Map<PeerId, number>;
}

export class RotationsHeard {
  readonly #keyring: Pick<Keyring, 'current' | 'find'>;
  /** In the order of their coming. */
  readonly #tokens = new Map<TokenId, Heard>();

  constructor(keyring: Pick<Keyring, 'current' | 'find'>) {
    this.#keyring = keyring;
  }

  rotation({ id, generation, graceMs, excluded }: RotationRecord): void {
    const heard = this.#of(id, generation);
    if (heard === null) return;
    const isFirst = heard.graceMs === null;
    heard.graceMs = Math.min(graceMs, heard.graceMs ?? graceMs);
    heard.excluded = new Set(excluded.filter((peer) => isFirst || heard.excluded.has(peer)));
  }

  /** False when there is no use for it. */
  seals(author: PeerId, { id, generation, part, seals }: SealsRecord): boolean {
    const heard = this.#of(id, generation);
    if (heard === null) return false;
    heard.parts.set(author, Math.max(part + 1, heard.parts.get(author) ?? 0));
    for (const { member } of seals) if (heard.members.size < MEMBERS_MAX) heard.members.add(member);
    return true;
  }

  /** Of the announcement; null: it has not come yet. */
  graceMs(id: TokenId): number | null {
    return this.#tokens.get(id)?.graceMs ?? null;
  }

  /** True when the rotation to that token was announced. */
  knows(id: TokenId): boolean {
    return this.graceMs(id) !== null;
  }

  /** The token was sealed to it: who rotated knew it as a member. */
  isMember(id: TokenId, peer: PeerId): boolean {
    return this.#tokens.get(id)?.members.has(peer) ?? false;
  }

  isExcluded(id: TokenId, peer: PeerId): boolean {
    return this.#tokens.get(id)?.excluded.has(peer) ?? false;
  }

  nextPart(id: TokenId, author: PeerId): number {
    return this.#tokens.get(id)?.parts.get(author) ?? 0;
  }

  /** Something of that token is remembered. */
  remembers(id: TokenId): boolean {
    return this.#tokens.has(id);
  }

  isNear(generation: number): boolean {
    const { generation: now } = this.#keyring.current;
    return generation >= now - 1 && generation <= now + AHEAD_MAX;
  }

  /** The current token is another one: what is out of date goes. */
  prune(): void {
    for (const [id, { generation }] of this.#tokens) if (!this.isNear(generation)) this.#tokens.delete(id);
  }

  #of(id: TokenId, generation: number): Heard | null {
    const known = this.#tokens.get(id);
    if (known !== undefined) return known;
    if (!this.isNear(generation)) return null;
    if (this.#tokens.size >= TOKENS_MAX) this.#makeRoom();
    const heard: Heard = {
      generation,
      graceMs: null,
      excluded: new Set(),
      members: new Set(),
      parts: new Map(),
    };
    this.#tokens.set(id, heard);
    return heard;
  }

  /** The longest known of those that this host does not hold: what is to be taken up was, when its records came. */
  #makeRoom(): void {
    for (const id of this.#tokens.keys()) {
      if (this.#keyring.find(id) !== undefined) continue;
      this.#tokens.delete(id);
      return;
    }
  }
}
