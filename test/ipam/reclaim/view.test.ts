import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import { LeaseView } from '../../../src/ipam/lease-view.ts';
import { quickSignatures } from '../../fakes/quick-crypto.ts';
import { make, signed } from '../scenario.ts';

/** A view of seven hosts; the first one created the cluster and owns 10.32.0.0/20. */
function setUp() {
  const cluster = make({ hosts: 7, range: '10.32.0.0/20' });
  const { hosts, plan } = cluster;
  const view = new LeaseView(plan, quickSignatures, (peer) => hosts.find(({ id }) => id === peer)?.key ?? null);
  const gift = (cidr: string, epoch: number, donor: number, owner: number) => {
    const record = signed(cluster, { donor, owner: hosts[owner]!.id, cidr, epoch });
    expect(view.observe(hosts[donor]!.id, record)).toHaveProperty('claim');
  };
  const reclaim = (cidr: string, epoch: number, owner: number, heir: number) => {
    const titles = [{ network: plan.network, cidr: parseCidr(cidr)!, epoch }];
    view.reclaimed({ kind: 'reclaim', owner: hosts[owner]!.id, heir: hosts[heir]!.id, titles });
  };
  const ownerOf = (ip: string) => cluster.indexOf(view.ownerOf(parseIp(ip)!)!);
  const region = (cidr: string) => view.regions(4).find((row) => row.cidr.base === parseCidr(cidr)!.base)!;
  const titlesOf = (host: number) => view.titlesOf(hosts[host]!.id).map(({ epoch }) => epoch);
  const inheritable = (host: number) => view.inheritableBy(hosts[host]!.id, 4).length;
  gift('10.32.0.0/20', 1, 0, 0);
  return { view, cluster, gift, reclaim, ownerOf, region, titlesOf, inheritable };
}

describe('what the voters decided', () => {
  test('makes the heir the owner, before it has signed anything, and ends nothing else', () => {
    const { gift, reclaim, ownerOf, inheritable } = setUp();
    gift('10.32.8.0/21', 2, 0, 1);
    reclaim('10.32.9.0/24', 2, 1, 2);
    expect(['10.32.8.1', '10.32.9.1', '10.32.10.1'].map(ownerOf)).toEqual([1, 2, 1]);
    expect([inheritable(2), inheritable(1)]).toEqual([1, 0]);
  });

  test('comes before any gift that the former owner had made and that no voter knew of', () => {
    const { gift, reclaim, ownerOf } = setUp();
    gift('10.32.8.0/21', 2, 0, 1);
    gift('10.32.9.0/24', 3, 1, 3);
    reclaim('10.32.9.0/24', 2, 1, 2);
    gift('10.32.9.0/24', 4, 2, 2);
    expect(ownerOf('10.32.9.1')).toBe(2);
  });

  test('says nothing about a later title of the former owner', () => {
    const { gift, reclaim, ownerOf } = setUp();
    gift('10.32.8.0/21', 2, 0, 1);
    reclaim('10.32.8.0/21', 2, 1, 2);
    gift('10.32.8.0/21', 4, 2, 2);
    gift('10.32.8.0/21', 5, 2, 1);
    expect(ownerOf('10.32.9.1')).toBe(1);
  });

  test('counts also where the records that it was about were dropped for newer ones', () => {
    const { gift, reclaim, ownerOf, region } = setUp();
    gift('10.32.8.0/21', 2, 0, 1); // 1 gave 10.32.9.0/24 to 0 by epoch 3, and 0 gave its upper half to 3 by epoch 4
    reclaim('10.32.9.128/25', 4, 3, 1);
    gift('10.32.9.128/25', 6, 1, 1);
    gift('10.32.9.0/24', 7, 1, 0);
    expect(ownerOf('10.32.9.129')).toBe(0);
    expect(region('10.32.9.128/25').inherited).toBe(true);
  });

  test('twice about one block: the later one stands, and the first heir has nothing left to take over', () => {
    const { gift, reclaim, ownerOf, titlesOf, inheritable } = setUp();
    gift('10.32.1.0/24', 2, 0, 4);
    reclaim('10.32.1.0/24', 2, 4, 6); // whose own record of epoch 4 was dropped
    reclaim('10.32.1.0/24', 4, 6, 1);
    gift('10.32.1.0/24', 6, 1, 1);
    gift('10.32.1.0/24', 7, 1, 6);
    expect(ownerOf('10.32.1.1')).toBe(6);
    expect([inheritable(6), titlesOf(6)]).toEqual([0, [7]]);
  });
});

describe('what a voter reports of a host', () => {
  test('is what it owns for certain: nothing that a newer record may have moved', () => {
    const { gift, titlesOf } = setUp();
    gift('10.32.8.0/21', 2, 0, 1);
    gift('10.32.12.0/22', 3, 1, 2);
    expect([titlesOf(1), titlesOf(2)]).toEqual([[2], [3]]);
    gift('10.32.8.0/22', 5, 3, 4); // how it came to 3 is not known
    expect([titlesOf(1), titlesOf(4)]).toEqual([[], []]);
  });
});
