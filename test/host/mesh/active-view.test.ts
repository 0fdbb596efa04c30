import { describe, expect, test } from 'vitest';
import { makeEndpoint } from '../../../src/base/endpoint.ts';
import type { PeerId } from '../../../src/base/ids.ts';
import { ActiveView } from '../../../src/host/mesh/active-view.ts';
import type { KnownPeer } from '../../../src/host/mesh/dialler.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const LIMITS = { fullMeshMax: 4, linksMin: 3, linksMax: 5 };

function knownPeer(number: number): KnownPeer {
  const peer = number.toString(16).padStart(32, '0') as PeerId;
  return { peer, endpoints: [makeEndpoint(`192.0.2.${number + 1}`, 6783)!] };
}

function setUp(hosts: number, self = 0) {
  const dead = new Set<PeerId>();
  const known = Array.from({ length: hosts }, (_, number) => knownPeer(number));
  const view = new ActiveView({
    self: known[self]!.peer,
    random: new SeededRandom(self + 1),
    isAlive: (peer) => !dead.has(peer),
    limits: LIMITS,
  });
  view.setKnown(known);
  const dialled = (nowMs: number): PeerId[] => view.choose(nowMs).dial.map(({ peer }) => peer);
  return { view, known: known.map(({ peer }) => peer), dead, dialled };
}

test('a small cluster is a full mesh, and nothing in it is surplus', () => {
  const { view, known, dialled } = setUp(5);
  expect(dialled(0)).toEqual(known);
  for (const peer of known) view.linkUp(peer, 0);
  expect(view.surplus(60_000)).toBeNull();
  expect(view.isSated).toBe(false);
  expect(dialled(60_000)).toEqual(known);
});

test('one host more makes it partial, whether or not we are among those that are known', () => {
  const { view, known } = setUp(6);
  expect(view.isPartial).toBe(true);
  const others = known.slice(1).map((_, index) => knownPeer(index + 1));
  view.setKnown(others);
  expect(view.isPartial).toBe(true);
  view.setKnown(others.slice(1));
  expect(view.isPartial).toBe(false);
});

describe('in a large cluster', () => {
  test('random peers are dialled, two at a time, until there are links enough', () => {
    const { view, known, dialled } = setUp(40);
    const first = dialled(0);
    expect(first).toHaveLength(2);
    expect(dialled(400)).toEqual(first);
    expect(first).not.toContain(known[0]);
    for (const peer of first) view.linkUp(peer, 400);
    const third = dialled(400);
    expect(third).toHaveLength(1);
    view.linkUp(third[0]!, 400);
    expect(dialled(600)).toEqual([]);
    expect(view.isSated).toBe(true);
  });

  test('slow candidates are waited for, and others are tried beside them', () => {
    const { dialled } = setUp(40);
    const first = dialled(0);
    expect(dialled(900)).toEqual(first);
    expect(dialled(1_000)).toHaveLength(4);
    expect(dialled(1_000)).toEqual(expect.arrayContaining(first));
    expect(dialled(2_000)).toHaveLength(6);
    expect(dialled(2_900)).toHaveLength(6);
  });

  test('who does not answer in 3 s makes room for another, is told once, and rests for a minute', () => {
    const { view, dialled } = setUp(8);
    const silent = dialled(0);
    const { dial, unreached } = view.choose(3_000);
    expect(unreached).toEqual(silent);
    expect(dial.some(({ peer }) => silent.includes(peer))).toBe(false);
    for (let nowMs = 3_200; nowMs < 60_000; nowMs += 200) {
      const { dial: later, unreached: told } = view.choose(nowMs);
      for (const peer of silent) {
        expect(later.map((one) => one.peer)).not.toContain(peer);
        expect(told).not.toContain(peer);
      }
      for (const { peer } of later) view.linkUp(peer, nowMs);
    }
  });

  test('the dead are no neighbours to look for, but one is tried now and then', () => {
    const { view, known, dead, dialled } = setUp(40);
    for (const peer of known.slice(20)) dead.add(peer);
    for (let nowMs = 0; !view.isSated; nowMs += 200) for (const peer of dialled(nowMs)) view.linkUp(peer, nowMs);
    const tried = new Set<PeerId>();
    for (let nowMs = 10_000; nowMs < 130_000; nowMs += 200) for (const peer of dialled(nowMs)) tried.add(peer);
    expect(tried.size).toBeGreaterThan(5);
    for (const peer of tried) expect(dead.has(peer)).toBe(true);
  });

  test('one that was thought dead when it was tried is given up without a word, also when it lives by then', () => {
    const { view, known, dead, dialled } = setUp(40);
    for (const peer of known.slice(20)) dead.add(peer);
    for (let nowMs = 0; !view.isSated; nowMs += 200) for (const peer of dialled(nowMs)) view.linkUp(peer, nowMs);
    const tried = new Set<PeerId>();
    for (let nowMs = 10_000; nowMs < 60_000; nowMs += 200) {
      const { dial, unreached } = view.choose(nowMs);
      for (const { peer } of dial) {
        tried.add(peer);
        dead.delete(peer); // a partition has ended, and the peer has answered to its death
      }
      expect(unreached).toEqual([]);
    }
    expect(tried.size).toBeGreaterThan(3);
  });

  test('links above the most are given up one at a time, none of them young, until there are few enough', () => {
    const { view, known } = setUp(40);
    const linked = new Set(known.slice(1, 10));
    for (const peer of linked) view.linkUp(peer, 0);
    expect(view.surplus(2_999)).toBeNull();
    const at: number[] = [];
    for (let nowMs = 3_000; nowMs < 20_000; nowMs += 100) {
      const peer = view.surplus(nowMs);
      if (peer === null) continue;
      expect(linked.delete(peer)).toBe(true);
      view.linkDown(peer, false, nowMs);
      at.push(nowMs);
    }
    expect(linked.size).toBe(LIMITS.linksMax);
    expect(at.slice(1).every((ms, i) => ms - at[i]! >= 500)).toBe(true);
  });

  test('a link that was lost is made anew first of all; one that was given up is not', () => {
    const { view, known, dialled } = setUp(40);
    for (const peer of known.slice(1, 6)) view.linkUp(peer, 0);
    view.linkDown(known[1]!, false, 1_000);
    expect(dialled(1_000)).not.toContain(known[1]);
    view.linkDown(known[2]!, true, 2_000);
    expect(dialled(2_000)).toContain(known[2]);
  });

  test('a peer to whom something is to be sent gets a link, which is kept for a while', () => {
    const { view, known, dialled } = setUp(40);
    const linked = known.slice(1, 7);
    for (const peer of linked) view.linkUp(peer, 0);
    const [wanted] = known.slice(30);
    view.want(wanted!, 5_000);
    expect(dialled(5_000)).toEqual([wanted]);
    view.linkUp(wanted!, 5_000);
    for (let nowMs = 8_000; nowMs < 15_000; nowMs += 500) expect(view.surplus(nowMs)).not.toBe(wanted);
    expect(dialled(16_000)).not.toContain(wanted);
  });
});

