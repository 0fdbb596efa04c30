// Reads nfnetlink's notification that ends every nftables transaction (NFT_MSG_NEWGEN): which thread made it. Everything
// else in a datagram is passed over, malformed messages too. linux/netfilter/nfnetlink.h, nf_tables.h.

import { Attributes, parseMessages } from '../netlink/message.ts';

export interface Generation {
  /** Thread id of the transaction's author, as the first process namespace counts; 0 when the kernel did not say. */
  readonly threadId: number;
}

/** struct nfgenmsg: family, version, resource id. */
const GENMSG_BYTES = 4;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
const NFTA_GEN_PROC_PID = 2;

export function parseGenerations(bytes: Uint8Array): readonly Generation[] {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN;
  return parseMessages(bytes)
    .filter((message) => message.type === type)
    .map(({ payload }) => ({ threadId: networkOrder(new Attributes(payload, GENMSG_BYTES).bytes(NFTA_GEN_PROC_PID)) }));
}

/** nfnetlink's numbers are big-endian, unlike rtnetlink's. */
function networkOrder(bytes: Uint8Array | null): number {
  if (bytes === null || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}
