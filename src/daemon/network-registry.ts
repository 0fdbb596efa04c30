// Which networks there are beside the default one: the records of all hosts, and what was removed. Nothing is ever forgotten,
// so that no id serves twice. Invariants: what a name or an id means is the same on every host that heard the same records, in
// whatever order; two records under one id (no honest host makes them) make that network unusable, and are never mixed.

import { fromHex, toHex, utf8 } from '../base/bytes.ts';
import type { Store } from '../base/capabilities.ts';
import { assert } from '../base/errors.ts';
import { type PeerId, parsePeerId, parseVni, type Vni } from '../base/ids.ts';
import type { NetworkRecord } from '../base/records.ts';
import { decodeNetwork, encodeNetwork, networkKey } from '../gossip/network-records.ts';

const SPACE = 'networks';
const REMOVED_SPACE = 'networks-removed';
/** Ours: with their leases and routes they stay far below what a host can hold. */
export const NETWORKS_MAX = 4096;

export interface KnownNetwork {
  readonly record: NetworkRecord;
  /** Who made it, and owns its range until it gives of it. */
  readonly creator: PeerId;
}

export class NetworkRegistry {
  readonly #store: Store;
  readonly #known = new Map<Vni, KnownNetwork>();
  /** Ids under which different records were heard. */
  readonly #disputed = new Set<Vni>();
  readonly #removed = new Set<Vni>();
  /** Records that came when there were {@link NETWORKS_MAX}. */
  refused = 0;

  /** What was known durably; throws assertions on damage: the store is integrity-checked and only we write it. */
  constructor(store: Store) {
    this.#store = store;
    for (const [key, bytes] of store.entries(SPACE)) {
      const id = parseVni(Number(key));
      const creator = parsePeerId(toHex(bytes.subarray(0, 16)));
      const record = id === null ? null : decodeNetwork(networkKey(id), bytes.subarray(16));
      assert(record !== null && creator !== null, `network ${key} in the store is whole`);
      this.#known.set(record.network, { record, creator });
    }
    for (const [key] of store.entries(REMOVED_SPACE)) {
      const id = parseVni(Number(key));
      assert(id !== null, `removed network ${key} in the store is whole`);
      this.#removed.add(id);
    }
  }

  get isFull(): boolean {
    return this.#known.size >= NETWORKS_MAX;
  }

  /** `new` once; `disputed` when another record stands under that id: neither counts from now on. Durable when it returns. */
  add(creator: PeerId, record: NetworkRecord): 'new' | 'known' | 'disputed' | 'refused' {
    const { network } = record;
    const before = this.#known.get(network);
    if (before !== undefined) {
      if (before.creator === creator && sameRecord(before.record, record)) return 'known';
      this.#disputed.add(network);
      return 'disputed';
    }
    if (this.isFull) {
      this.refused++;
      return 'refused';
    }
    const value = encodeNetwork(record);
    const bytes = new Uint8Array(16 + value.length);
    bytes.set(fromHex(creator)!);
    bytes.set(value, 16);
    this.#store.put(SPACE, String(network), bytes);
    this.#known.set(network, { record, creator });
    return 'new';
  }

  /** For ever; also of one that was not heard of yet. True when it is news. Durable when it returns. */
  remove(network: Vni): boolean {
    if (this.#removed.has(network)) return false;
    this.#store.put(REMOVED_SPACE, String(network), utf8(''));
    this.#removed.add(network);
    return true;
  }

  get(network: Vni): KnownNetwork | null {
    return this.#known.get(network) ?? null;
  }

  isRemoved(network: Vni): boolean {
    return this.#removed.has(network);
  }

  isDisputed(network: Vni): boolean {
    return this.#disputed.has(network);
  }

  /** True for an id that some network has or had. */
  isUsed(network: Vni): boolean {
    return this.#known.has(network) || this.#removed.has(network);
  }

  /** Also what was removed. */
  everKnown(): readonly KnownNetwork[] {
    return [...this.#known.values()];
  }

  /** Those that stand, by id. */
  all(): readonly KnownNetwork[] {
    return [...this.#known.values()]
      .filter(({ record }) => !this.#removed.has(record.network))
      .sort((a, b) => a.record.network - b.record.network);
  }

  /** By name, or by name and id with a dot between them; null: there is none, or it was removed. */
  find(text: string): KnownNetwork | null {
    return this.all().find((known) => this.labelOf(known.record.network) === text) ?? null;
  }

  /**
   * What people call it: its name. Of several with one name, made on hosts that knew nothing of each other, the lowest id has it;
   * the others are called by name and id.
   */
  labelOf(network: Vni): string | null {
    const known = this.#known.get(network);
    if (known === undefined) return null;
    const { name } = known.record;
    const first = this.all().find((other) => other.record.name === name);
    return first === undefined || first.record.network === network ? name : `${name}.${network}`;
  }
}

function sameRecord(a: NetworkRecord, b: NetworkRecord): boolean {
  return JSON.stringify({ ...a, ...b }) === JSON.stringify(a);
}
