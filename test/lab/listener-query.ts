// What a multicast router asks when it starts, sent from a namespace of a lab host: a general query of MLDv2 (RFC 3810 §5.1), to be
// answered within 100 ms, with the router alert option without which hosts pass it over. By Python, for Node has no raw sockets.

import type { LabHost } from './host.ts';

/** argv: interface. The kernel fills in the checksum and the next header of the option. */
const SENDER = `
import socket, struct, sys
interface = socket.if_nametoindex(sys.argv[1])
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, bytes([0, 0, 5, 2, 0, 0, 1, 0]))
query = struct.pack('!BBHHH16sBBH', 130, 0, 0, 100, 0, bytes(16), 2, 125, 0)
router.sendto(query, ('ff02::1', 0, 0, interface))
`;

export async function askForListeners(host: LabHost, namespace: string, ifname: string): Promise<void> {
  await host.run(['ip', 'netns', 'exec', namespace, 'python3', '-c', SENDER, ifname]);
}
