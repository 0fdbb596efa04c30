import { describe, expect, test } from 'vitest';
import { formatCidr, formatIp } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import type { GiftId, PeerId } from '../../src/base/ids.ts';
import { leaseSigningBytes } from '../../src/base/record-signing.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import { SETTLE_MS } from '../../src/ipam/holdings.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';
import { Cluster, type ClusterOptions, ip, ownBlocks, quickCrypto } from './sim-cluster.ts';

function make(options: Partial<ClusterOptions> = {}): Cluster {
  return new Cluster({ seed: 1, hosts: 2, range: '10.32.0.0/12', leasePrefix: 24, ...options });
}

function joined(options: Partial<ClusterOptions> = {}): Cluster {
  const cluster = make(options);
  for (let host = 1; host < cluster.hosts.length; host++) {
    cluster.start(host);
    cluster.drain();
  }
  return cluster;
}

function ipamOf(cluster: Cluster, host: number): Ipam {
  return cluster.hosts[host]!.ipam!;
}

function held(cluster: Cluster, host: number, owner: string): string {
  return formatIp(cluster.hosts[host]!.held.get(owner)!);
}

function blocksOf(cluster: Cluster, host: number): string[] {
  return ownBlocks(ipamOf(cluster, host), cluster.hosts[host]!.id).map(formatCidr);
}

function errorOf(ipam: Ipam, owner: string, wanted?: string): FabricError {
  const result = ipam.allocate({ owner, family: 4, ...(wanted === undefined ? {} : { wanted: ip(wanted) }) });
  if (result.status !== 'failed') throw new Error(`allocation of ${owner}: ${result.status}`);
  return result.error;
}

/** A record signed by any host of the cluster, truthful or not. */
function signed(
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
  return { ...unsigned, signature: quickCrypto.ed25519Sign(donor.seed, leaseSigningBytes(unsigned)) };
}

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
});

describe('gifts', () => {
  test('a joiner gets about half in one round trip', () => {
    const cluster = make();
    cluster.start(1);
    const requests = cluster.inFlight.filter(({ payload }) => payload.kind === 'lease');
    expect(requests).toHaveLength(1);
    cluster.drain();
    expect(blocksOf(cluster, 1)).toEqual(['10.40.0.0/13']);
    expect(cluster.allocate(1, 'a')).toBe('ok');
    expect(held(cluster, 1, 'a')).toBe('10.40.0.0');
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

  test('a donor that does not answer is asked again, then the next one', () => {
    const cluster = joined({ hosts: 3, range: '10.32.0.0/20' });
    const late = new Cluster({ seed: 2, hosts: 4, range: '10.32.0.0/20', leasePrefix: 24 });
    for (const host of [1, 2]) {
      late.start(host);
      late.drain();
    }
    late.cut.add('3-0');
    late.start(3);
    late.cut.delete('3-0');
    late.inFlight = [];
    for (let i = 0; i < 4; i++) {
      late.inFlight = late.inFlight.filter(({ to, payload }) => payload.kind === 'gossip' || to !== 1);
      late.drain();
      late.tick(1000);
    }
    late.drain();
    expect(late.allocate(3, 'a')).toBe('ok');
    expect(cluster.allocate(2, 'a')).toBe('ok');
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
    expect(cluster.allocate(1, 'a')).toBe('wait');
    cluster.tick(SETTLE_MS);
    expect(cluster.allocate(1, 'a')).toBe('ok');
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

  test.each(forged)('a claim %s displaces nobody', (_name, forge) => {
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

  test('malformed and unexpected messages are counted', () => {
    const cluster = joined();
    const ipam = ipamOf(cluster, 0);
    ipam.receive(cluster.hosts[1]!.id, new Uint8Array([1, 2, 3]));
    ipam.receive(cluster.hosts[1]!.id, new Uint8Array(20_000));
    expect(ipam.stats().drops['message-malformed']).toBe(2);
  });
});
