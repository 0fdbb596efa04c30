// The replicated state of this host: the table of authors, their copies on disk, and the judgement on each state that
// arrives. It knows nothing of links. Invariants: what stands in the table was signed by its author for this cluster and
// only ever gets newer; our own state is durable before anybody else can see it.

import { equalBytes } from '../base/bytes.ts';
import type { Crypto, Log, Store } from '../base/capabilities.ts';
import type { ClusterId, PeerId } from '../base/ids.ts';
import { type AuthorState, isNewer, peerIdOf, signState, verifyState } from './author-state.ts';
import type { AuthorTable } from './author-table.ts';
import { LIFE_KEY } from './life-records.ts';
import { type GossipLimits, PERSIST_BATCH_MAX } from './limits.ts';
import { MapCursor } from './map-cursor.ts';
import type { HeadRef, StateItem } from './messages.ts';
import { type Batch, FIRST_VERSION, type MapVersion, nextVersion } from './own-map.ts';
import { ownChange } from './own-rows.ts';
import { applyDelta, changesBetween, EMPTY_MAP, inspectMap, type RecordChange, unknownTo } from './packed-map.ts';
import { StateStore } from './state-store.ts';

/** What became of an offered state. `reason` is the name of a drop counter. */
export type Verdict =
  | { readonly kind: 'installed'; readonly state: AuthorState; readonly before: AuthorState | undefined }
  /** Ours, and not newer than what we have, but of a history that we know nothing of: what it says otherwise. */
  | { readonly kind: 'forgotten-by-us'; readonly changes: readonly RecordChange[]; readonly written: Written | null }
  /** We have this or newer. */
  | { readonly kind: 'known' }
  /** Fetch it again: it builds on what we lack (gap), or on other content than ours (mismatch: only a full map helps). */
  | { readonly kind: 'retry'; readonly reason: 'gap' | 'delta-mismatch' }
  /** Not what its author signed: the neighbour that sent it is at fault. */
  | { readonly kind: 'invalid'; readonly reason: string }
  /** Genuine or not, we do not want this author now. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Our own next version: the one before it. */
export interface Written {
  readonly previous: number;
}

export type Comparison = 'theirs-newer' | 'ours-newer' | 'same' | 'unwanted';

export interface ReplicaOptions {
  readonly self: { readonly peer: PeerId; readonly identityKey: Uint8Array; sign(message: Uint8Array): Uint8Array };
  readonly clusterId: ClusterId;
  readonly crypto: Crypto;
  readonly store: Store;
  readonly log: Log;
  readonly limits: GossipLimits;
  readonly table: AuthorTable;
  acceptAuthor(author: PeerId, identityKey: Uint8Array): boolean;
  keeps?(key: string): boolean;
}

export class Replica {
  readonly table: AuthorTable;
  /** Foreign states on disk that were unreadable at the start. */
  readonly damagedAtStart: number;
  readonly #options: ReplicaOptions;
  readonly #storage: StateStore;
  readonly #forgotten: Map<PeerId, number>;
  readonly #unsaved = new Set<PeerId>();
  /** Of the state of our own that was remembered last: several neighbours show the same one. */
  #remembered: Uint8Array = new Uint8Array(0);

