// What one link still has to say, as merged intents instead of a queue of messages: "the neighbour needs author X from
// version 7 on". A message is composed only when the link takes it, from the newest state, so a slow link gets merged state
// and the memory per link is bounded by the number of authors whatever happens (weaveworks/mesh's coalescing sender).

import type { ByteWriter } from '../base/bytes.ts';
import type { PeerId } from '../base/ids.ts';
import type { AuthorTable } from './author-table.ts';
import {
  BITMAP_BYTES,
  encodeBuckets,
  encodeRoot,
  type HeadRef,
  type MessageType,
  openMessage,
  setBit,
  type Want,
  writeAuthor,
  writeHead,
  writeState,
  writeWant,
} from './messages.ts';

export interface OutboxLimits {
  readonly itemsMax: number;
  readonly statesMax: number;
  readonly messageBytesTarget: number;
}

export interface OutgoingMessage {
  readonly type: MessageType;
  readonly bytes: Uint8Array;
  readonly isPush?: boolean;
}

export class Outbox {
  readonly #table: AuthorTable;
  readonly #limits: OutboxLimits;
  readonly #intended: () => void;
  #hasIntents = false;
  #root = false;
  #buckets = false;
  readonly #headBuckets = new Set<number>();
  readonly #states = new Map<PeerId, number>();
  readonly #pushes = new Map<PeerId, number>();
  readonly #have = new Set<PeerId>();
  /** News in three ages: to be announced now, after this pause, after the next one. A head is as it was when it came. */
  readonly #news = new Map<PeerId, HeadRef>();
  readonly #aging = new Map<PeerId, HeadRef>();
  readonly #lazy = new Map<PeerId, HeadRef>();
  readonly #wants = new Map<PeerId, Want>();
  readonly #prunes = new Set<PeerId>();

  /** `intended` is called when there is something to say again. */
  constructor(table: AuthorTable, limits: OutboxLimits, intended: () => void = () => {}) {
    this.#table = table;
    this.#limits = limits;
    this.#intended = intended;
  }

  /** False: {@link next} has nothing to say. */
  get hasIntents(): boolean {
    return this.#hasIntents;
  }

  root(): void {
    this.#intend();
    this.#root = true;
  }

  buckets(): void {
    this.#intend();
    this.#buckets = true;
  }

  heads(bucket: number): void {
    this.#intend();
    this.#headBuckets.add(bucket);
  }

  /** The neighbour holds `base` of this author (0: nothing), asked, and needs what is newer. */
  state(author: PeerId, base: number): void {
    this.#intend();
    this.#states.set(author, Math.min(base, this.#states.get(author) ?? base, this.#pushes.get(author) ?? base));
    this.#pushes.delete(author);
  }

  /** The same without being asked. */
  push(author: PeerId, base: number): void {
    this.#intend();
    const asked = this.#states.get(author);
    if (asked !== undefined) this.#states.set(author, Math.min(base, asked));
    else this.#pushes.set(author, Math.min(base, this.#pushes.get(author) ?? base));
  }

  /** Pushes that have not left. */
  get pushes(): number {
    return this.#pushes.size;
  }

  /** There are pushes or prunes, which may wait so that more of them share a message. */
  get waits(): boolean {
    return this.#hasIntents && (this.#pushes.size > 0 || this.#prunes.size > 0);
  }

  /** Found by reconciliation: the neighbour lacks this. */
  have(author: PeerId): void {
    this.#intend();
    this.#have.add(author);
  }

  /** News to announce after a whole lazy pause at least, unless the neighbour shows before that it knows. */
  announceLater(author: PeerId): void {
    const state = this.#table.get(author);
    if (state === undefined) return;
    const { version, fingerprint } = state;
    this.#lazy.set(author, { author, version, fingerprint });
  }

