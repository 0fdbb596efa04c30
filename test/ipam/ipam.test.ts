import { describe, expect, test } from 'vitest';
import { formatIp } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import { SETTLE_MS } from '../../src/ipam/holdings.ts';
import { blocksOf, errorOf, held, ipamOf, joined, make } from './scenario.ts';
import { ip } from './sim-blocks.ts';
import type { Cluster } from './sim-cluster.ts';

describe('allocation', () => {
  test('starts behind the gateway and goes upwards', () => {
    const cluster = make();
    expect(['a', 'b', 'c'].map((owner) => cluster.allocate(0, owner))).toEqual(['ok', 'ok', 'ok']);
    expect(['a', 'b', 'c'].map((owner) => held(cluster, 0, owner))).toEqual(['10.32.0.2', '10.32.0.3', '10.32.0.4']);
  });

  test('gives an owner the address that it has', () => {
    const cluster = make();
    cluster.allocate(0, 'a');
    const before = held(cluster, 0, 'a');
    cluster.allocate(0, 'a');
    expect(held(cluster, 0, 'a')).toBe(before);
    expect(ipamOf(cluster, 0).reservations()).toHaveLength(1);
  });

  test('gives one owner several addresses on wish, and frees all of them', () => {
    const cluster = make({ range6: 'fd00:1::/48' });
    cluster.allocate(0, 'a');
    cluster.allocate(0, 'a', 6);
    cluster.allocate(0, 'a', 4, ip('10.32.7.7'));
    expect(
      ipamOf(cluster, 0)
        .reservations()
        .map(({ ip }) => formatIp(ip)),
    ).toEqual(['10.32.0.2', '10.32.7.7', 'fd00:1::2']);
    expect(ipamOf(cluster, 0).release('a')).toHaveLength(3);
    expect(ipamOf(cluster, 0).release('a')).toHaveLength(0);
    expect(ipamOf(cluster, 0).reservations()).toHaveLength(0);
  });

  test.each([
    ['10.32.0.0', 'address-invalid'],
    ['10.32.0.1', 'address-invalid'],
    ['10.47.255.255', 'address-invalid'],
    ['192.0.2.1', 'address-invalid'],
    ['fd00::1', 'address-invalid'],
    ['10.32.0.2', 'address-in-use'],
  ])('refuses the wish for %s: %s', (wanted, code) => {
    const cluster = make();
    cluster.allocate(0, 'a');
    expect(errorOf(ipamOf(cluster, 0), 'b', wanted).code).toBe(code);
  });

  test('the .0 and .255 inside the range are ordinary addresses', () => {
    const cluster = make();
    for (const wanted of ['10.32.0.255', '10.32.1.0']) expect(cluster.allocate(0, wanted, 4, ip(wanted))).toBe('ok');
  });

  test('without an IPv6 range says so', () => {
    const result = ipamOf(make(), 0).allocate({ owner: 'a', family: 6 });
    expect(result.status === 'failed' && result.error.code).toBe('address-invalid');
  });

  test('reuses a freed address only after all others and a minute', () => {
    const cluster = make({ range: '10.32.0.0/29', leasePrefix: 29 });
    for (const owner of ['a', 'b', 'c', 'd']) cluster.allocate(0, owner);
    cluster.release(0, 'b');
    cluster.release(0, 'a');
    cluster.allocate(0, 'e');
    expect(held(cluster, 0, 'e')).toBe('10.32.0.6');
    cluster.allocate(0, 'f'); // everything else is in use: the one freed longest ago
    expect(held(cluster, 0, 'f')).toBe('10.32.0.3');
    cluster.release(0, 'c');
    cluster.tick(60_000);
    cluster.allocate(0, 'g'); // both rested: next-fit goes on behind .3
    expect(held(cluster, 0, 'g')).toBe('10.32.0.4');
  });

  test('goes on behind the last address after a restart', () => {
    const cluster = make();
    for (const owner of ['a', 'b', 'c']) cluster.allocate(0, owner);
    cluster.release(0, 'b');
    cluster.crash(0);
    cluster.start(0);
    cluster.allocate(0, 'd');
    expect(held(cluster, 0, 'd')).toBe('10.32.0.5');
    cluster.allocate(0, 'a');
    expect(held(cluster, 0, 'a')).toBe('10.32.0.2');
  });

  test('a stopped host refuses with the given reason, and resumes', () => {
    const cluster = joined();
    const clone = new FabricError('identity-clone', { what: 'another host has this identity' });
    ipamOf(cluster, 0).setAllocating(clone);
    expect(errorOf(ipamOf(cluster, 0), 'a')).toBe(clone);
    expect(ipamOf(cluster, 0).ready()).toBe(false);
    ipamOf(cluster, 0).setAllocating(null);
    expect(cluster.allocate(0, 'a')).toBe('ok');
  });

  test('addresses found in use are kept from others', () => {
    const cluster = joined();
    const ipam = ipamOf(cluster, 0);
    expect(ipam.adoptReserved(ip('10.32.0.2'), 'running')).toBe('adopted');
    expect(ipam.adoptReserved(ip('10.32.0.2'), 'running')).toBe('known');
    expect(ipam.adoptReserved(ip('10.47.0.2'), 'elsewhere')).toBe('conflict');
    expect(ipam.adoptReserved(ip('192.0.2.1'), 'outside')).toBe('refused');
    cluster.allocate(0, 'a');
    expect(held(cluster, 0, 'a')).toBe('10.32.0.3');
    expect(cluster.hosts[0]!.conflicts.map(({ ip, owner }) => [ip, owner])).toEqual([['10.47.0.2', 'elsewhere']]);
  });

  test('an owner gives up what it lost and keeps the rest', () => {
    const cluster = joined();
    const ipam = ipamOf(cluster, 0);
    ipam.adoptReserved(ip('10.32.0.2'), 'host');
    ipam.adoptReserved(ip('10.47.0.2'), 'host');
    expect(ipam.release('host', 'lost')).toEqual([ip('10.47.0.2')]);
    expect(ipam.release('host', 'lost')).toEqual([]);
    expect(ipam.reservations()).toEqual([{ ip: ip('10.32.0.2'), owner: 'host', conflict: false }]);
  });
});

