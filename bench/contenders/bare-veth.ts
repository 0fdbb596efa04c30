// Host to host over the lab's underlay: veth, switch, veth, without any overlay. What the machine can do at all.

import type { Contender } from '../contender.ts';

export const bareVeth: Contender = {
  name: 'bare',
  title: 'bare veth, host to host',
  metrics: ['tcpGbps', 'tcp8Gbps', 'udpGbps', 'udpPps', 'rttMs', 'cpuUsPer64KiB'],
  async open(lab) {
    const server = await lab.host('bare-a');
    const client = await lab.host('bare-b');
    return { client, server, serverIp: server.ip, hosts: [server, client], daemons: [], carriers: [] };
  },
};
