// A router on the lab's switch that advertises itself to all hosts every 500 ms (RFC 4861 §4.2), as home and data-centre
// routers do. Sent by Python, a tool of the build anyway: Node has no raw sockets.

import type { ChildProcess } from 'node:child_process';
import { eventually } from './exec.ts';
import type { Lab } from './lab.ts';

/** argv: interface, router lifetime in seconds. The kernel fills in the checksum. */
const SENDER = `
import socket, struct, sys, time
interface = socket.if_nametoindex(sys.argv[1])
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface)
while True:
    router.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, int(sys.argv[2]), 0, 0), ('ff02::1', 0, 0, interface))
    time.sleep(0.5)
`;

/** The lab must have a host already, because a switch without one is down. Ends with the lab, or with `end` of the process. */
export async function startRouterAdvertiser(
  lab: Lab,
  { lifetimeS }: { readonly lifetimeS: number },
): Promise<ChildProcess> {
  await eventually('the router has its link-local address', async () => {
    const { stdout } = await lab.inSwitch(['ip', '-6', 'address', 'show', 'dev', 'underlay', '-tentative']);
    return stdout.includes('fe80::');
  });
  const enter = ['nsenter', '-t', String(lab.switchPid), '-n', '--'];
  return lab.spawn([...enter, 'python3', '-c', SENDER, 'underlay', String(lifetimeS)]);
}
