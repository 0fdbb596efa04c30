// What this host attached, durably: one JSON entry per attachment in the store. An entry is written before anything is made
// (`attaching`), so that a crash at any point leaves a record of what to undo.

import type { Store } from '../base/capabilities.ts';
import { assert } from '../base/errors.ts';
import { DEFAULT_VNI, type Mac, parseMac, type Vni } from '../base/ids.ts';
import type { Attachment, AttachmentKey, WantedRoute } from '../cni-plugin/backend.ts';
import type { ForeignAddress } from '../host/host-network.ts';

const SPACE = 'attachments';

export type AttachmentState = 'attaching' | 'attached' | 'detaching';

export interface AttachmentEntry {
  readonly key: AttachmentKey;
  /** The network that its name meant then; entries of versions before named networks have no such member. */
  readonly vni?: Vni;
  readonly owner: string;
  readonly state: AttachmentState;
  readonly mac: Mac;
  readonly hostIfname: string;
  readonly name: string;
  /** Further names; absent: none. */
  readonly aliases?: readonly string[];
  /** Addresses without prefix length, canonical text; empty until they are allocated. */
  readonly ips: readonly string[];
  /** Those of `ips` that a foreign IPAM plugin chose; entries of older versions have no such member. */
  readonly foreign?: readonly ForeignAddress[];
  /** Device and inode of the namespace, decimal: tells a reused path from the same namespace. */
  readonly namespaceDev: string;
  readonly namespaceIno: string;
  readonly namespacePath: string;
  readonly defaultRoute: boolean;
  readonly routes: readonly WantedRoute[];
  /** What the attacher was told; null while `attaching`. */
  readonly result: Attachment | null;
}

export function networkOfEntry({ vni }: { readonly vni?: Vni }): Vni {
  return vni ?? DEFAULT_VNI;
}

/** Ids can't hold a slash (they are checked), so the joined key is unique. */
export function attachmentKeyText({ network, containerId, ifname }: AttachmentKey): string {
  return `${network}/${containerId}/${ifname}`;
}

export class AttachmentStore {
  readonly #store: Store;
  readonly #entries = new Map<string, AttachmentEntry>();
  /** How many there are of a network; and the key of the one with a MAC, of which a host has one only. */
  readonly #counts = new Map<Vni, number>();
  readonly #byMac = new Map<Mac, string>();

  /** Throws FabricError-free assertions on damaged entries: the store is integrity-checked and only we write it. */
  constructor(store: Store) {
    this.#store = store;
    for (const [text, bytes] of store.entries(SPACE)) {
      const entry = JSON.parse(new TextDecoder().decode(bytes)) as AttachmentEntry;
      assert(
        parseMac(entry.mac) !== null && attachmentKeyText(entry.key) === text,
        `attachment entry ${text} is whole`,
      );
      this.#keep(text, entry);
    }
  }

  get(key: AttachmentKey): AttachmentEntry | undefined {
    return this.#entries.get(attachmentKeyText(key));
  }

  all(): readonly AttachmentEntry[] {
    return [...this.#entries.values()];
  }

  get size(): number {
    return this.#entries.size;
  }

  /** How many are in that network. */
  countOf(network: Vni): number {
    return this.#counts.get(network) ?? 0;
  }

  /** The one that has that MAC, whatever its network. */
  withMac(mac: Mac): AttachmentEntry | undefined {
    return this.#entries.get(this.#byMac.get(mac) ?? '');
  }

  /** An interface with that MAC is in that network, or will be; one that is being detached no longer is. */
  holds(network: Vni, mac: Mac): boolean {
    const entry = this.withMac(mac);
    return entry !== undefined && networkOfEntry(entry) === network && entry.state !== 'detaching';
  }

  /**
   * Survives the process; a power cut only with the next synced write, which for every attachment is its claim. A cut before that
   * takes all that the kernel held along, so that there is nothing to undo.
   */
  putStep(entry: AttachmentEntry): void {
    const text = attachmentKeyText(entry.key);
    const bytes = new TextEncoder().encode(JSON.stringify(entry));
    this.#store.unsynced(() => this.#store.put(SPACE, text, bytes));
    this.#keep(text, entry);
  }

  /** Likewise: an entry that a power cut brings back stands for nothing any more, and is freed at the next start. */
  deleteStep(key: AttachmentKey): void {
    const text = attachmentKeyText(key);
    this.#store.unsynced(() => this.#store.delete(SPACE, text));
    this.#forget(text);
  }

  #keep(text: string, entry: AttachmentEntry): void {
    // An entry that is written anew keeps its place in the order of all().
    this.#uncount(text);
    this.#entries.set(text, entry);
    this.#byMac.set(entry.mac, text);
    this.#counts.set(networkOfEntry(entry), this.countOf(networkOfEntry(entry)) + 1);
  }

  #forget(text: string): void {
    this.#uncount(text);
    this.#entries.delete(text);
  }

  #uncount(text: string): void {
    const entry = this.#entries.get(text);
    if (entry === undefined) return;
    const network = networkOfEntry(entry);
    const left = this.countOf(network) - 1;
    if (left > 0) this.#counts.set(network, left);
    else this.#counts.delete(network);
    if (this.#byMac.get(entry.mac) === text) this.#byMac.delete(entry.mac);
  }
}

/** `web (10.32.0.3)`: by its name, else by its id's beginning. For people. */
export function describeEntry({ key, name, ips }: Pick<AttachmentEntry, 'key' | 'name' | 'ips'>): string {
  return `${name === '' ? key.containerId.slice(0, 24) : name} (${ips.join(' ') || 'no address'})`;
}
