// Makes the examiner of a member: what it hears, shows and dials, and whose ports it names.

import type { Mac } from '../base/ids.ts';
import { tcpFault } from '../host/doctor/path.ts';
import { readPortState } from '../host/linux/frame-path.ts';
import { networkInterfaces } from '../host/linux/names.ts';
import { networkOfEntry } from './attachment-store.ts';
import type { DatapathSlot } from './datapath-slot.ts';
import type { PortFacts } from './examination-message.ts';
import { Examiner } from './examiner.ts';
import type { Member } from './member.ts';
import type { MemberOptions } from './member-options.ts';

type Parts = Pick<Member, 'tunnels' | 'attachmentEntries' | 'place' | 'networks'> & {
  readonly slot: Pick<DatapathSlot, 'stats'>;
};

/** `parts` are used when somebody asks, not before. */
export function openExaminer({ clock, timers, mesh, settings }: MemberOptions, parts: Parts): Examiner {
  return new Examiner({
    clock,
    timers,
    send: (peer, bytes) => mesh.send(peer, 'examine', bytes),
    linkedAt: (peer) => mesh.linkedAt(peer),
    prod: (peer) => parts.tunnels.prod(peer),
    tunnel: (peer) => parts.tunnels.status(peer),
    lastReceivedMs: (peer) =>
      parts.slot.stats().peers.find((counters) => counters.peer === peer)?.lastReceivedMs ?? null,
    connect: ({ ip, port }, timeoutMs) => tcpFault(ip, port, timeoutMs),
    portOf: (mac) => portOf(parts, mac, settings.bridge),
  });
}

/** `bridge`: the default network's. On one host a MAC is of one interface, whatever its network. */
async function portOf(
  { attachmentEntries, place, networks }: Parts,
  mac: Mac,
  bridge: string,
): Promise<PortFacts | null> {
  const entry = attachmentEntries.all().find((each) => each.mac === mac);
  if (entry !== undefined) {
    const { hostIfname, key, name, state } = entry;
    const { fault } = await readPortState(networks.get(networkOfEntry(entry))?.bridge ?? bridge, hostIfname);
    return { hostIfname, ifname: key.ifname, name, up: state === 'attached' && fault === null };
  }
  if (place.mac !== mac) return null;
  const { host, hostPort } = networkInterfaces(bridge);
  return { hostIfname: host, ifname: '', name: '', up: (await readPortState(bridge, hostPort)).fault === null };
}
