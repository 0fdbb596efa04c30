// Takes everything of fabric's out of the kernel again. What is ours is known by its own marks (alias, route protocol,
// table name), not by what this process remembers, so that it also works after a crash. The order keeps the host closed:
// interfaces first, the guard of forwarding last.

import { ROUTE_PROTOCOL } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import type { Forwarding } from './forwarding.ts';
import { ALIAS_PREFIX, networkInterfaces } from './names.ts';
import { unlessMissing } from './overlay-bridge.ts';
import type { PacketFilter } from './packet-filter.ts';

/** Idempotent. */
export async function removeAll(netlink: Rtnetlink, filter: PacketFilter, forwarding: Forwarding): Promise<void> {
  const links = (await netlink.listLinks()).filter(({ alias }) => alias.startsWith(ALIAS_PREFIX));
  const bridges = links.filter(({ kind }) => kind === 'bridge');
  // Ports before their bridge; of a pair the second end is gone with the first.
  for (const { index } of [...links.filter(({ kind }) => kind !== 'bridge'), ...bridges]) {
    await unlessMissing(netlink.deleteLink(index));
  }
  for (const { dst, metric } of await netlink.listRoutes({ protocol: ROUTE_PROTOCOL })) {
    await unlessMissing(netlink.deleteRoute({ dst, metric }));
  }
  const names = bridges.map(({ name }) => networkInterfaces(name));
  await filter.removeAccepted(names.flatMap(({ bridge, host }) => [bridge, host]));
  await forwarding.restore();
  await filter.removeTables();
}
