// When the datapath of a host is what the lab's mix asks for and the kernel has followed: plain VXLAN comes up some time after the
// encrypted tunnel beside which it stands, so a picture of the kernel that is taken before shows a moment, not a state.

import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

/** True when each tunnel of the host has the mix's datapath, and what leaves by VXLAN has its entries in the kernel. */
export async function datapathSettled(lab: Lab, host: LabHost): Promise<boolean> {
  const { names } = lab.mix;
  const name = names[lab.hosts.indexOf(host) % names.length];
  if (name !== 'vxlan') return true;
  const { tunnels, routes } = await host.status();
  if (!tunnels.every(({ datapath }) => datapath === name)) return false;
  const entries = (await host.run(['bridge', 'fdb', 'show'])).stdout.split('\n');
  return routes.every(({ local, mac }) => local || entries.filter((line) => line.startsWith(mac)).length === 2);
}

export async function allDatapathsSettled(lab: Lab): Promise<boolean> {
  return (await Promise.all(lab.hosts.map((host) => datapathSettled(lab, host)))).every(Boolean);
}
