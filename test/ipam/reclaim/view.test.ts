import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import type { PeerId } from '../../../src/base/ids.ts';
import { CLAIMS_PER_AUTHOR_MAX, LeaseView } from '../../../src/ipam/lease-view.ts';
import { quickSignatures } from '../../fakes/quick-crypto.ts';
import { make, signed } from '../scenario.ts';

const NOBODY = 'ee'.repeat(16) as PeerId;

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

test('a gift that a removed host made itself counts before what its heir gave itself, whatever the epochs', () => {
  const { view, cluster, gift, ownerOf } = setUp();
  gift('10.32.8.0/21', 2, 0, 1);
  view.peerRemoved(cluster.hosts[1]!.id, cluster.hosts[2]!.id);
  gift('10.32.8.0/21', 3, 2, 2); // before it had heard of
  gift('10.32.9.0/24', 5, 1, 3);
  expect(['10.32.8.1', '10.32.9.1'].map(ownerOf)).toEqual([2, 3]);
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

describe('records that wait for their donor’s key', () => {
  /** Knows the keys of the hosts in `known` only. */
  function setUpStranger() {
    const cluster = make({ hosts: 3, range: '10.32.0.0/20' });
    const { hosts, plan } = cluster;
    const known = new Set<number>();
    const view = new LeaseView(plan, quickSignatures, (peer) => {
      const index = cluster.indexOf(peer);
      return known.has(index) ? hosts[index]!.key : null;
    });
    const [creator, honest, hostile] = hosts.map(({ id }) => id) as [PeerId, PeerId, PeerId];
    const fill = (count: number): void => {
      const record = signed(cluster, { donor: 2, owner: hostile, cidr: '10.32.0.0/24', epoch: 1 });
      for (let epoch = 1; epoch <= count; epoch++) view.observe(hostile, { ...record, donor: NOBODY, epoch });
    };
    return { cluster, view, known, creator, honest, hostile, fill };
  }

  test('of one host, however many, keep nobody else’s out', () => {
    const { cluster, view, known, honest, fill } = setUpStranger();
    fill(CLAIMS_PER_AUTHOR_MAX);
    const record = signed(cluster, { donor: 0, owner: honest, cidr: '10.32.1.0/24', epoch: 2 });
    expect(view.observe(honest, record)).toEqual({ waiting: true });
    expect(view.isUnderstood(honest)).toBe(false);
    known.add(0);
    expect(view.arrived()).toEqual([{ author: honest, record }]);
    expect(view.isUnderstood(honest)).toBe(false); // until they are taken in
    expect(view.observe(honest, record)).toHaveProperty('claim');
    expect([view.isUnderstood(honest), view.arrived()]).toEqual([true, []]);
  });

  test('count among the records that a host may have, and voters promise nothing to who has more', () => {
    const { cluster, view, known, hostile, fill } = setUpStranger();
    known.add(2);
    fill(CLAIMS_PER_AUTHOR_MAX - 1);
    const own = (epoch: number) => signed(cluster, { donor: 2, owner: hostile, cidr: '10.32.2.0/24', epoch });
    expect(view.observe(hostile, own(1))).toHaveProperty('claim');
    expect(view.observe(hostile, own(2))).toEqual({ drop: 'lease-author-limit' });
    for (let epoch = 1; epoch < CLAIMS_PER_AUTHOR_MAX; epoch++)
      view.withdraw(hostile, { ...own(1), donor: NOBODY, epoch });
    expect(view.isUnderstood(hostile)).toBe(false);
  });
});