test('hosts that start at once end with a connected graph of bounded degree', () => {
  const hosts = Array.from({ length: 60 }, (_, number) => setUp(60, number));
  const linked = hosts.map(() => new Set<number>());
  const indexOf = new Map(hosts[0]!.known.map((peer, index) => [peer, index]));
  for (let nowMs = 0; nowMs < 30_000; nowMs += 200) {
    for (const [one, { view, known }] of hosts.entries()) {
      for (const { peer } of view.choose(nowMs).dial) {
        const other = indexOf.get(peer)!;
        if (linked[one]!.has(other)) continue;
        linked[one]!.add(other);
        linked[other]!.add(one);
        view.linkUp(peer, nowMs);
        hosts[other]!.view.linkUp(known[one]!, nowMs);
      }
      const surplus = view.surplus(nowMs);
      if (surplus === null) continue;
      const other = indexOf.get(surplus)!;
      linked[one]!.delete(other);
      linked[other]!.delete(one);
      view.linkDown(surplus, false, nowMs);
      hosts[other]!.view.linkDown(known[one]!, false, nowMs);
    }
  }
  const reached = new Set([0]);
  for (const one of reached) for (const other of linked[one]!) reached.add(other);
  expect(reached.size).toBe(60);
  for (const { size } of linked) {
    expect(size).toBeGreaterThanOrEqual(LIMITS.linksMin);
    expect(size).toBeLessThanOrEqual(LIMITS.linksMax);
  }
});

describe('a peer without a link for whom something waits', () => {
  test('is news once, and is dialled at once', () => {
    const { view, known } = setUp(40);
    const wanted = known[39]!;
    expect([view.want(wanted, 0), view.want(wanted, 100)]).toEqual([true, false]);
    expect(view.choose(100).dial.find(({ peer }) => peer === wanted)?.isAwaited).toBe(true);
  });

  test('is dialled at once also when it was to be dialled anyway, because its link was lost', () => {
    const { view, known } = setUp(40);
    const lost = known[39]!;
    view.linkUp(lost, 0);
    view.linkDown(lost, true, 0);
    expect(view.choose(0).dial.find(({ peer }) => peer === lost)?.isAwaited).toBe(false);
    expect(view.want(lost, 10)).toBe(true);
    expect(view.choose(10).dial.find(({ peer }) => peer === lost)?.isAwaited).toBe(true);
  });
});
