import { expect, test } from 'vitest';
import { cidrContains } from '../../../src/base/address.ts';
import { FabricError } from '../../../src/base/errors.ts';
import { DEFAULT_VNI, type Vni } from '../../../src/base/ids.ts';
import { ipamOf } from '../scenario.ts';
import { LEASE_MS, VotingCluster } from './voting-cluster.ts';

const NAMED = { namedRange: '10.64.0.0/20' };

function electedCluster(hosts: number, options = {}): VotingCluster {
  const cluster = new VotingCluster({ hosts, ...options });
  cluster.elect();
  cluster.pass(1.5 * LEASE_MS);
  return cluster;
}

function emptyDisk(cluster: VotingCluster, index: number): void {
  cluster.hosts[index]!.store.beforeCommit = () => {};
}

test('an heir whose disk is full when it hears that it inherits takes over in all networks once it can', () => {
  const cluster = electedCluster(4, NAMED);
  const named = cluster.namedPlan!.network;
  cluster.crash(3);
  const known = ipamOf(cluster, 0).stats().decisions;
  for (const host of [0, 1, 2]) {
    const { store } = cluster.hosts[host]!;
    store.beforeCommit = () => {
      if (store.entries('ipam/0/decision').length === known + 1 && ipamOf(cluster, host).stats().decisions > known) {
        throw new FabricError('limit', { what: 'the disk is full' });
      }
    };
  }
  cluster.pass(2 * LEASE_MS);
  const [reclaim] = cluster.reclaims;
  const heir = cluster.indexOf(reclaim!.heir);
  const titles = (network: Vni) => reclaim!.titles.filter((title) => title.network === network);
  expect([titles(DEFAULT_VNI).length > 0, titles(named).length > 0]).toEqual([true, true]);
  const isHeirs = (network: Vni): boolean =>
    titles(network).every(({ cidr }) => cluster.usableBlocks(heir, network).some((block) => cidrContains(block, cidr)));
  for (const host of [0, 1, 2]) emptyDisk(cluster, host);
  cluster.pass(10_000);
  expect([isHeirs(DEFAULT_VNI), isHeirs(named)]).toEqual([true, true]);
  for (const { network, cidr } of reclaim!.titles) {
    const ip = { family: cidr.family, value: cidr.base };
    const owners = [0, 1, 2].map((host) => cluster.indexOf(cluster.hosts[host]!.spaceOf(network)!.ownerOf(ip)!));
    expect(owners).toEqual([heir, heir, heir]);
  }
});

test('a gift that could not be published is confirmed by no voter', () => {
  const cluster = electedCluster(5);
  const [block] = cluster.usableBlocks(0);
  const wanted = { family: 4, value: block!.base + 9n } as const;
  cluster.unpublished.add(4);
  cluster.allocate(4, 'gift', 4, wanted);
  cluster.pass(5_000);
  expect(ipamOf(cluster, 4).ownerOf(wanted)).toBe(cluster.hosts[4]!.id);
  expect(cluster.allocate(4, 'gift', 4, wanted)).toBe('wait');
  cluster.unpublished.clear();
  cluster.pass(5_000);
  expect(cluster.allocate(4, 'gift', 4, wanted)).toBe('ok');
});
