// Tunnels of hosts behind NATs, over a simulated network: what they learn of themselves, which way they go, and what it costs.

import { describe, expect, test } from 'vitest';
import { SimNat } from './sim-nat.ts';
import { SimHost } from './tunnel-harness.ts';
import { SimNetwork } from './tunnel-network.ts';

interface Sites {
  readonly a?: SimNat | undefined;
  readonly c?: SimNat | undefined;
}

/** Two hosts, each where it is said, and two that everybody reaches; all know each other. */
function world({ a: siteOfA, c: siteOfC }: Sites, seed = 1) {
  const network = new SimNetwork(seed);
  const sites = [siteOfA, undefined, siteOfC, undefined];
  const hosts: SimHost[] = sites.map((nat, i) => {
    const neighbours = () => hosts.filter((_, place) => place !== i).map(({ id }) => id);
    return new SimHost(network, i + 1, { change: { neighbours }, ...(nat === undefined ? {} : { nat }) });
  });
  for (const one of hosts) for (const other of hosts) if (one !== other) one.knows(other);
  const [a, b, c, d] = hosts as [SimHost, SimHost, SimHost, SimHost];
  /** Of the network's public hosts. */
  const meet = (): void => {
    for (const one of [a, c]) for (const other of [b, d]) one.sendFrame(other);
    network.run(200);
  };
  /** Both send a frame every 100 ms; returns after how long the condition held, or infinite. */
  const talk = (maxMs: number, until: () => boolean = () => false): number => {
    for (let ms = 0; ms < maxMs; ms += 100) {
      if (until()) return ms;
      a.sendFrame(c);
      c.sendFrame(a);
      network.run(100);
    }
    return until() ? maxMs : Number.POSITIVE_INFINITY;
  };
  const isUp = (): boolean => [a.status(c), c.status(a)].every((status) => status?.state === 'established');
  const isPunched = (): boolean => isUp() && [a.status(c), c.status(a)].every((status) => status?.nat === 'both');
  return { network, hosts, a, b, c, d, meet, talk, isUp, isPunched };
}

const cone = (number: number): SimNat => new SimNat(`203.0.113.${number}`);
const symmetric = (number: number): SimNat => new SimNat(`203.0.113.${number}`, { symmetric: true });

