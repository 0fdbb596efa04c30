import { describe, expect, test } from 'vitest';
import { formatIp, parseCidr } from '../../src/base/address.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import type { AttachmentRecord } from '../../src/base/records.ts';
import type { TableChange } from '../../src/router/datapath.ts';
import { Routes } from '../../src/router/routes.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const A = 'a'.repeat(32) as PeerId;
const B = 'b'.repeat(32) as PeerId;
const C = 'c'.repeat(32) as PeerId;
const GATEWAY_MAC = '02:00:00:00:00:01' as Mac;
const mac = (n: number) => `0a:00:00:00:00:${n.toString(16).padStart(2, '0')}` as Mac;

/** Applies changes as a datapath does, so that tests compare tables and not the way there. */
class Tables {
  readonly macs = new Map<string, string>();
  readonly neighbours = new Map<string, string>();

  apply(changes: readonly TableChange[]): void {
    for (const change of changes) {
      if (change.kind === 'mac') this.macs.set(change.mac, change.to);
      else if (change.kind === 'mac-gone') this.macs.delete(change.mac);
      else if (change.kind === 'neighbour') this.neighbours.set(change.ip, change.mac);
      else if (change.kind === 'neighbour-gone') this.neighbours.delete(change.ip);
    }
  }
}

function setUp(owners: Record<string, PeerId> = {}) {
  const tables = new Tables();
  const clock = new ManualClock();
  const dead = new Set<PeerId>();
  const moved: string[] = [];
  const routes = new Routes({
    nowMs: () => clock.monotonicMs(),
    self: A,
    networks: [
      {
        network: DEFAULT_VNI,
        range: parseCidr('10.32.0.0/12')!,
        range6: parseCidr('fd00::/48')!,
        gatewayMac: GATEWAY_MAC,
        gatewayIps: ['10.32.0.1', 'fd00::1'],
      },
    ],
    ownerOf: (_network, ip) => owners[formatIp(ip)] ?? null,
    isAlive: (peer) => !dead.has(peer),
    apply: (changes) => tables.apply(changes),
    moved: (_network, what, at) => void moved.push(`${what} ${at}`),
  });
  return { routes, tables, dead, clock, moved };
}

function record(macNumber: number, ips: readonly string[], sequence = 0): AttachmentRecord {
  return { network: DEFAULT_VNI, mac: mac(macNumber), ips, sequence, name: '', kind: 'container' };
}

