import { describe, expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { GossipSim, type NetworkFaults, type SimHost } from './gossip-sim.ts';

/** Every host's replica and every host's event view equal what the authors themselves hold. */
function expectAgreement(sim: GossipSim): void {
  for (const author of sim.hosts) {
    const truth = author.gossip.entries(author.peer).map(([key, value]) => [key, toHex(value)]);
    for (const host of sim.hosts) {
      const replica = host.gossip.entries(author.peer).map(([key, value]) => [key, toHex(value)]);
      expect(replica).toEqual(truth);
      if (host !== author) expect(sortedView(host, author.peer)).toEqual(truth);
    }
  }
}

function sortedView(host: SimHost, author: PeerId): string[][] {
  return [...(host.view.get(author) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

function hosts(sim: GossipSim, count: number): readonly SimHost[] {
  return Array.from({ length: count }, (_, number) => {
    const host = sim.addHost(number);
    host.gossip.put('peer', utf8(`host ${number}`));
    return host;
  });
}

function sent(all: readonly SimHost[], type: string): number {
  return all.reduce((sum, { gossip }) => sum + (gossip.stats().messagesSent[type] ?? 0), 0);
}

const GRAPHS: readonly [string, (sim: GossipSim) => void, number][] = [
  ['a full mesh', (sim) => sim.connectAll(), 2_000],
  ['a ring', (sim) => sim.connectRing(), 5_000],
  ['a line', (sim) => sim.connectLine(), 5_000],
];

describe('convergence', () => {
  test.each(GRAPHS)('in %s of 12 hosts a change reaches everybody', (_name, connect, withinMs) => {
    const sim = new GossipSim(1);
    const all = hosts(sim, 12);
    connect(sim);
    expect(sim.runUntilConverged(withinMs)).not.toBeNull();
    all[3]!.gossip.put('at/0/02:00:00:00:00:01', utf8('10.32.0.1'));
    expect(sim.runUntilConverged(withinMs)).not.toBeNull();
    all[3]!.gossip.remove('at/0/02:00:00:00:00:01');
    expect(sim.runUntilConverged(withinMs)).not.toBeNull();
    expectAgreement(sim);
  });

  test('the second change of an author crosses a line without waiting: the path was grafted', () => {
    const sim = new GossipSim(2);
    const all = hosts(sim, 8);
    sim.connectLine();
    sim.run(10_000);
    all[0]!.gossip.put('first', utf8('1'));
    sim.run(10_000);
    all[0]!.gossip.put('second', utf8('2'));
    sim.run(7 * sim.faults.latencyMs.max);
    expect(sim.converged()).toBe(true);
  });

  const FAULTS: readonly [string, Partial<NetworkFaults>][] = [
    ['loss', { loss: 0.3 }],
    ['duplicates and reordering', { duplicate: 0.3, reorder: true, latencyMs: { min: 1, max: 400 } }],
    ['links that take one message at a time', { slow: true }],
    ['flipped bits', { corrupt: 0.3 }],
    [
      'everything',
      { loss: 0.2, duplicate: 0.2, reorder: true, corrupt: 0.1, slow: true, latencyMs: { min: 1, max: 200 } },
    ],
  ];

  test.each(FAULTS)('random changes under %s', (_name, faults) => {
    for (let seed = 1; seed <= 4; seed++) {
      const sim = new GossipSim(seed);
      const all = hosts(sim, 7);
      Object.assign(sim.faults, faults);
      sim.connectRing();
      sim.connect(all[0]!, all[3]!);
      for (let step = 0; step < 60; step++) {
        const host = all[sim.random.below(all.length)]!;
        const key = `at/0/${sim.random.below(12)}`;
        if (sim.random.fraction() < 0.3) host.gossip.remove(key);
        else host.gossip.put(key, sim.random.bytes(sim.random.below(60)));
        sim.run(sim.random.below(300));
      }
      Object.assign(sim.faults, { loss: 0, corrupt: 0 });
      expect(sim.runUntilConverged(60_000), `seed ${seed}`).not.toBeNull();
      expectAgreement(sim);
    }
  });

  test('a partition heals within two digest periods, both sides having written', () => {
    const sim = new GossipSim(3);
    const all = hosts(sim, 10);
    sim.connectAll();
    sim.run(3_000);
    for (const a of all.slice(0, 5)) for (const b of all.slice(5)) sim.disconnect(a, b);
    for (const host of all) host.gossip.put('while/apart', utf8(host.peer));
    sim.run(30_000);
    expect(sim.converged()).toBe(false);
    sim.connect(all[4]!, all[5]!);
    expect(sim.runUntilConverged(5_000)).not.toBeNull();
    expectAgreement(sim);
  });

  test.each([
    ['a full mesh of 11', 11, 10],
    ['24 hosts with 6 links each', 24, 6],
  ])('in %s the first change floods and leaves a tree: later ones are pushed once per host', (_name, count, degree) => {
    const sim = new GossipSim(4, { times: { reconcileMs: 1_000_000 } });
    const all = hosts(sim, count);
    for (let i = 0; i < count; i++) {
      for (let step = 1; step <= degree / 2; step++) sim.connect(all[i]!, all[(i + step * step) % count]!);
    }
    expect(sim.runUntilConverged(20_000)).not.toBeNull();
    sim.run(5_000);
    const pushes: number[] = [];
    for (let change = 0; change < 5; change++) {
      const before = sent(all, 'states');
      const announced = sent(all, 'have');
      all[7]!.gossip.put('at/0/x', utf8(`${change}`));
      expect(sim.runUntilConverged(100)).toBeLessThanOrEqual(50);
      sim.run(2_000);
      pushes.push(sent(all, 'states') - before);
      expect(sent(all, 'have') - announced).toBeLessThanOrEqual(count * degree);
    }
    expect(pushes[0]).toBeLessThanOrEqual(count * degree);
    expect(pushes.at(-1)).toBe(count - 1);
  });

  test('with a third of the messages late by a retransmission a tree still spreads news at once', () => {
    const sim = new GossipSim(15, { times: { reconcileMs: 1_000_000 } });
    const all = hosts(sim, 20);
    for (let i = 0; i < 20; i++) for (const step of [1, 4, 9]) sim.connect(all[i]!, all[(i + step) % 20]!);
    expect(sim.runUntilConverged(20_000)).not.toBeNull();
    sim.faults.late = 0.3;
    for (let change = 0; change < 6; change++) {
      all[7]!.gossip.put('at/0/x', utf8(`${change}`));
      expect(sim.runUntilConverged(1_500), `change ${change}`).not.toBeNull();
    }
  });

  test('changes that overtake each other cut nobody off the tree', () => {
    const sim = new GossipSim(16, { times: { reconcileMs: 1_000_000 } });
    const all = hosts(sim, 30);
    for (let i = 0; i < 30; i++) for (const step of [1, 4, 9]) sim.connect(all[i]!, all[(i + step) % 30]!);
    expect(sim.runUntilConverged(20_000)).not.toBeNull();
    for (const { gossip } of all) {
      for (const value of ['first', 'second', 'third']) {
        gossip.put('at/0/x', utf8(value));
        sim.run(12);
      }
      sim.run(2_000);
      const asked = sent(all, 'want');
      gossip.put('at/0/x', utf8('later'));
      expect(sim.runUntilConverged(100)).toBeLessThanOrEqual(30);
      expect(sent(all, 'want') - asked).toBe(0);
      sim.run(2_000);
    }
  });

  test('a link that goes down takes no path with it', () => {
    const sim = new GossipSim(17, { times: { reconcileMs: 1_000_000 } });
    const all = hosts(sim, 30);
    for (let i = 0; i < 30; i++) for (const step of [1, 4, 9]) sim.connect(all[i]!, all[(i + step) % 30]!);
    expect(sim.runUntilConverged(20_000)).not.toBeNull();
    for (let i = 0; i < 30; i++) {
      const author = all[(i + 15) % 30]!.gossip;
      author.put('at/0/x', utf8('first'));
      sim.run(2_000);
      sim.disconnect(all[i]!, all[(i + 4) % 30]!);
      sim.run(2_000);
      author.put('at/0/x', utf8('second'));
      expect(sim.runUntilConverged(100)).toBeLessThanOrEqual(30);
      sim.run(2_000);
      sim.connect(all[i]!, all[(i + 4) % 30]!);
      sim.run(2_000);
    }
  });

  test('a host that the author cannot reach hears of a change from others', () => {
    const sim = new GossipSim(5);
    const all = hosts(sim, 10);
    sim.connectAll();
    sim.run(5_000);
    sim.disconnect(all[0]!, all[9]!);
    all[0]!.gossip.put('a', utf8('1'));
    expect(sim.runUntilConverged(5_000)).not.toBeNull();
  });
});

describe('restart', () => {
  test('with its state a host knows everything at once and continues its versions', () => {
    const sim = new GossipSim(6);
    const all = hosts(sim, 4);
    sim.connectAll();
    sim.run(5_000);
    const old = all[2]!;
    const version = old.gossip.version(old.peer);
    sim.removeHost(old);
    const back = sim.addHost(2, old.store.snapshot());
    expect(back.gossip.authors()).toHaveLength(4);
    back.gossip.put('again', utf8('1'));
    expect(back.gossip.version(back.peer)).toBe(version + 1);
    sim.connectAll();
    expect(sim.runUntilConverged(2_000)).not.toBeNull();
    expect(back.ownNewer).toEqual([]);
    expectAgreement(sim);
  });

  test('the key of an author that has withdrawn everything is still known, also after a restart', () => {
    const sim = new GossipSim(7);
    const [left, other] = hosts(sim, 2) as [SimHost, SimHost];
    sim.connectAll();
    sim.run(5_000);
    left.gossip.remove('peer');
    expect(sim.runUntilConverged(2_000)).not.toBeNull();
    sim.run(5_000);
    sim.removeHost(left);
    sim.removeHost(other);
    const back = sim.addHost(1, other.store.snapshot());
    expect(back.gossip.entries(left.peer)).toEqual([]);
    expect(back.gossip.identityKeyOf(left.peer)).toEqual(left.gossip.identityKeyOf(left.peer));
    expect(back.gossip.identityKeyOf('ff'.repeat(16) as PeerId)).toBeNull();
  });

  test('without state a host adopts what it wrote before, reports it, and then its new writes win', () => {
    const sim = new GossipSim(7);
    const all = hosts(sim, 4);
    sim.connectAll();
    for (let i = 0; i < 9; i++) all[1]!.gossip.put('lease/0/10.32.0.0/24', utf8(`epoch ${i}`));
    sim.run(5_000);
    sim.removeHost(all[1]!);
    const back = sim.addHost(1);
    back.gossip.put('peer', utf8('reborn'));
    sim.connectAll();
    sim.run(5_000);
    expect(back.ownNewer).toEqual([10]);
    expect(back.gossip.get(back.peer, 'lease/0/10.32.0.0/24')).toEqual(utf8('epoch 8'));
    expect(back.view.get(back.peer)?.get('lease/0/10.32.0.0/24')).toBe(toHex(utf8('epoch 8')));
    back.gossip.put('peer', utf8('reborn'));
    sim.run(5_000);
    expect(sim.converged()).toBe(true);
    expect(all[0]!.gossip.get(back.peer, 'peer')).toEqual(utf8('reborn'));
  });

  test('an old copy of the state is detected, also when it has written beyond the copy', () => {
    const sim = new GossipSim(8);
    const all = hosts(sim, 3);
    sim.connectAll();
    sim.run(2_000);
    const oldCopy = all[0]!.store.snapshot();
    for (let i = 0; i < 5; i++) all[0]!.gossip.put(`at/0/${i}`, utf8('x'));
    sim.run(2_000);
    sim.removeHost(all[0]!);
    const back = sim.addHost(0, oldCopy);
    back.gossip.put('at/0/new', utf8('written in ignorance'));
    sim.connectAll();
    sim.run(5_000);
    expect(back.ownNewer).toEqual([6]);
    expect(back.gossip.entries(back.peer, 'at/')).toHaveLength(5);
    expect(sim.converged()).toBe(true);
  });

  test.each([
    ['others hold the newer state', 9, 1],
    ['the old copy has gone on further', 1, 9],
  ])('what stays said survives an old copy of the state: %s', (_name, lost, since) => {
    const sim = new GossipSim(8, { keeps: (key) => key.startsWith('gone/') });
    const all = hosts(sim, 3);
    sim.connectAll();
    sim.run(2_000);
    const oldCopy = all[0]!.store.snapshot();
    all[0]!.gossip.put('gone/before', utf8('x'));
    for (let i = 0; i < lost; i++) all[0]!.gossip.put('at/0/lost', utf8(`${i}`));
    sim.run(2_000);
    sim.removeHost(all[0]!);
    const back = sim.addHost(0, oldCopy);
    back.gossip.put('gone/after', utf8('x'));
    for (let i = 0; i < since; i++) back.gossip.put('at/0/new', utf8(`${i}`));
    sim.connectAll();
    sim.run(5_000);
    expect(sim.converged()).toBe(true);
    const keys = all[1]!.gossip.entries(back.peer).map(([key]) => key);
    expect(keys).toEqual([since > lost ? 'at/0/new' : 'at/0/lost', 'gone/after', 'gone/before', 'peer']);
    expect(back.forgotten).toEqual(since > lost ? ['at/0/lost', 'gone/before'] : []);
    expectAgreement(sim);
  });

  test('two clones writing the same version end with one state everywhere, and one of them is told', () => {
    const sim = new GossipSim(9);
    const [one, other] = hosts(sim, 2);
    const clone = sim.addHost(0, one!.store.snapshot());
    one!.gossip.put('peer', utf8('original'));
    clone.gossip.put('peer', utf8('clone'));
    sim.connect(one!, other!);
    sim.run(2_000);
    sim.disconnect(one!, other!);
    sim.connect(clone, other!);
    sim.run(8_000);
    sim.disconnect(clone, other!);
    sim.connect(one!, other!);
    sim.run(8_000);
    expect(one!.ownNewer.length + clone.ownNewer.length).toBeGreaterThan(0);
    expect(sim.converged()).toBe(true);
  });

  test('a clone hears at once of what the other one writes', () => {
    const sim = new GossipSim(18, { times: { reconcileMs: 1_000_000 } });
    const all = hosts(sim, 12);
    sim.connectLine();
    expect(sim.runUntilConverged(20_000)).not.toBeNull();
    const original = all[0]!;
    const clone = sim.addHost(0, original.store.snapshot());
    sim.connect(clone, all[11]!);
    sim.run(1_000);
    original.gossip.put('peer', utf8('the original'));
    sim.run(300);
    expect(clone.ownNewer).toEqual([original.gossip.version(original.peer)]);
  });

  test('a version is durable before it is sent', () => {
    const sim = new GossipSim(10);
    const [one, other] = hosts(sim, 2);
    sim.connectAll();
    sim.run(2_000);
    one!.store.beforeCommit = () => {
      throw new Error('power cut');
    };
    const sent = sim.messages;
    expect(() => one!.gossip.put('lost', utf8('x'))).toThrow('power cut');
    expect(sim.messages).toBe(sent);
    expect(one!.gossip.get(one!.peer, 'lost')).toBeNull();
    one!.store.beforeCommit = () => {};
    sim.run(5_000);
    expect(other!.gossip.get(one!.peer, 'lost')).toBeNull();
  });
});

describe('membership and departure', () => {
  test('what is forgotten does not come back from a neighbour, but its author may with something newer', () => {
    const sim = new GossipSim(12);
    const all = hosts(sim, 3);
    sim.connectAll();
    sim.run(2_000);
    const gone = all[2]!;
    sim.removeHost(gone);
    all[0]!.gossip.forget(gone.peer);
    sim.run(20_000);
    expect(all[0]!.gossip.authors()).not.toContain(gone.peer);
    expect(all[0]!.view.get(gone.peer)?.size).toBe(0);
    const restarted = new GossipSim(13).addHost(0, all[0]!.store.snapshot());
    expect(restarted.gossip.authors()).not.toContain(gone.peer);
    const back = sim.addHost(2, gone.store.snapshot());
    back.gossip.put('peer', utf8('returned'));
    sim.connectAll();
    sim.run(5_000);
    expect(all[0]!.gossip.get(gone.peer, 'peer')).toEqual(utf8('returned'));
  });

  test('an author that is not admitted is dropped, counted, and not asked for again and again', () => {
    const sim = new GossipSim(14);
    const strange = hosts(sim, 3)[2]!;
    const strict = new GossipSim(14, { acceptAuthor: (author) => author !== strange.peer });
    const all = [0, 1, 2].map((number) => strict.addHost(number));
    for (const host of all) host.gossip.put('peer', utf8('x'));
    strict.connectAll();
    strict.run(30_000);
    for (const host of all.slice(0, 2)) {
      expect(host.gossip.authors()).toHaveLength(2);
      const { drops } = host.gossip.stats();
      expect(drops['not-admitted']).toBeGreaterThanOrEqual(1);
      expect(drops['not-admitted']).toBeLessThanOrEqual(8);
    }
  });
});
