// The kernel's VXLAN as fabric sets it up between hosts that trust each other, in the clear: forwarding entries per container,
// packet filter, isolated bridge ports. Held against the VXLAN made by hand (kernel-vxlan.ts), it shows what those cost.

import { eventually } from '../../test/lab/exec.ts';
import type { LabHost } from '../../test/lab/host.ts';
import { fabric } from './fabric.ts';

/** The lab's underlay, all of it. */
const TRUSTED = '192.0.2.0/24';
/** An idle tunnel needs a handshake and two answered probes before it is plain. */
const PLAIN_MAX_MS = 15_000;

export const fabricVxlan = fabric({
  name: 'fabric-vxlan',
  datapath: 'vxlan',
  title: 'fabric, kernel VXLAN, plain',
  flags: ['--trusted-subnets', TRUSTED],
  carriers: [],
  metrics: ['tcpGbps', 'tcp8Gbps', 'udpGbps', 'udpPps', 'rttMs', 'cpuUsPer64KiB', 'daemonMsPerGB'],
  ready: async ({ hosts, client, server }) => {
    await eventually('the containers reach each other', () => client.pings(server.ip), { timeoutMs: PLAIN_MAX_MS });
    for (const host of hosts) {
      await eventually(`${host.name} sends plain VXLAN`, () => isPlain(host), { timeoutMs: PLAIN_MAX_MS });
    }
  },
});

async function isPlain(host: LabHost): Promise<boolean> {
  return (await host.status()).tunnels.every(({ datapath }) => datapath === 'vxlan');
}