describe('routes', () => {
  test('an entry is as old as its way: a change of addresses leaves it, a change of host begins anew', () => {
    const { routes, clock } = setUp({ '10.32.1.2': A, '10.32.1.3': A, '10.40.1.2': B });
    const since = (): number | null => routes.installedSinceMs(DEFAULT_VNI, mac(1));
    expect(since()).toBeNull();
    const startMs = clock.monotonicMs();
    routes.claim(A, record(1, ['10.32.1.2']));
    clock.advance(1_000);
    routes.claim(A, record(1, ['10.32.1.3']));
    expect(since()).toBe(startMs);
    routes.claim(B, record(1, ['10.40.1.2'], 1));
    expect(since()).toBe(startMs + 1_000);
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    routes.withdraw(A, DEFAULT_VNI, mac(1));
    expect(since()).toBeNull();
  });

  test('a claim enters the tables and leaves them when withdrawn', () => {
    const { routes, tables } = setUp({ '10.32.1.2': B });
    routes.claim(B, record(1, ['10.32.1.2', 'fe80::1']));
    expect(tables.macs.get(mac(1))).toBe(B);
    expect(tables.neighbours.get('10.32.1.2')).toBe(mac(1));
    expect(tables.neighbours.get('fe80::1')).toBe(mac(1));
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    expect(tables.macs.size + tables.neighbours.size).toBe(0);
  });

  test.each([
    ['the gateway address', record(1, ['10.32.0.1']), "10.32.0.1 is the gateway's address"],
    ['the anycast MAC', { ...record(1, []), mac: GATEWAY_MAC }, "the MAC is the gateway's"],
    ['a group MAC', { ...record(1, []), mac: '01:00:5e:00:00:01' as Mac }, 'the MAC is a group address'],
    ['a loopback address', record(1, ['127.0.0.1']), '127.0.0.1 is no address of an interface'],
    ['a multicast address', record(1, ['ff02::1']), 'ff02::1 is no address of an interface'],
    ['an address of another host', record(1, ['10.32.2.2']), `10.32.2.2 lies in a block that ${C} owns`],
    ['an address of nobody', record(1, ['10.32.3.3']), '10.32.3.3 lies in a block that nobody known owns'],
    ['another network', { ...record(1, []), network: 5 as typeof DEFAULT_VNI }, 'this host is not on that network'],
  ])('a claim on %s is refused', (_name, claim, reason) => {
    const { routes, tables } = setUp({ '10.32.2.2': C });
    routes.claim(B, claim);
    expect(tables.macs.size + tables.neighbours.size).toBe(0);
    expect(routes.list()[0]).toMatchObject({ state: 'refused', reason });
  });

  test('the lease that arrives after the claim admits it', () => {
    const owners: Record<string, PeerId> = {};
    const { routes, tables } = setUp(owners);
    routes.claim(B, record(1, ['10.32.1.2']));
    expect(tables.macs.size).toBe(0);
    owners['10.32.1.2'] = B;
    routes.reconsider(B);
    expect(tables.macs.get(mac(1))).toBe(B);
  });

  test('a claim that came before the records that prove it is believed when they are there, and the old one no more', () => {
    const owners: Record<string, PeerId> = { '10.32.1.2': C };
    const { routes, tables } = setUp(owners);
    routes.claim(C, record(1, ['10.32.1.2']));
    routes.claim(B, record(2, ['10.32.1.2']));
    expect(tables.neighbours.get('10.32.1.2')).toBe(mac(1));
    owners['10.32.1.2'] = B;
    routes.ownersChanged([C]);
    expect([...tables.macs]).toEqual([[mac(2), B]]);
    expect(tables.neighbours.get('10.32.1.2')).toBe(mac(2));
  });

  test('a dead host leaves the tables and returns', () => {
    const { routes, tables, dead } = setUp({ '10.32.1.2': B });
    routes.claim(B, record(1, ['10.32.1.2']));
    dead.add(B);
    routes.reconsider(B);
    expect(tables.macs.size + tables.neighbours.size).toBe(0);
    expect(routes.list()[0]!.state).toBe('stale');
    dead.delete(B);
    routes.reconsider(B);
    expect(tables.neighbours.get('10.32.1.2')).toBe(mac(1));
  });

  test('an address that a new MAC takes before the old one is withdrawn keeps an answer', () => {
    const { routes, tables } = setUp({ '10.32.1.2': B });
    routes.claim(B, record(1, ['10.32.1.2']));
    routes.claim(B, record(2, ['10.32.1.2']));
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    expect(tables.neighbours.get('10.32.1.2')).toBe(mac(2));
  });

  test('of two claims on one MAC the higher sequence wins, then the lower peer id', () => {
    const { routes, tables } = setUp();
    routes.claim(C, record(1, [], 0));
    routes.claim(B, record(1, [], 0));
    expect(tables.macs.get(mac(1))).toBe(B);
    routes.claim(C, record(1, [], 1));
    expect(tables.macs.get(mac(1))).toBe(C);
    expect(routes.ownerOfMac(DEFAULT_VNI, mac(1))).toBe(C);
    expect(routes.list().find((route) => route.peer === B)!.state).toBe('duplicate');
  });

  test('what a host has attached wins over what a bridge has learned, whatever the sequences', () => {
    const { routes, tables } = setUp();
    routes.claim(C, { ...record(1, [], 9), kind: 'foreign' });
    routes.claim(B, record(1, [], 0));
    expect(tables.macs.get(mac(1))).toBe(B);
    routes.claim(C, { ...record(1, [], 10), kind: 'foreign' });
    expect(tables.macs.get(mac(1))).toBe(B);
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    expect(tables.macs.get(mac(1))).toBe(C);
  });

  test('one own claim is local', () => {
    const { routes, tables } = setUp({ '10.32.1.2': A });
    routes.claim(A, record(1, ['10.32.1.2']));
    expect(tables.macs.get(mac(1))).toBe('local');
  });

  test('any order of claims and withdrawals ends in the tables that a fresh start builds', () => {
    const owners: Record<string, PeerId> = {};
    const ips = Array.from({ length: 6 }, (_, i) => `10.32.1.${i + 2}`);
    for (const [i, ip] of ips.entries()) owners[ip] = [A, B, C][i % 3]!;
    for (let seed = 0; seed < 200; seed++) {
      const random = new SeededRandom(seed);
      const { routes, tables, dead } = setUp(owners);
      const left = new Map<string, { author: PeerId; record: AttachmentRecord }>();
      for (let step = 0; step < 60; step++) {
        const author = [A, B, C][random.below(3)]!;
        const claim = record(random.below(5), random.below(4) === 0 ? [] : [ips[random.below(6)]!], random.below(3));
        const key = `${author}/${claim.mac}`;
        if (random.below(3) === 0) {
          routes.withdraw(author, DEFAULT_VNI, claim.mac);
          left.delete(key);
        } else {
          routes.claim(author, claim);
          left.set(key, { author, record: claim });
        }
        if (random.below(10) === 0) {
          if (!dead.delete(author)) dead.add(author);
          routes.reconsider(author);
        }
      }
      const inDoubt = routes.list().filter(({ state }) => state === 'refused' || state === 'duplicate');
      expect(new Set(routes.doubted())).toEqual(new Set(inDoubt));
      expect(routes.size).toBe(new Set(routes.list().map((route) => route.mac)).size);
      const rebuilt = new Tables();
      rebuilt.apply(routes.tables());
      expect(rebuilt).toEqual(tables);
      const fresh = setUp(owners);
      for (const peer of dead) fresh.dead.add(peer);
      for (const { author, record: claim } of left.values()) fresh.routes.claim(author, claim);
      expect(fresh.tables.macs).toEqual(tables.macs);
      expect(new Set(fresh.tables.neighbours.keys())).toEqual(new Set(tables.neighbours.keys()));
    }
  });
});

