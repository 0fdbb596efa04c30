// Shorthand for tests that play a story on a simulated cluster.

import { formatCidr, formatIp } from '../../src/base/address.ts';
import type { FabricError } from '../../src/base/errors.ts';
import type { GiftId, PeerId } from '../../src/base/ids.ts';
import { leaseSigningBytes } from '../../src/base/record-signing.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';
import { quickSignatures } from '../fakes/quick-crypto.ts';
import { ip, ownBlocks } from './sim-blocks.ts';
import { Cluster, type ClusterOptions } from './sim-cluster.ts';

export function make(options: Partial<ClusterOptions> = {}): Cluster {
  return new Cluster({ seed: 1, hosts: 2, range: '10.32.0.0/12', leasePrefix: 24, ...options });
}

export function joined(options: Partial<ClusterOptions> = {}): Cluster {
  const cluster = make(options);
  for (let host = 1; host < cluster.hosts.length; host++) {
    cluster.start(host);
    cluster.drain();
  }
  return cluster;
}

export function ipamOf(cluster: Cluster, host: number): Ipam {
  return cluster.hosts[host]!.ipam!;
}

export function held(cluster: Cluster, host: number, owner: string): string {
  return formatIp(cluster.hosts[host]!.held.get(owner)!);
}

export function blocksOf(cluster: Cluster, host: number): string[] {
  return ownBlocks(ipamOf(cluster, host), cluster.hosts[host]!.id).map(formatCidr);
}

export function errorOf(ipam: Ipam, owner: string, wanted?: string): FabricError {
  const result = ipam.allocate({ owner, family: 4, ...(wanted === undefined ? {} : { wanted: ip(wanted) }) });
  if (result.status !== 'failed') throw new Error(`allocation of ${owner}: ${result.status}`);
  return result.error;
}

/** A record signed by any host of the cluster, truthful or not. */
export function signed(
  cluster: Cluster,
  terms: { donor: number; owner: PeerId; cidr: string; epoch: number; giftId?: string },
): LeaseRecord {
  const donor = cluster.hosts[terms.donor]!;
  const unsigned = {
    network: cluster.plan.network,
    cidr: terms.cidr,
    owner: terms.owner,
    epoch: terms.epoch,
    giftId: (terms.giftId ?? 'ab'.repeat(16)) as GiftId,
    donor: donor.id,
  };
  return { ...unsigned, signature: quickSignatures.ed25519Sign(donor.seed, leaseSigningBytes(unsigned)) };
}
