import { describe, expect, test } from 'vitest';
import { formatIp, parseCidr } from '../../src/base/address.ts';
import { INHERIT_SETTLE_MS } from '../../src/ipam/holdings.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { blocksOf, held, ipamOf, joined, make } from './scenario.ts';
import { Cluster } from './sim-cluster.ts';

const usable = (cluster: Cluster, host: number) => ipamOf(cluster, host).stats().families[0]!.usable;

/** Cuts all paths between the two groups. */
function partition(cluster: Cluster, left: readonly number[], right: readonly number[]): void {
  for (const a of left) for (const b of right) cluster.cut.add(`${a}-${b}`).add(`${b}-${a}`);
}

function statesOf(cluster: Cluster, host: number): readonly string[] {
  return ipamOf(cluster, host)
    .leases()
    .filter(({ peer }) => peer === cluster.hosts[host]!.id)
    .map(({ state }) => state);
}

describe('a host that an operator removed', () => {
  test('leaves all it owned to the host where that was said, in two seconds, and all agree', () => {
    const cluster = joined({ hosts: 3, range6: 'fd00:1::/48' });
    cluster.allocate(2, 'lost');
    const before = usable(cluster, 0);
    const lost = usable(cluster, 2);
    cluster.crash(2);
    cluster.remove(2, 0);
    cluster.drain();
    expect(usable(cluster, 0)).toBe(before + lost);
    cluster.tick(1_900);
    expect(statesOf(cluster, 0)).toContain('settling');
    cluster.tick(100);
    expect(statesOf(cluster, 0)).not.toContain('settling');
    expect(cluster.hosts[1]!.ipam!.leases().some(({ peer }) => peer === cluster.hosts[2]!.id)).toBe(false);
    cluster.heal();
    cluster.hosts[2]!.held.clear();
    cluster.checkSettled();
  });

  test('that owned everything: the survivor, which had nothing, allocates', () => {
    const cluster = make({ range: '10.32.0.0/29', leasePrefix: 29 });
    cluster.start(1);
    cluster.inFlight = cluster.inFlight.filter(({ payload }) => payload.kind === 'gossip');
    cluster.drain();
    cluster.crash(0);
    for (let second = 0; second < 4; second++) cluster.tick(1000);
    expect(cluster.allocate(1, 'a')).toBe('address-exhausted');
    cluster.remove(0, 1);
    expect(cluster.allocate(1, 'a')).toBe('wait');
    const within = [parseCidr('10.32.0.4/32')!];
    expect(ipamOf(cluster, 1).allocate({ owner: 'b', family: 4, within }).status).toBe('wait');
    cluster.tick(INHERIT_SETTLE_MS);
    expect(ipamOf(cluster, 1).allocate({ owner: 'b', family: 4, within }).status).toBe('ok');
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('and one that took over from it and was removed as well: the third owns it all', () => {
    const cluster = joined({ hosts: 3 });
    cluster.crash(0);
    cluster.remove(0, 1);
    cluster.drain();
    cluster.crash(1);
    cluster.remove(1, 2);
    cluster.drain();
    cluster.tick(INHERIT_SETTLE_MS);
    expect(usable(cluster, 2)).toBe(2 ** 20 - 3);
    cluster.heal();
    cluster.checkSettled();
  });

  test('gave a block in its last moment: its gift counts, however late it is heard of', () => {
    const cluster = joined({ hosts: 3 });
    partition(cluster, [0], [1, 2]);
    const wanted = { family: 4, value: 0x0a20_0005n } as const; // of host 0, which only the path from 1 to 0 reaches
    cluster.cut.delete('0-1');
    cluster.cut.delete('1-0');
    expect(cluster.allocate(1, 'gift', 4, wanted)).toBe('wait');
    cluster.deliverOnly((payload) => payload.kind === 'lease');
    cluster.deliverOnly((payload) => payload.kind === 'lease');
    cluster.inFlight = [];
    partition(cluster, [1], [0, 2]);
    expect(cluster.allocate(1, 'gift', 4, wanted)).toBe('ok');
    cluster.crash(0);
    cluster.remove(0, 2);
    cluster.tick(INHERIT_SETTLE_MS);
    expect(ipamOf(cluster, 2).ownerOf(wanted)).toBe(cluster.hosts[2]!.id); // it has not heard of the gift
    cluster.heal();
    expect(held(cluster, 1, 'gift')).toBe('10.32.0.5');
    for (const host of [1, 2]) expect(ipamOf(cluster, host).ownerOf(wanted)).toBe(cluster.hosts[1]!.id);
    expect(cluster.allocate(2, 'other', 4, wanted)).not.toBe('ok');
    cluster.check();
  });

  test('twice, on both sides of a partition: one side counts, the other stops using it and says so', () => {
    const cluster = joined({ hosts: 3 });
    cluster.crash(0);
    partition(cluster, [1], [2]);
    cluster.remove(0, 1);
    cluster.remove(0, 2);
    cluster.tick(INHERIT_SETTLE_MS);
    for (const host of [1, 2]) {
      expect(cluster.allocate(host, `wish${host}`, 4, { family: 4, value: 0x0a20_0007n })).toBe('ok');
    }
    const bothHold = [1, 2].map((host) => held(cluster, host, `wish${host}`));
    expect(bothHold).toEqual(['10.32.0.7', '10.32.0.7']); // an operator's word, given twice
    cluster.heal();
    const ip = { family: 4, value: 0x0a20_0007n } as const;
    const owners = [1, 2].map((host) => ipamOf(cluster, host).ownerOf(ip));
    expect(owners[0]).toBe(owners[1]);
    const [winner, loser] = owners[0] === cluster.hosts[1]!.id ? [1, 2] : [2, 1];
    expect(statesOf(cluster, loser!)).toContain('disputed');
    expect(statesOf(cluster, winner!)).not.toContain('disputed');
    expect(cluster.hosts[loser!]!.conflicts.map(({ ip: text, owner }) => `${text} ${owner}`)).toEqual([
      `10.32.0.7 wish${loser}`,
    ]);
    expect(cluster.hosts[winner!]!.conflicts).toEqual([]);
    const next = { family: 4, value: 0x0a20_0009n } as const;
    expect(cluster.allocate(loser!, 'after', 4, next)).not.toBe('ok');
    expect(cluster.allocate(winner!, 'after', 4, next)).toBe('ok');
    const reserved = ipamOf(cluster, loser!).reservations();
    expect(reserved.filter(({ conflict }) => conflict).map((row) => formatIp(row.ip))).toEqual(['10.32.0.7']);
  });

  test('is told of twice and restarts in between change nothing', () => {
    const cluster = joined({ hosts: 3 });
    cluster.crash(0);
    cluster.remove(0, 1);
    cluster.heal();
    const blocks = blocksOf(cluster, 1);
    const { ownRecords } = ipamOf(cluster, 1).stats();
    cluster.remove(0, 1);
    cluster.crash(1);
    cluster.start(1);
    cluster.heal();
    expect(blocksOf(cluster, 1)).toEqual(blocks);
    expect(ipamOf(cluster, 1).stats().ownRecords).toBe(ownRecords);
    cluster.checkSettled();
  });
});

describe('a host that knows little', () => {
  test('takes over nothing of which it has not heard how it came to the removed host', () => {
    const cluster = make({ hosts: 3 });
    cluster.cut.add('0-1').add('1-0').add('2-1').add('1-2');
    cluster.start(2);
    cluster.drain();
    cluster.start(1);
    cluster.crash(0);
    cluster.remove(0, 1); // it knows the creator by the genesis only
    cluster.tick(INHERIT_SETTLE_MS);
    expect(blocksOf(cluster, 1)).toEqual([]);
    cluster.heal();
    expect(blocksOf(cluster, 1)).toEqual(['10.32.0.0/13']);
    cluster.checkSettled();
  });

  test("takes over too much: the removed host's gifts count when they are heard of, and what was given on counts no more", () => {
    const cluster = joined({ hosts: 4 });
    const given = blocksOf(cluster, 3)[0]!;
    const ip = { family: 4, value: parseCidr(given)!.base + 9n } as const;
    expect(cluster.allocate(3, 'here', 4, ip)).toBe('ok');
    partition(cluster, [1, 2], [0, 3]);
    cluster.hosts[1]!.maps = new Map([...cluster.hosts[1]!.maps].filter(([author]) => author === cluster.hosts[0]!.id));
    const [first] = cluster.hosts[1]!.maps.get(cluster.hosts[0]!.id)!.records.filter(({ epoch }) => epoch === 1);
    cluster.hosts[1]!.maps.set(cluster.hosts[0]!.id, { version: 0, records: [first!], votes: new Map() }); // of before any gift
    const { store } = cluster.hosts[1]!;
    cluster.hosts[1]!.ipam = null;
    cluster.hosts[1]!.store = new MemoryStore();
    expect(store.entries('ipam/0/lease').length).toBeGreaterThan(0);
    cluster.start(1);
    cluster.crash(0);
    cluster.remove(0, 1);
    cluster.tick(INHERIT_SETTLE_MS);
    expect(ipamOf(cluster, 1).ownerOf(ip)).toBe(cluster.hosts[1]!.id);
    cluster.heal();
    for (const host of [1, 2, 3]) expect(ipamOf(cluster, host).ownerOf(ip)).toBe(cluster.hosts[3]!.id);
    expect(statesOf(cluster, 1)).toContain('disputed');
    expect(cluster.allocate(1, 'there', 4, ip)).not.toBe('ok');
    cluster.check();
  });
});

describe('random clusters in which hosts are removed one after the other', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('lose no block and have one owner for each: seed %i', (seed) => {
    const cluster = new Cluster({ seed, hosts: 6, range: '10.32.0.0/20', leasePrefix: 24 });
    const { random } = cluster;
    for (let step = 0, owners = 0; step < 300; step++) {
      const host = random.below(6);
      const dice = random.fraction();
      if (dice < 0.5) cluster.deliver({ loss: 0.1, repeat: 0.1 });
      else if (dice < 0.7) cluster.allocate(host, `c${owners++}`);
      else if (dice < 0.85) cluster.tick(random.below(1500));
      else if (cluster.hosts[host]!.ipam === null && !cluster.isRemoved(host)) cluster.start(host);
      if (step % 75 === 74) {
        cluster.heal(); // who is removed by an operator is off, and has told everyone what it gave
        const live = cluster.hosts.flatMap(({ ipam }, index) => (ipam === null ? [] : [index]));
        const gone = live[random.below(live.length)]!;
        const by = live.find((index) => index !== gone)!;
        cluster.crash(gone);
        cluster.hosts[gone]!.held.clear();
        cluster.remove(gone, by);
      }
      cluster.check();
    }
    cluster.heal();
    cluster.checkSettled();
  });
});