describe('claims in doubt', () => {
  test('are those that are refused or beaten, as long as they are', () => {
    const owners: Record<string, PeerId> = { '10.32.1.2': C };
    const { routes } = setUp(owners);
    routes.claim(B, record(1, ['10.32.1.2']));
    expect(routes.doubted()).toMatchObject([{ peer: B, state: 'refused' }]);
    owners['10.32.1.2'] = B;
    routes.reconsiderAll();
    expect(routes.doubted()).toEqual([]);
    routes.claim(A, record(1, [], 3));
    expect(routes.doubted()).toMatchObject([{ peer: B, state: 'duplicate' }]);
    routes.withdraw(A, DEFAULT_VNI, mac(1));
    expect(routes.doubted()).toEqual([]);
  });

  test('of a dead host are none', () => {
    const { routes, dead } = setUp({ '10.32.1.2': B });
    routes.claim(B, record(1, ['10.32.1.2']));
    dead.add(B);
    routes.reconsider(B);
    expect([routes.doubted(), routes.list()[0]?.state]).toEqual([[], 'stale']);
  });
});

describe('addresses that no lease covers, as foreign IPAM plugins choose them', () => {
  const outside = (macNumber: number) => record(macNumber, ['198.51.100.7', 'fe80::9']);

  test('one claim enters the tables like any other', () => {
    const { routes, tables } = setUp();
    routes.claim(B, outside(1));
    expect(tables.macs.get(mac(1))).toBe(B);
    expect(tables.neighbours.get('198.51.100.7')).toBe(mac(1));
    expect(routes.holderOfFreeAddress(DEFAULT_VNI, '198.51.100.7')).toEqual({ author: B, mac: mac(1) });
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    expect([tables.macs.size, tables.neighbours.size]).toEqual([0, 0]);
    expect(routes.holderOfFreeAddress(DEFAULT_VNI, '198.51.100.7')).toBeNull();
  });

  test.each([['in order'], ['in reverse']])('of two live claims one is a duplicate, reported, the same %s', (order) => {
    const { routes, tables } = setUp();
    const claims: [PeerId, AttachmentRecord][] = [
      [B, outside(2)],
      [C, outside(1)],
    ];
    for (const [author, claim] of order === 'in order' ? claims : claims.toReversed()) routes.claim(author, claim);
    expect(tables.neighbours.get('198.51.100.7')).toBe(mac(2));
    expect(tables.macs.has(mac(1))).toBe(false);
    expect(routes.list().find((route) => route.peer === C)).toMatchObject({
      state: 'duplicate',
      reason: `${B} holds 198.51.100.7 already, with the MAC ${mac(2)}`,
    });
  });

  test('the duplicate takes over when the holder withdraws, changes its addresses or dies', () => {
    for (const way of ['withdraw', 'change', 'die']) {
      const { routes, tables, dead } = setUp();
      routes.claim(B, outside(2));
      routes.claim(C, outside(1));
      if (way === 'withdraw') routes.withdraw(B, DEFAULT_VNI, mac(2));
      else if (way === 'change') routes.claim(B, record(2, ['198.51.100.8']));
      else {
        dead.add(B);
        routes.reconsider(B);
      }
      expect([way, tables.neighbours.get('198.51.100.7')]).toEqual([way, mac(1)]);
      expect(tables.macs.get(mac(1))).toBe(C);
    }
  });

  test('a host that comes back to life has its address again', () => {
    const { routes, tables, dead } = setUp();
    dead.add(B);
    routes.claim(B, outside(2));
    routes.claim(C, outside(1));
    expect(tables.neighbours.get('198.51.100.7')).toBe(mac(1));
    dead.delete(B);
    routes.reconsider(B);
    expect(tables.neighbours.get('198.51.100.7')).toBe(mac(2));
    expect(tables.macs.has(mac(1))).toBe(false);
  });
});

