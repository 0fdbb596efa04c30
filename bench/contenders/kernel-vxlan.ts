// Kernel VXLAN, plain: what flannel makes, with one unicast remote. Containers are namespaces behind a bridge on each host.

import type { LabHost } from '../../test/lab/host.ts';
import type { Contender } from '../contender.ts';
import { CLIENT_IP, containerBehindBridge, SERVER_IP } from './segment.ts';

/** 1500 less IPv4 20, UDP 8, VXLAN 8 and the inner Ethernet header 14. */
const MTU = 1450;
const PORT = '8472';

export const kernelVxlan: Contender = {
  name: 'vxlan',
  title: 'kernel VXLAN, plain',
  async open(lab) {
    const serverHost = await lab.host('vxlan-a');
    const clientHost = await lab.host('vxlan-b');
    await addPort(serverHost, clientHost);
    await addPort(clientHost, serverHost);
    const server = await containerBehindBridge(serverHost, { port: 'vxlan0', ip: SERVER_IP, mtu: MTU });
    const client = await containerBehindBridge(clientHost, { port: 'vxlan0', ip: CLIENT_IP, mtu: MTU });
    return { client, server, serverIp: SERVER_IP, hosts: [serverHost, clientHost], daemons: [], carriers: [] };
  },
};

async function addPort(host: LabHost, remote: LabHost): Promise<void> {
  const ends = ['local', host.ip, 'remote', remote.ip, 'dstport', PORT, 'dev', 'eth0'];
  await host.run(['ip', 'link', 'add', 'vxlan0', 'type', 'vxlan', 'id', '42', ...ends]);
}
