import { describe, expect, test } from 'vitest';
import { compareCidrs, formatCidr } from '../../src/base/address.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import { blocksOf, ipamOf, joined, make, signed } from './scenario.ts';
import { ip } from './sim-blocks.ts';
import type { Cluster } from './sim-cluster.ts';

describe('old copies of the state', () => {
  test('a forgotten gift is adopted, and addresses in it are reported', () => {
    const cluster = make({ hosts: 3 });
    const old = cluster.hosts[0]!.store.snapshot();
    cluster.start(1);
    cluster.drain();
    cluster.allocate(1, 'theirs');
    cluster.crash(0, old);
    cluster.hosts[0]!.maps = new Map();
    cluster.cut.add('0-1').add('1-0');
    cluster.start(0);
    cluster.allocate(0, 'mine', 4, ip('10.40.0.0')); // a caller that did not wait for gossip
    cluster.hosts[0]!.held.delete('mine');
    cluster.cut.clear();
    cluster.reconcile(0, 1);
    cluster.drain();
    expect(cluster.hosts[0]!.conflicts).toEqual([{ ip: '10.40.0.0', owner: 'mine', holder: cluster.hosts[1]!.id }]);
    expect(ipamOf(cluster, 0).reservations()[0]!.conflict).toBe(true);
    ipamOf(cluster, 0).release('mine');
    cluster.heal();
    cluster.checkSettled();
  });

  test('a block that we received and passed on is not used before gossip had time to say so', () => {
    const cluster = joined({ hosts: 3 });
    const before = new Map(cluster.hosts[1]!.store.snapshot());
    for (const space of before.keys()) if (space.endsWith('lease')) before.set(space, new Map());
    const gift = ipamOf(cluster, 0)
      .records()
      .find(({ owner }) => owner === cluster.hosts[1]!.id)!;
    cluster.crash(1, before);
    cluster.hosts[1]!.maps = new Map();
    for (const other of [0, 2]) cluster.cut.add(`1-${other}`).add(`${other}-1`);
    const ipam = cluster.start(1);
    ipam.observe(cluster.hosts[0]!.id, gift);
    expect(ipam.leases().find(({ state }) => state === 'settling')).toBeDefined();
    const own = ipam.leases().filter(({ peer }) => peer === cluster.hosts[1]!.id);
    expect(ipam.ownLeases().toSorted((a, b) => compareCidrs(a.cidr, b.cidr))).toEqual(own);
    cluster.tick(4_900);
    expect(cluster.allocate(1, 'a')).toBe('wait');
    cluster.tick(100);
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('a block that was given on while it settled is no longer ours', () => {
    const cluster = joined({ hosts: 3 });
    const [donor, middle, heir] = cluster.hosts;
    const gift = ipamOf(cluster, 0).surrender(middle!.id)[0]!; // nobody asked for it
    cluster.drain();
    const ipam = ipamOf(cluster, 1);
    expect(ipam.leases().some(({ cidr, state }) => state === 'settling' && formatCidr(cidr) === gift.cidr)).toBe(true);
    ipam.surrender(heir!.id);
    expect(ipam.leases().filter(({ peer }) => peer === middle!.id)).toEqual([]);
    expect(ipam.leases().filter(({ peer }) => peer === donor!.id)).toEqual([]);
  });

  test('of two gifts of one block under one epoch the lower gift id counts everywhere', () => {
    const cluster = make({ hosts: 3 });
    const old = cluster.hosts[0]!.store.snapshot();
    cluster.start(1);
    cluster.drain();
    cluster.crash(0, old);
    cluster.hosts[0]!.maps = new Map();
    for (const pair of ['0-1', '1-0', '2-1', '1-2']) cluster.cut.add(pair);
    cluster.start(0);
    cluster.start(2);
    cluster.drain();
    expect([blocksOf(cluster, 1), blocksOf(cluster, 2)]).toEqual([['10.40.0.0/13'], ['10.40.0.0/13']]);
    cluster.heal();
    cluster.checkSettled();
    const owners = cluster.hosts.map(({ ipam }) => ipam!.ownerOf(ip('10.40.0.2')));
    expect(new Set(owners).size).toBe(1);
  });
});

describe('claims of others', () => {
  const forged: readonly (readonly [string, (cluster: Cluster) => LeaseRecord])[] = [
    [
      'by a host that never owned it',
      (c) => signed(c, { donor: 2, owner: c.hosts[2]!.id, cidr: '10.40.0.0/13', epoch: 1000 }),
    ],
    ['by the former owner', (c) => signed(c, { donor: 0, owner: c.hosts[0]!.id, cidr: '10.40.0.0/13', epoch: 1000 })],
    [
      'of the whole range',
      (c) => signed(c, { donor: 2, owner: c.hosts[2]!.id, cidr: '10.32.0.0/12', epoch: 4_294_967_295 }),
    ],
    ['outside the range', (c) => signed(c, { donor: 0, owner: c.hosts[2]!.id, cidr: '10.64.0.0/13', epoch: 2 })],
    ['with epoch 0', (c) => signed(c, { donor: 0, owner: c.hosts[2]!.id, cidr: '10.40.0.0/13', epoch: 0 })],
    [
      'with a fractional epoch',
      (c) => ({ ...signed(c, { donor: 0, owner: c.hosts[2]!.id, cidr: '10.40.0.0/13', epoch: 2 }), epoch: 2.5 }),
    ],
    [
      'with a foreign signature',
      (c) => ({
        ...signed(c, { donor: 2, owner: c.hosts[2]!.id, cidr: '10.40.0.0/13', epoch: 3 }),
        donor: c.hosts[1]!.id,
      }),
    ],
  ];

  test.each(forged)('TM17 a claim %s displaces nobody', (_name, forge) => {
    const cluster = joined({ hosts: 3 });
    const owner = ipamOf(cluster, 2).ownerOf(ip('10.40.1.1'));
    expect(owner).not.toBeNull();
    const record = forge(cluster);
    for (const { ipam } of cluster.hosts) ipam!.observe(cluster.hosts[2]!.id, record);
    for (const { ipam } of cluster.hosts) expect(ipam!.ownerOf(ip('10.40.1.1'))).toBe(owner);
    cluster.checkSettled();
  });

  test('an owner is not displaced even by the donor', () => {
    const cluster = joined({ hosts: 3 });
    const victim = cluster.hosts[1]!;
    victim.ipam!.observe(
      cluster.hosts[0]!.id,
      signed(cluster, { donor: 0, owner: cluster.hosts[2]!.id, cidr: '10.40.0.0/14', epoch: 9 }),
    );
    expect(victim.ipam!.ownerOf(ip('10.40.0.1'))).toBe(victim.id);
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('a chain proves itself in any order of arrival', () => {
    const cluster = make({ hosts: 4 });
    const give = (donor: number, owner: number, cidr: string, epoch: number) =>
      signed(cluster, { donor, owner: cluster.hosts[owner]!.id, cidr, epoch, giftId: `${epoch}${donor}`.repeat(16) });
    const chain = [give(0, 1, '10.40.0.0/13', 2), give(1, 2, '10.40.0.0/14', 3), give(2, 3, '10.40.7.0/24', 4)];
    const ipam = ipamOf(cluster, 0);
    ipam.observe(cluster.hosts[3]!.id, chain[2]!);
    expect(ipam.ownerOf(ip('10.40.7.1'))).toBe(cluster.hosts[0]!.id);
    ipam.observe(cluster.hosts[2]!.id, chain[1]!);
    ipam.observe(cluster.hosts[1]!.id, chain[0]!);
    expect(ipam.ownerOf(ip('10.40.7.1'))).toBe(cluster.hosts[3]!.id);
    expect(ipam.ownerOf(ip('10.40.8.1'))).toBe(cluster.hosts[2]!.id);
    expect(ipam.ownerOf(ip('10.44.0.1'))).toBe(cluster.hosts[1]!.id);
    ipam.withdraw(cluster.hosts[1]!.id, chain[0]!);
    expect(ipam.ownerOf(ip('10.44.0.1'))).toBe(cluster.hosts[1]!.id); // our own gift, adopted: we remember it ourselves
  });

  test('a gift whose history is late is not pushed out by another host’s that prove nothing', () => {
    const cluster = joined({ hosts: 4 });
    const [creator, victim, , between] = cluster.hosts;
    const ipam = victim!.ipam!;
    const middle = signed(cluster, { donor: 0, owner: between!.id, cidr: '10.32.9.0/24', epoch: 9 });
    ipam.observe(between!.id, signed(cluster, { donor: 3, owner: victim!.id, cidr: '10.32.9.0/24', epoch: 10 }));
    for (let epoch = 100; epoch < 1_200; epoch++) {
      const bait = signed(cluster, { donor: 2, owner: victim!.id, cidr: '10.32.8.0/24', epoch });
      ipam.observe(cluster.hosts[2]!.id, bait);
    }
    expect(ipam.stats().drops['offer-limit']).toBeGreaterThan(0);
    ipam.observe(creator!.id, middle);
    cluster.tick(1_000);
    expect(blocksOf(cluster, 1)).toContain('10.32.9.0/24');
  });

  test('a gift with a hostile epoch is not taken', () => {
    const cluster = joined({ hosts: 3 });
    const gift = signed(cluster, { donor: 0, owner: cluster.hosts[1]!.id, cidr: '10.32.0.0/16', epoch: 4_294_967_295 });
    ipamOf(cluster, 1).observe(cluster.hosts[0]!.id, gift);
    expect(ipamOf(cluster, 1).stats().drops['gift-epoch']).toBe(1);
    expect(cluster.allocate(2, 'a', 4, ip('10.32.0.9'))).toBe('wait');
    cluster.drain();
  });

  test('malformed and unexpected messages are counted', () => {
    const cluster = joined();
    const ipam = ipamOf(cluster, 0);
    ipam.receive(cluster.hosts[1]!.id, new Uint8Array([1, 2, 3]));
    ipam.receive(cluster.hosts[1]!.id, new Uint8Array(20_000));
    expect(ipam.stats().drops['message-malformed']).toBe(2);
  });
});