describe('an address of another host', () => {
  test('is asked of its owner and given when it is free', () => {
    const cluster = joined();
    expect(cluster.allocate(0, 'a', 4, ip('10.40.0.9'))).toBe('wait');
    cluster.drain();
    expect(cluster.allocate(0, 'a', 4, ip('10.40.0.9'))).toBe('ok');
    expect(ipamOf(cluster, 1).ownerOf(ip('10.40.0.9'))).toBe(cluster.hosts[0]!.id);
    for (let i = 0; i < 20; i++) cluster.allocate(1, `c${i}`);
    cluster.checkSettled();
  });

  test.each([
    ['in use', (cluster: Cluster) => void cluster.allocate(1, 'b', 4, ip('10.40.0.9')), 'address-in-use'],
    ['out of reach', (cluster: Cluster) => void cluster.cut.add('0-1'), 'address-foreign'],
  ])('is refused when it is %s', (_name, prepare, code) => {
    const cluster = joined();
    prepare(cluster);
    cluster.allocate(0, 'a', 4, ip('10.40.0.9'));
    cluster.drain();
    expect(cluster.allocate(0, 'a', 4, ip('10.40.0.9'))).toBe(code);
  });
});

describe('leaving', () => {
  test('a host gives everything back and knows when it arrived', () => {
    const cluster = joined();
    cluster.allocate(1, 'a');
    expect(() => ipamOf(cluster, 1).surrender(cluster.hosts[0]!.id)).toThrow('in use');
    cluster.release(1, 'a');
    const gifts = ipamOf(cluster, 1).surrender(cluster.hosts[0]!.id);
    expect(gifts.map(({ cidr }) => cidr)).toEqual(['10.40.0.0/13']);
    expect(gifts.every((gift) => ipamOf(cluster, 1).isConfirmed(gift))).toBe(false);
    cluster.drain();
    expect(gifts.every((gift) => ipamOf(cluster, 1).isConfirmed(gift))).toBe(true);
    cluster.tick(SETTLE_MS);
    expect(blocksOf(cluster, 0)).toEqual(['10.32.0.0/12']);
    cluster.checkSettled();
  });

  test('many gifts and returns leave few records', () => {
    const cluster = joined({ range: '10.32.0.0/20' });
    for (let round = 0; round < 40; round++) {
      ipamOf(cluster, 1).surrender(cluster.hosts[0]!.id);
      cluster.drain();
      cluster.tick(SETTLE_MS);
      ipamOf(cluster, 1).setAllocating(null);
      cluster.tick(1000);
      cluster.drain();
    }
    cluster.checkSettled();
    for (const { ipam } of cluster.hosts) expect(ipam!.stats().ownRecords).toBeLessThan(12);
  });

  test('a hundred single addresses that come back become few records', () => {
    const cluster = joined({ range: '10.32.0.0/20' });
    for (let i = 0; i < 100; i++) {
      const wanted = { family: 4 as const, value: ip('10.32.2.0').value + BigInt(i) };
      cluster.allocate(1, `c${i}`, 4, wanted);
      cluster.drain();
      expect(cluster.allocate(1, `c${i}`, 4, wanted)).toBe('ok');
    }
    expect(ipamOf(cluster, 0).stats().ownRecords).toBeGreaterThan(100);
    for (let i = 0; i < 100; i++) cluster.release(1, `c${i}`);
    ipamOf(cluster, 1).surrender(cluster.hosts[0]!.id);
    cluster.drain();
    cluster.checkSettled();
    expect(ipamOf(cluster, 0).stats().ownRecords).toBeLessThan(20);
  });
});