  /** A lazy pause is over; true when another one is wanted. */
  pauseOver(): boolean {
    if (this.#aging.size > 0) this.#intend();
    moveAll(this.#aging, this.#news);
    moveAll(this.#lazy, this.#aging);
    return this.#aging.size > 0;
  }

  want(want: Want): void {
    this.#intend();
    const before = this.#wants.get(want.author);
    const base = Math.min(want.base, before?.base ?? want.base);
    this.#wants.set(want.author, { ...want, base, graft: want.graft || before?.graft === true });
    if (want.graft) this.#prunes.delete(want.author);
  }

  prune(author: PeerId): void {
    this.#intend();
    this.#prunes.add(author);
  }

  /** The neighbour has the newest state of this author: nothing of it needs to be sent or announced. */
  known(author: PeerId): void {
    if (this.#states.size > 0) this.#states.delete(author);
    if (this.#pushes.size > 0) this.#pushes.delete(author);
    if (this.#have.size > 0) this.#have.delete(author);
    if (this.#news.size > 0) this.#news.delete(author);
    if (this.#aging.size > 0) this.#aging.delete(author);
    if (this.#lazy.size > 0) this.#lazy.delete(author);
  }

  /** The next message, or null when there is nothing to say but what {@link waits}. What it says is no longer intended. */
  next(pushes: 'go' | 'wait' = 'go'): OutgoingMessage | null {
    if (!this.#hasIntents) return null;
    const message = this.#next(pushes);
    if (message === null) this.#hasIntents = this.waits;
    return message;
  }

  #intend(): void {
    if (this.#hasIntents) return;
    this.#hasIntents = true;
    this.#intended();
  }

  #next(pushes: 'go' | 'wait'): OutgoingMessage | null {
    if (this.#root) {
      this.#root = false;
      return { type: 'root', bytes: encodeRoot(this.#table.root(), this.#table.size) };
    }
    if (this.#buckets) {
      this.#buckets = false;
      return { type: 'buckets', bytes: encodeBuckets(this.#table.bucketDigests()) };
    }
    return (
      (pushes === 'go' ? this.#drain('prune', this.#prunes, (author) => author, writeAuthor) : null) ??
      this.#drain('want', this.#wants, ([, want]) => want.author, writeWantEntry) ??
      this.#drainStates(this.#states, false) ??
      (pushes === 'go' ? this.#drainStates(this.#pushes, true) : null) ??
      this.#drainHave(this.#news, 1, (author, head) => (this.#table.get(author) === undefined ? undefined : head)) ??
      this.#drainHeads() ??
      this.#drainHave(this.#have, 0, (author) => this.#table.get(author))
    );
  }

  #drain<T>(
    type: MessageType,
    items: Iterable<T> & { readonly size: number; delete(author: PeerId): boolean },
    authorOf: (item: T) => PeerId,
    write: (writer: ByteWriter, item: T) => void,
  ): OutgoingMessage | null {
    if (items.size === 0) return null;
    const writer = openMessage(type);
    let count = 0;
    for (const item of items) {
      if (count >= this.#limits.itemsMax || writer.length >= this.#limits.messageBytesTarget) break;
      items.delete(authorOf(item));
      write(writer, item);
      count++;
    }
    return { type, bytes: writer.finishMessage() };
  }

  #drainStates(states: Map<PeerId, number>, pushed: boolean): OutgoingMessage | null {
    if (states.size === 0) return null;
    const writer = openMessage('states');
    let count = 0;
    for (const [author, base] of states) {
      if (count >= this.#limits.statesMax || writer.length >= this.#limits.messageBytesTarget) break;
      const state = this.#table.get(author);
      // A large map travels alone, so that no message exceeds the largest map and its head.
      if (
        state !== undefined &&
        count > 0 &&
        writer.length + state.packed.length > 2 * this.#limits.messageBytesTarget
      ) {
        break;
      }
      states.delete(author);
      if (state === undefined || state.version <= base) continue;
      writeState(writer, state, base, pushed);
      count++;
    }
    return count === 0 ? null : { type: 'states', bytes: writer.finishMessage(), isPush: pushed };
  }

  /** Of an author that was forgotten meanwhile nothing is announced. */
  #drainHave<T>(
    items: { readonly size: number; entries(): Iterable<[PeerId, T]>; delete(author: PeerId): boolean },
    flags: 0 | 1,
    headOf: (author: PeerId, item: T) => HeadRef | undefined,
  ): OutgoingMessage | null {
    if (items.size === 0) return null;
    const writer = openMessage('have').u8(flags);
    let count = 0;
    for (const [author, item] of items.entries()) {
      if (count >= this.#limits.itemsMax || writer.length >= this.#limits.messageBytesTarget) break;
      items.delete(author);
      const head = headOf(author, item);
      if (head === undefined) continue;
      writeHead(writer, head);
      count++;
    }
    return count === 0 ? null : { type: 'have', bytes: writer.finishMessage() };
  }

  /** Whole buckets until the message is large enough: the bitmap says which ones it covers completely. */
  #drainHeads(): OutgoingMessage | null {
    if (this.#headBuckets.size === 0) return null;
    const covered = new Uint8Array(BITMAP_BYTES);
    const heads = openMessage('heads');
    for (const bucket of this.#headBuckets) {
      if (heads.length >= this.#limits.messageBytesTarget) break;
      this.#headBuckets.delete(bucket);
      setBit(covered, bucket);
      for (const head of this.#table.inBucket(bucket)) writeHead(heads, head);
    }
    return { type: 'heads', bytes: heads.bytes(covered).finishMessage() };
  }
}

function writeWantEntry(writer: ByteWriter, [, want]: [PeerId, Want]): void {
  writeWant(writer, want);
}

/** Most are empty each time, and clearing an empty map makes a new table for it all the same. */
function moveAll<K, V>(from: Map<K, V>, to: Map<K, V>): void {
  if (from.size === 0) return;
  for (const [key, value] of from) to.set(key, value);
  from.clear();
}