describe('tunnels behind NATs', () => {
  test('a host learns its public endpoint from those that it shakes hands with, from either side', () => {
    const { a, b, d, meet } = world({ a: cone(1), c: cone(3) });
    meet();
    expect(a.natFacts).toMatchObject({ observed: [{ ip: '203.0.113.1', port: 40_001 }], symmetric: false });
    expect(new Set(a.natFacts.rendezvous)).toEqual(new Set([b.id, d.id]));
    expect(b.natFacts).toMatchObject({ observed: [], symmetric: false });
    expect([a.status(b)?.nat, b.status(a)?.nat, b.status(d)?.nat]).toEqual(['here', 'there', null]);
  });

  test('two hosts behind NATs of their own: by a relay first, then directly, for hours', () => {
    const { network, a, c, meet, talk, isPunched } = world({ a: cone(1), c: cone(3) });
    meet();
    a.sendFrame(c); // C wants nothing, so only a relay brings it
    for (let ms = 0; ms < 2_000 && c.status(a)?.state !== 'established'; ms += 10) network.run(10);
    expect(c.status(a)).toMatchObject({ state: 'established', nat: null, endpoint: null });
    expect(talk(5_000, isPunched)).toBeLessThanOrEqual(1_000);
    expect(a.turns).toEqual(['established', 'established', 'established', 'relayed', 'direct']);
    expect([a.status(c)?.endpoint?.ip, c.status(a)?.endpoint?.ip]).toEqual(['203.0.113.3', '203.0.113.1']);
    const unsent = a.unsent + c.unsent;
    for (let minutes = 0; minutes < 20; minutes++) {
      talk(1_000);
      network.run(59_000);
      expect(isPunched()).toBe(true);
    }
    expect(a.unsent + c.unsent).toBe(unsent);
  });

  test('frames that go rarely keep coming: the mapping is kept while the session lives', () => {
    const { network, a, c, meet, talk, isPunched } = world({ a: cone(1), c: cone(3) });
    meet();
    talk(10_000, isPunched);
    for (let times = 0; times < 20; times++) {
      network.run(45_000);
      const before = c.delivered;
      a.sendFrame(c);
      network.run(100);
      expect(c.delivered, `after ${times} pauses`).toBe(before + 1);
    }
  });

  test.each<[string, () => Sites]>([
    ['one side', () => ({ a: cone(1) })],
    ['one side, symmetric', () => ({ a: symmetric(1) })],
  ])('a NAT on %s: directly, whoever begins', (_, sites) => {
    const { network, a, c, meet, isUp } = world(sites());
    meet();
    network.run(300_000); // nothing is sent: it is found none the less
    c.sendFrame(a);
    network.run(4_000);
    expect(isUp()).toBe(true);
    expect([a.status(c)?.relay, c.status(a)?.relay]).toEqual([null, null]);
  });

  test('a host behind a NAT is found after hours of silence, by those with whom it keeps a session', () => {
    const { network, a, c, meet } = world({ a: cone(1), c: cone(3) });
    meet();
    network.run(3_600_000);
    c.sendFrame(a);
    network.run(4_000);
    expect(c.status(a)?.state).toBe('established');
    expect(a.status(c)?.state).toBe('established');
  });

  test('symmetric NATs on both sides: it stays relayed, says why, and tries no more than seldom', () => {
    const { network, a, c, meet, talk, isUp } = world({ a: symmetric(1), c: symmetric(3) });
    meet();
    expect(a.natFacts).toMatchObject({ observed: [], symmetric: true });
    expect(talk(5_000, isUp)).toBeLessThanOrEqual(2_000);
    talk(60_000);
    expect(isUp()).toBe(true);
    expect(a.status(c)?.relay).not.toBeNull();
    expect(a.status(c)?.reason).toBe(
      'no answer from 10.0.3.2:6783; both NATs give each destination another port (symmetric)',
    );
    const before = network.handshakes.filter(({ to }) => to.ip.startsWith('10.')).length;
    talk(300_000);
    const tries = network.handshakes.filter(({ to }) => to.ip.startsWith('10.')).length - before;
    expect(tries).toBeLessThanOrEqual(2 * 6);
  });

  test('a NAT that is restarted: the tunnel lives on, and the new endpoint is published', () => {
    const nat = cone(1);
    const { a, b, c, d, network, meet, talk, isPunched } = world({ a: nat, c: cone(3) });
    meet();
    talk(10_000, isPunched);
    nat.reset();
    talk(30_000);
    const before = [a.delivered, c.delivered];
    talk(1_000);
    expect([a.delivered - before[0]!, c.delivered - before[1]!].every((count) => count >= 8)).toBe(true);
    for (let seconds = 0; seconds < 200; seconds++) {
      for (const other of [b, d]) a.sendFrame(other);
      talk(1_000);
    }
    expect(a.natFacts.observed).toEqual([{ ip: '203.0.113.1', port: 41_002 }]);
    expect(talk(60_000, isPunched)).toBeLessThan(60_000);
    network.run(100);
  });

  test('hosts behind one NAT meet by their own addresses, and need no hole', () => {
    const nat = cone(1);
    const { a, c, talk, isUp } = world({ a: nat, c: nat });
    talk(2_000, isUp);
    expect([a.status(c)?.nat, c.status(a)?.nat]).toEqual(['none', 'none']);
  });

  test('without a NAT an idle tunnel costs nothing', () => {
    const { network, a, b } = world({});
    a.sendFrame(b);
    network.run(1_000);
    const sent = network.usedNonces.size;
    network.run(100_000);
    expect(network.usedNonces.size).toBe(sent);
  });

  test('a control side that is replaced goes on keeping the mapping alive', () => {
    const { network, hosts, a, c, meet, talk, isPunched } = world({ a: cone(1), c: cone(3) });
    meet();
    talk(10_000, isPunched);
    a.killControl();
    network.run(5_000);
    a.relaunchControl(hosts.filter((host) => host !== a));
    network.run(45_000);
    const before = a.delivered;
    c.sendFrame(a);
    network.run(100);
    expect(a.delivered).toBe(before + 1);
  });
});
