// Reads nfnetlink's notification that ends every nftables transaction (NFT_MSG_NEWGEN): which socket asked for it, by its port id,
// unique in the network namespace. (The process id that the message has, too, is that of the first process namespace, and says
// nothing in another.) All else in a datagram is passed over. linux/netfilter/nfnetlink.h, nf_tables.h.

import { parseMessages } from '../netlink/message.ts';

export interface Generation {
  /** 0: the kernel itself. The first socket of a program has its process id, as that program sees it. */
  readonly portId: number;
}

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;

export function parseGenerations(bytes: Uint8Array): readonly Generation[] {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN;
  return parseMessages(bytes)
    .filter((message) => message.type === type)
    .map(({ portId }) => ({ portId }));
}
