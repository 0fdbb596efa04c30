// A container behind a bridge on a host of the lab, made by hand: the place of every contender that carries frames and is not
// fabric. What joins the bridges of two hosts is the contender's.
//
//     container c ─ eth0 ═ c0 ─ br0 ─ port ══ the contender ══ port ─ br0 ─ c0 ═ eth0 ─ container c

import type { LabHost } from '../../test/lab/host.ts';
import type { Place } from '../contender.ts';

/** What the two containers of a contender are called in their segment, which is theirs alone. */
export const SERVER_IP = '10.96.0.1';
export const CLIENT_IP = '10.96.0.2';

/** Makes bridge and container; `port` must exist. `mtu` in bytes, of every interface. */
export async function containerBehindBridge(
  host: LabHost,
  { port, ip, mtu }: { readonly port: string; readonly ip: string; readonly mtu: number },
): Promise<Place> {
  const bytes = String(mtu);
  const inContainer = (command: readonly string[]) => ['netns', 'exec', 'c', ...command];
  for (const command of [
    ['link', 'add', 'br0', 'mtu', bytes, 'type', 'bridge', 'mcast_snooping', '0'],
    ['netns', 'add', 'c'],
    ['link', 'add', 'c0', 'mtu', bytes, 'type', 'veth', 'peer', 'name', 'eth0', 'mtu', bytes, 'netns', 'c'],
    ['link', 'set', port, 'mtu', bytes, 'master', 'br0', 'up'],
    ['link', 'set', 'c0', 'master', 'br0', 'up'],
    ['link', 'set', 'br0', 'up'],
    inContainer(['ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0']),
    inContainer(['ip', 'link', 'set', 'eth0', 'up']),
  ]) {
    await host.run(['ip', ...command]);
  }
  return { run: (command, options) => host.run(['ip', ...inContainer(command)], options) };
}
