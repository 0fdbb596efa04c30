// Kernel VXLAN, plain: what flannel makes, with one unicast remote. Containers are namespaces behind a bridge on each host.

import type { LabHost } from '../../test/lab/host.ts';
import type { Contender, Place } from '../contender.ts';

/** 1500 less IPv4 20, UDP 8, VXLAN 8 and the inner Ethernet header 14. */
const MTU = '1450';
const PORT = '8472';

export const kernelVxlan: Contender = {
  name: 'vxlan',
  title: 'kernel VXLAN, plain',
  async open(lab) {
    const serverHost = await lab.host('vxlan-a');
    const clientHost = await lab.host('vxlan-b');
    const server = await attach(serverHost, { remote: clientHost, ip: '10.96.0.1' });
    const client = await attach(clientHost, { remote: serverHost, ip: '10.96.0.2' });
    return { client, server, serverIp: '10.96.0.1', daemons: [] };
  },
};

/** Bridge, VXLAN port and one container with that address. */
async function attach(host: LabHost, { remote, ip }: { remote: LabHost; ip: string }): Promise<Place> {
  const vxlan = ['type', 'vxlan', 'id', '42', 'local', host.ip, 'remote', remote.ip, 'dstport', PORT, 'dev', 'eth0'];
  const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'mtu', MTU, 'netns', 'c'];
  const inContainer = (command: readonly string[]) => ['netns', 'exec', 'c', ...command];
  for (const command of [
    ['link', 'add', 'br0', 'mtu', MTU, 'type', 'bridge', 'mcast_snooping', '0'],
    ['link', 'add', 'vxlan0', 'mtu', MTU, ...vxlan],
    ['netns', 'add', 'c'],
    ['link', 'add', 'c0', 'mtu', MTU, ...veth],
    ['link', 'set', 'vxlan0', 'master', 'br0', 'up'],
    ['link', 'set', 'c0', 'master', 'br0', 'up'],
    ['link', 'set', 'br0', 'up'],
    inContainer(['ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0']),
    inContainer(['ip', 'link', 'set', 'eth0', 'up']),
  ]) {
    await host.run(['ip', ...command]);
  }
  return { run: (command, options) => host.run(['ip', ...inContainer(command)], options) };
}
