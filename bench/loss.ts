// An underlay that loses one datagram in a hundred, for one path while it is measured. Segmentation, checksums over several
// datagrams and GRO are off on every interface of the underlay meanwhile, so that what is lost is what a wire would lose: one
// packet of at most 1500 bytes. nft(8), netdev family: the drop is at the receiver's ingress, in both directions.

import type { LabHost } from '../test/lab/host.ts';
import type { Lab } from '../test/lab/lab.ts';

const LOSS_PERCENT = 1;
/** Whatever lets a packet of more than the MTU cross the interface. */
const OFFLOADS = [
  'gso',
  'tso',
  'gro',
  'tx-udp-segmentation',
  'tx-udp_tnl-segmentation',
  'tx-udp_tnl-csum-segmentation',
  'rx-udp-gro-forwarding',
];
const OFF = OFFLOADS.flatMap((feature) => [feature, 'off']);

/** Runs work while the underlay of these hosts loses; afterwards it is as before. */
export async function withLoss<T>(lab: Lab, hosts: readonly LabHost[], work: () => Promise<T>): Promise<T> {
  const before = await Promise.all(hosts.map((host) => featuresOf(host)));
  try {
    for (const host of hosts) {
      await host.run(['ethtool', '-K', 'eth0', ...OFF]);
      await lab.inSwitch(['ethtool', '-K', lab.portOf(host), ...OFF]);
      await host.run(['nft', RULES]);
    }
    const result = await work();
    for (const host of hosts) await assertSegmented(host);
    return result;
  } finally {
    for (const [index, host] of hosts.entries()) {
      await host.run(['nft', 'delete table netdev loss']);
      await host.run(['ethtool', '-K', 'eth0', ...before[index]!]);
      await lab.inSwitch(['ethtool', '-K', lab.portOf(host), ...before[index]!]);
    }
  }
}

const RULES = [
  'table netdev loss {',
  '  counter too_large { }',
  '  chain ingress {',
  '    type filter hook ingress device "eth0" priority 0; policy accept;',
  '    meta length > 1500 counter name "too_large"',
  `    numgen random mod 100 < ${LOSS_PERCENT} counter drop`,
  '  }',
  '}',
].join('\n');

/** Throws when a packet above the MTU came by: then a loss was none of one packet, and the figure is worth nothing. */
async function assertSegmented(host: LabHost): Promise<void> {
  const { stdout } = await host.run(['nft', 'list', 'counter', 'netdev', 'loss', 'too_large']);
  if (!/packets 0 /.test(stdout)) throw new Error(`an offload of the underlay was still on: ${stdout}`);
}

/** Both ends of the veth start alike. `ethtool -k` names short features by long names. */
async function featuresOf(host: LabHost): Promise<readonly string[]> {
  const { stdout } = await host.run(['ethtool', '-k', 'eth0']);
  const LONG: Readonly<Record<string, string>> = {
    gso: 'generic-segmentation-offload',
    tso: 'tcp-segmentation-offload',
    gro: 'generic-receive-offload',
  };
  return OFFLOADS.flatMap((feature) => {
    const state = new RegExp(`^\\s*${LONG[feature] ?? feature}: (on|off)`, 'm').exec(stdout)?.[1];
    return state === undefined ? [] : [feature, state];
  });
}
