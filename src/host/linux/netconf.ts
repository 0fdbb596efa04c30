// Reads rtnetlink's notifications of changed network sysctls (RTM_NEWNETCONF): whether one tells about the switch of a
// whole family's forwarding. New interfaces send such messages, too, and many. linux/netconf.h.

import { Attributes, parseMessages } from '../netlink/message.ts';

const RTM_NEWNETCONF = 80;
/** struct netconfmsg: the family, padded. */
const NETCONFMSG_BYTES = 4;
const NETCONFA_IFINDEX = 1;
const NETCONFA_FORWARDING = 2;
/** NETCONFA_IFINDEX_ALL, -1 as the kernel has it. */
const ALL_INTERFACES = 0xffff_ffff;

/** False for anything malformed. */
export function tellsOfForwarding(bytes: Uint8Array): boolean {
  return parseMessages(bytes).some(({ type, payload }) => {
    if (type !== RTM_NEWNETCONF) return false;
    const attributes = new Attributes(payload, NETCONFMSG_BYTES);
    return attributes.u32(NETCONFA_IFINDEX) === ALL_INTERFACES && attributes.has(NETCONFA_FORWARDING);
  });
}
