// Elements of nftables sets, added and removed in-process: an exec of `nft` costs 3.5 ms, this some 50 µs. Tables, chains and
// sets themselves are made by `nft -j`. A change is one transaction: all elements or none. linux/netfilter/nf_tables.h.

export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';

export interface SetElementsChange {
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
  /** `add` accepts elements that are there; `delete` fails as a whole with ENOENT when one is missing. */
  readonly operation: 'add' | 'delete';
  /** Keys as the set's type lays them out; see {@link concatKey} for concatenations. */
  readonly elements: readonly Uint8Array[];
}
export declare class Nfnetlink {
  static open(namespaceFd?: number | null): Nfnetlink;
  /** Rejects with NetlinkError: ENOENT when table or set is not there. Nothing happened then. */
  setElements(change: SetElementsChange): Promise<void>;
  /** Several changes in one transaction, in order. */
  setElementsAll(changes: readonly SetElementsChange[]): Promise<void>;
  close(): void;
}

/** The key of a concatenated set (`ifname . ether_addr . ipv4_addr`): each field padded with zeros to a multiple of 4. */
export declare function concatKey(...fields: readonly Uint8Array[]): Uint8Array;
/** An interface name as nftables keeps it: 16 bytes, zero padded. */
export declare function ifnameKey(name: string): Uint8Array;
