import { describe, expect, test } from 'vitest';
import { formatIp } from '../../src/base/address.ts';
import { blocksOf, errorOf, held, ipamOf, joined, make } from './scenario.ts';
import { ownBlocks } from './sim-blocks.ts';

describe('gifts', () => {
  test('a joiner gets about half in one round trip', () => {
    const cluster = make();
    cluster.start(1);
    const requests = cluster.inFlight.filter(({ payload }) => payload.kind === 'lease');
    expect(requests).toHaveLength(1);
    cluster.drain();
    expect(blocksOf(cluster, 1)).toEqual(['10.40.0.0/13']);
    expect(cluster.allocate(1, 'a')).toBe('ok');
    expect(held(cluster, 1, 'a')).toBe('10.40.0.1');
    cluster.checkSettled();
  });

  test('a joiner that allocates at once waits, and is told when to try again', () => {
    const cluster = make();
    cluster.start(1);
    expect(cluster.allocate(1, 'a')).toBe('wait');
    const before = cluster.hosts[1]!.changes;
    cluster.drain();
    expect(cluster.hosts[1]!.changes).toBeGreaterThan(before);
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('eight joiners share well, whoever they ask', () => {
    const cluster = joined({ hosts: 8 });
    cluster.checkSettled();
    for (const { id, ipam } of cluster.hosts) {
      const size = ipam!.leases().reduce((total, row) => total + (row.peer === id ? row.size : 0), 0);
      expect(size).toBeGreaterThanOrEqual(2 ** 12);
    }
  });

  test('forty hosts that all join through one get whole lease blocks', () => {
    const cluster = joined({ hosts: 40 });
    cluster.checkSettled();
    for (const host of cluster.hosts.keys()) {
      for (const block of ownBlocks(ipamOf(cluster, host), cluster.hosts[host]!.id)) {
        expect(block.prefix).toBeLessThanOrEqual(24);
      }
    }
  });

  test('a repeated request gets the same gift', () => {
    const cluster = make();
    cluster.start(1);
    const request = cluster.inFlight.find(({ payload }) => payload.kind === 'lease')!;
    for (let i = 0; i < 5; i++) cluster.inFlight.push(request);
    cluster.drain();
    expect(ipamOf(cluster, 0).stats().gifts).toBe(1);
    cluster.checkSettled();
  });

  test('a lost answer arrives by gossip', () => {
    const cluster = make();
    cluster.start(1);
    cluster.deliverOnly((payload) => payload.kind === 'lease'); // the request
    cluster.inFlight = cluster.inFlight.filter(({ payload }) => payload.kind === 'gossip');
    cluster.drain();
    expect(blocksOf(cluster, 1)).toEqual(['10.40.0.0/13']);
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('a donor that does not answer is asked three times, then the next one', () => {
    const cluster = make({ hosts: 3 });
    cluster.start(1);
    cluster.drain();
    cluster.start(2);
    const requests = () => cluster.inFlight.filter(({ from, payload }) => from === 2 && payload.kind === 'lease');
    const silent = requests()[0]!.to;
    const asked: number[] = [];
    for (let second = 0; second < 4; second++) {
      asked.push(...requests().map(({ to }) => to));
      cluster.inFlight = cluster.inFlight.filter(({ to, payload }) => payload.kind === 'gossip' || to !== silent);
      cluster.drain();
      cluster.tick(1000);
    }
    expect(asked).toEqual([silent, silent, silent, 1 - silent]);
    expect(cluster.allocate(2, 'a')).toBe('ok');
    cluster.heal();
    cluster.checkSettled();
  });

  test('the next block is opened, then asked for, before the last address is gone', () => {
    const cluster = joined({ range: '10.32.0.0/24', leasePrefix: 28 });
    const own = () => ipamOf(cluster, 1).stats().families[0]!.usable;
    const before = own();
    let neverWaited = true;
    for (let i = 0; i < 150; i++) {
      neverWaited &&= cluster.allocate(1, `c${i}`) === 'ok';
      cluster.drain();
    }
    expect(neverWaited).toBe(true);
    expect(own()).toBeGreaterThan(before);
    cluster.checkSettled();
  });

  test('exhaustion names who owns what and who refused', () => {
    const cluster = joined({ range: '10.32.0.0/29', leasePrefix: 30 });
    for (let i = 0; i < 8; i++) {
      for (const host of [0, 1]) {
        cluster.allocate(host, `c${host}-${i}`);
        cluster.drain();
      }
    }
    expect([0, 1].flatMap((host) => [...cluster.hosts[host]!.held.values()].map(formatIp)).sort()).toEqual([
      '10.32.0.2',
      '10.32.0.3',
      '10.32.0.4',
      '10.32.0.5',
      '10.32.0.6',
    ]);
    const error = errorOf(ipamOf(cluster, 0), 'one-more');
    expect(error.code).toBe('address-exhausted');
    expect(error.message).toContain(`${cluster.hosts[1]!.id} has no free address to give`);
    expect(error.message).toContain('this host owns');
    expect(ipamOf(cluster, 0).obstacle()?.code).toBe('address-exhausted');
    cluster.release(1, [...cluster.hosts[1]!.held.keys()][0]!);
    cluster.release(1, [...cluster.hosts[1]!.held.keys()][0]!);
    cluster.tick(4000);
    cluster.allocate(0, 'one-more');
    cluster.drain();
    expect(cluster.allocate(0, 'one-more')).toBe('ok'); // one of the two that the other host freed
    cluster.checkSettled();
  });

  test('hosts without any peer fail at once', () => {
    const cluster = make();
    cluster.cut.add('1-0').add('0-1');
    cluster.start(1);
    expect(errorOf(ipamOf(cluster, 1), 'a').message).toContain('no peer is connected');
    cluster.cut.clear();
    ipamOf(cluster, 1).linked(cluster.hosts[0]!.id);
    cluster.drain();
    expect(cluster.allocate(1, 'a')).toBe('ok');
  });

  test('an IPv6 range of four addresses serves two hosts', () => {
    const cluster = joined({ range6: 'fd00:1::/126', leasePrefix6: 126 });
    expect(cluster.allocate(0, 'a', 6)).toBe('ok');
    expect(cluster.allocate(1, 'b', 6)).toBe('ok');
    expect([held(cluster, 0, 'a'), held(cluster, 1, 'b')].sort()).toEqual(['fd00:1::2', 'fd00:1::3']);
    cluster.allocate(1, 'c', 6);
    cluster.drain();
    expect(cluster.allocate(1, 'c', 6)).toBe('address-exhausted');
  });

  test('a partition lets both sides allocate fifty without duplicates', () => {
    const cluster = joined({ range6: 'fd00:1::/48' });
    cluster.cut.add('0-1').add('1-0');
    for (let i = 0; i < 50; i++) {
      for (const host of [0, 1])
        expect([cluster.allocate(host, `c${i}`), cluster.allocate(host, `d${i}`, 6)]).toEqual(['ok', 'ok']);
    }
    cluster.heal();
    cluster.checkSettled();
    expect(cluster.hosts[0]!.held.size + cluster.hosts[1]!.held.size).toBe(200);
  });
});
