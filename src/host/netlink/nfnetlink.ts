// Elements of nftables sets, added and removed in-process: an exec of `nft` costs 3.5 ms, this a tenth of one. Tables, chains
// and sets themselves are made by `nft -j`. A call is one transaction: all of it or nothing. linux/netfilter/nf_tables.h,
// linux/netfilter/nfnetlink.h.

import { concatBytes } from '../../base/bytes.ts';
import { assert } from '../../base/errors.ts';
import { NETLINK_NETFILTER } from '../native.ts';
import { NetlinkError } from './errors.ts';
import { MessageWriter, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST } from './message.ts';
import { NetlinkSocket } from './netlink-socket.ts';

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

const FAMILIES: Readonly<Record<NftFamily, number>> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_DATA_VALUE = 1;

/** The kernel's limit for a key, NFT_DATA_VALUE_MAXLEN. */
const KEY_BYTES_MAX = 64;
/** 500 elements of at most 76 bytes fit the 64 KiB of the attribute that lists them. */
const ELEMENTS_PER_MESSAGE_MAX = 500;
/** Half of the socket's send buffer, because the kernel counts its own overhead. */
const TRANSACTION_BYTES_MAX = 512 * 1024;
const IFNAME_BYTES = 16;

export class Nfnetlink {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the namespace of `namespaceFd` (needed only during this call), or in the process's own. Throws NetlinkError. */
  static open(namespaceFd: number | null = null): Nfnetlink {
    return new Nfnetlink(NetlinkSocket.open(NETLINK_NETFILTER, namespaceFd));
  }

  /** Rejects with NetlinkError: ENOENT when table or set is not there. Nothing happened then. */
  async setElements(change: SetElementsChange): Promise<void> {
    await this.setElementsAll([change]);
  }

  /** Several changes in one transaction, in order. EMSGSIZE above some 7,000 elements. */
  async setElementsAll(changes: readonly SetElementsChange[]): Promise<void> {
    const messages = changes.flatMap(changeMessages);
    if (messages.length === 0) return;
    const tables = [...new Set(changes.map(({ family, table, set }) => `${family} ${table} ${set}`))];
    await this.transaction(messages, `change elements of the nftables set ${tables.join(', ')}`);
  }

  /**
   * Sends nftables messages between BATCH_BEGIN and BATCH_END: the kernel applies all or none. Each asks for an ack
   * (NLM_F_ACK). `operation` is for errors, continuing "can't …".
   */
  async transaction(messages: readonly Uint8Array[], operation: string): Promise<void> {
    const batch = [batchMessage(NFNL_MSG_BATCH_BEGIN), ...messages, batchMessage(NFNL_MSG_BATCH_END)];
    if (batch.reduce((sum, { length }) => sum + length, 0) > TRANSACTION_BYTES_MAX) {
      throw new NetlinkError(operation, 'EMSGSIZE', `more than ${TRANSACTION_BYTES_MAX} bytes in one transaction`);
    }
    await this.#socket.transaction(batch, operation);
  }

  /** See {@link NetlinkSocket.portId}. */
  get portId(): number | null {
    return this.#socket.portId;
  }

  /** Idempotent; calls still waiting reject with ECANCELED. */
  close(): void {
    this.#socket.close();
  }
}

/** The key of a concatenated set (`ifname . ether_addr . ipv4_addr`): each field padded with zeros to a multiple of 4. */
export function concatKey(...fields: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...fields.flatMap((field) => [field, new Uint8Array((4 - (field.length % 4)) % 4)]));
}

/** An interface name as nftables keeps it: 16 bytes, zero padded. */
export function ifnameKey(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  assert(text.length < IFNAME_BYTES, `an interface name has at most 15 bytes: ${name}`);
  return concatBytes(text, new Uint8Array(IFNAME_BYTES - text.length));
}

/** The messages of one change, without sequence numbers; none without elements. */
export function changeMessages(change: SetElementsChange): readonly Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let start = 0; start < change.elements.length; start += ELEMENTS_PER_MESSAGE_MAX) {
    messages.push(elementsMessage(change, change.elements.slice(start, start + ELEMENTS_PER_MESSAGE_MAX)));
  }
  return messages;
}

function elementsMessage(
  { family, table, set, operation }: SetElementsChange,
  keys: readonly Uint8Array[],
): Uint8Array {
  const isAdd = operation === 'add';
  const type = (NFNL_SUBSYS_NFTABLES << 8) | (isAdd ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
  const writer = new MessageWriter(type, NLM_F_REQUEST | NLM_F_ACK | (isAdd ? NLM_F_CREATE : 0));
  writer.u8(FAMILIES[family]).u8(0).u16be(0);
  writer.attributeText(NFTA_SET_ELEM_LIST_TABLE, table).attributeText(NFTA_SET_ELEM_LIST_SET, set);
  writer.nested(NFTA_SET_ELEM_LIST_ELEMENTS, (list) => {
    for (const key of keys) {
      assert(key.length > 0 && key.length <= KEY_BYTES_MAX, `a set's key has 1 to ${KEY_BYTES_MAX} bytes`);
      list.nested(NFTA_LIST_ELEM, (element) => {
        element.nested(NFTA_SET_ELEM_KEY, (data) => data.attribute(NFTA_DATA_VALUE, key));
      });
    }
  });
  return writer.finish();
}

function batchMessage(type: number): Uint8Array {
  return new MessageWriter(type, NLM_F_REQUEST).u8(0).u8(0).u16be(NFNL_SUBSYS_NFTABLES).finish();
}
