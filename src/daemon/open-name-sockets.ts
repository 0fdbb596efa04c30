// The name server's real sockets, as the daemon is given them.

import { NAME_PORT, openNameSocket } from '../host/dns/name-sockets.ts';
import { describePortHolder } from '../host/dns/port-holder.ts';
import { ResolvConf } from '../host/dns/resolv-conf.ts';
import { exchange } from '../host/dns/upstream-sockets.ts';
import type { NameSockets } from './name-server.ts';

export function openNameSockets(): NameSockets {
  const resolvConf = new ResolvConf();
  return {
    open: openNameSocket,
    holderOf: (ip) => describePortHolder(ip, NAME_PORT),
    exchange,
    hostServers: () => resolvConf.servers(),
  };
}
