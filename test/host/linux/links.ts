// Links as a netlink dump shows them, for tests: up, plain, and part of nothing unless told otherwise.

import type { Link } from '../../../src/host/netlink/objects.ts';

export function linkNamed(index: number, name: string, changes: Partial<Link> = {}): Link {
  const virtual = {
    peerIndex: null,
    peerNamespaceId: null,
    txQueues: 1,
    rxQueues: 1,
    gsoIpv4BytesMax: null,
    port: null,
    portForwards: null,
    bridge: null,
    vxlan: null,
  };
  const flags = { up: true, carrier: true, loopback: false, arp: true, addressGeneration: false };
  return { index, name, mac: null, mtu: 1418, kind: null, master: null, alias: '', ...flags, ...virtual, ...changes };
}