  /** Loads the store; throws FabricError `state-damaged` when our own state there is unreadable. */
  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.table = options.table;
    this.#storage = new StateStore(options);
    const loaded = this.#storage.load(options.self.peer);
    for (const state of loaded.states) this.table.set(state);
    this.#forgotten = new Map(loaded.forgotten);
    this.damagedAtStart = loaded.damaged;
  }

  get own(): AuthorState | undefined {
    return this.table.get(this.#options.self.peer);
  }

  get hasUnsaved(): boolean {
    return this.#unsaved.size > 0;
  }

  /** Our next version, durable; the version before it, or null when the batch changes nothing. */
  write(batch: Batch): Written | null {
    const current = this.own ?? FIRST_VERSION;
    const next = nextVersion(current, batch, this.#options.limits);
    if (next === null) return null;
    const { delta, ...map } = next;
    const state = this.#sign(map);
    this.#storage.saveOwn(state, ownChange(current, { delta, floor: map.floor }));
    this.table.set(state);
    return { previous: current.version };
  }

  compare(head: HeadRef): Comparison {
    const mine = this.table.get(head.author);
    if (head.version <= (this.#forgotten.get(head.author) ?? 0)) return 'unwanted';
    if (isNewer(head, mine)) return 'theirs-newer';
    return mine !== undefined && isNewer(mine, head) ? 'ours-newer' : 'same';
  }

  /** Installs a state from a neighbour if it is genuine, wanted and newer. */
  offer(item: StateItem): Verdict {
    const { self, limits } = this.#options;
    const { author, version, base } = item;
    const mine = this.table.get(author);
    const isOlder = mine !== undefined && (version < mine.version || (version === mine.version && base > 0));
    if (isOlder && (author !== self.peer || base > 0)) return { kind: 'known' };
    if (version <= (this.#forgotten.get(author) ?? 0)) return { kind: 'refused', reason: 'forgotten' };
    if (base > (mine?.version ?? 0)) return { kind: 'retry', reason: 'gap' };
    const shared = this.table.verified?.(item);
    const identityKey = shared?.identityKey ?? this.#identityKeyOf(item, mine);
    if (identityKey === null) return invalid('bad-identity');
    if (author !== self.peer && !this.#options.acceptAuthor(author, identityKey)) {
      return { kind: 'refused', reason: 'not-admitted' };
    }
    if (mine === undefined && this.table.size >= limits.authorsMax) return { kind: 'refused', reason: 'authors-max' };

    const state = shared ?? this.#verify(item, identityKey, mine);
    if ('kind' in state) return state;
    if (!isNewer(state, mine)) return author === self.peer ? this.#remember(state, mine!) : { kind: 'known' };
    const totalBytes = this.table.bytes - (mine?.packed.length ?? 0) + state.packed.length;
    if (totalBytes > limits.totalBytesMax) return { kind: 'refused', reason: 'total-bytes-max' };

    if (author === self.peer) return this.#adopt(state, mine);
    if (!saysOnlyLife(item)) this.#unsaved.add(author);
    this.table.set(state);
    return { kind: 'installed', state, before: mine };
  }

  /** Drops an author and refuses its return up to the version known now, durably. Returns what was dropped. */
  forget(author: PeerId): AuthorState | null {
    const state = this.table.get(author);
    if (state === undefined) return null;
    const oldest =
      this.#forgotten.size >= this.#options.limits.forgottenMax ? [...this.#forgotten.keys()][0] : undefined;
    this.#storage.forget(author, state.version, oldest);
    if (oldest !== undefined) this.#forgotten.delete(oldest);
    this.#forgotten.set(author, state.version);
    this.#unsaved.delete(author);
    this.table.delete(author);
    return state;
  }

  /** Writes a batch of others' states to disk in one transaction; {@link hasUnsaved} says whether more wait. */
  saveSome(): void {
    const authors = [...this.#unsaved].slice(0, PERSIST_BATCH_MAX);
    this.#storage.saveAll(authors.map((author) => this.table.get(author)).filter((state) => state !== undefined));
    for (const author of authors) this.#unsaved.delete(author);
  }

  /** Takes in a newer state of our own, and in the same write says again what it knows nothing of and what stays said. */
  #adopt(newer: AuthorState, mine: AuthorState | undefined): Verdict {
    const next = mine === undefined ? null : nextVersion(newer, this.#lasting(mine, newer), this.#options.limits);
    const state = next === null ? newer : this.#sign(next);
    this.#storage.replaceOwn(state);
    this.table.set(state);
    return { kind: 'installed', state, before: mine };
  }

  /** From a state of our own that did not come to be the newest. */
  #remember(other: AuthorState, mine: AuthorState): Verdict {
    if (equalBytes(other.fingerprint, this.#remembered)) return { kind: 'known' };
    const changes = changesBetween(mine.packed, other.packed).filter(({ value }) => value !== null);
    const written = this.write(this.#lasting(other, mine));
    this.#remembered = other.fingerprint;
    return changes.length === 0 ? { kind: 'known' } : { kind: 'forgotten-by-us', changes, written };
  }

  /** What stays said, whichever of two histories of ours goes on. */
  #lasting(other: AuthorState, going: AuthorState): Batch {
    const { keeps } = this.#options;
    const changes = unknownTo(going, other.packed).filter(({ key }) => keeps?.(key) ?? false);
    return new Map(changes.map(({ key, value }) => [key, value]));
  }

  #sign({ packed, version, floor, shape }: MapVersion): AuthorState {
    const { self, crypto, clusterId } = this.#options;
    const unsigned = { packed, version, floor, shape, author: self.peer, identityKey: self.identityKey };
    return signState(crypto, clusterId, (message) => self.sign(message), unsigned);
  }

  /** The author's key, a copy; null when what came is not its. The hash of the one that we hold was looked at when it came. */
  #identityKeyOf({ author, identityKey }: StateItem, mine: AuthorState | undefined): Uint8Array | null {
    if (identityKey === null) return mine?.identityKey ?? null;
    return peerIdOf(this.#options.crypto, identityKey) === author ? identityKey.slice() : null;
  }

  /** What the item stands for, or what is wrong with it. */
  #verify(item: StateItem, identityKey: Uint8Array, mine: AuthorState | undefined): AuthorState | Verdict {
    const { crypto, clusterId, limits } = this.#options;
    const { author, version, floor, base } = item;
    const packed = this.#assemble(item, mine);
    if (packed === null || packed.length > limits.mapBytesMax) return invalid('bad-map');
    const shape = inspectMap(packed, { version, floor, ...limits });
    if (shape === null) return invalid('bad-map');
    const signature = item.signature.slice();
    const state = verifyState(crypto, clusterId, { author, version, floor, signature, identityKey, packed, shape });
    return state ?? (base > 0 ? { kind: 'retry', reason: 'delta-mismatch' } : invalid('bad-signature'));
  }

  /** The full map that the item stands for, a copy; null when its entries are malformed. */
  #assemble(item: StateItem, mine: AuthorState | undefined): Uint8Array | null {
    if (item.base === 0) return item.entries;
    const { limits } = this.#options;
    if (inspectMap(item.entries, { version: item.version, floor: item.floor, ...limits }) === null) return null;
    return applyDelta(mine?.packed ?? EMPTY_MAP, item.entries, item.floor);
  }
}

/** After a restart that is fetched again; and after a partition everybody says it, which would rewrite the whole disk. */
function saysOnlyLife({ base, entries }: StateItem): boolean {
  if (base === 0) return false;
  const entry = new MapCursor(entries);
  while (entry.next()) if (!entry.hasKey(LIFE_KEY)) return false;
  return true;
}

function invalid(reason: string): Verdict {
  return { kind: 'invalid', reason };
}