describe('moves', () => {
  const foreign = (sequence: number): AttachmentRecord => ({ ...record(1, [], sequence), kind: 'foreign' });

  test('the sequence of a claim of ours is above all that were seen, and stays what it was', () => {
    const { routes, dead } = setUp();
    const next = (): number => routes.nextSequence(DEFAULT_VNI, mac(1));
    expect(next()).toBe(0);
    routes.claim(B, record(1, [], 4));
    dead.add(B);
    routes.reconsider(B);
    expect(next()).toBe(5);
    routes.claim(A, record(1, [], 5));
    routes.claim(C, record(1, [], 8));
    expect(next()).toBe(5);
    for (const author of [A, B, C]) routes.withdraw(author, DEFAULT_VNI, mac(1));
    expect(next()).toBe(9);
  });

  test('of MACs and addresses from host to host are told; what stays or is new is none', () => {
    const { routes, moved } = setUp({ '10.32.1.2': B, '198.51.100.7': B });
    routes.claim(B, record(1, ['10.32.1.2', 'fe80::1']));
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    routes.claim(B, record(1, ['10.32.1.2']));
    expect(moved).toEqual([]);
    routes.claim(C, record(1, [], 1));
    expect(moved).toEqual([`${mac(1)} ${C}`]);
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    routes.claim(B, record(2, ['198.51.100.7']));
    routes.withdraw(B, DEFAULT_VNI, mac(2));
    routes.claim(C, record(3, ['198.51.100.7']));
    expect(moved.slice(1)).toEqual([`198.51.100.7 ${C}`]);
  });

  test('an address is remembered as long as neighbours may know it by a MAC', () => {
    const { routes } = setUp({ '10.32.1.2': B });
    const remembered = (): boolean => routes.isRemembered(DEFAULT_VNI, '10.32.1.2');
    expect(remembered()).toBe(false);
    routes.claim(B, record(1, ['10.32.1.2']));
    expect(remembered()).toBe(true);
    routes.withdraw(B, DEFAULT_VNI, mac(1));
    expect(remembered()).toBe(true);
  });

  test('a device may be claimed where it speaks, unless a host attached its MAC, it is ours, or it moves too often', () => {
    const { routes, clock } = setUp();
    const may = (): boolean => routes.mayClaimDevice(DEFAULT_VNI, mac(1));
    expect(may()).toBe(true);
    routes.claim(B, foreign(0));
    expect(may()).toBe(true);
    routes.claim(C, record(1, []));
    expect(may()).toBe(false);
    routes.withdraw(C, DEFAULT_VNI, mac(1));
    routes.claim(A, foreign(1));
    expect(may()).toBe(false);
    clock.advance(200_000);
    for (let sequence = 2; sequence < 7; sequence++) routes.claim(sequence % 2 === 0 ? B : C, foreign(sequence));
    expect(may()).toBe(false);
    clock.advance(180_000);
    expect(may()).toBe(true);
  });
});
