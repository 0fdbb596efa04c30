// Tunnels between hosts whose paths are cut, over a simulated network: which way they go, how soon, and what the search costs.

import { describe, expect, test } from 'vitest';
import { type Endpoint, equalEndpoints } from '../../src/base/endpoint.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { SimHost } from './tunnel-harness.ts';
import { SimNetwork } from './tunnel-network.ts';

/** Hosts that know each other; `cut` has the ordered pairs between which nothing passes. */
function world(count: number, seed = 1) {
  const network = new SimNetwork(seed);
  const hosts = Array.from({ length: count }, (_, i): SimHost => {
    const self = (): SimHost => hosts[i]!;
    return new SimHost(network, i + 1, {
      change: { neighbours: () => hosts.filter((host) => host !== self()).map(({ id }) => id) },
    });
  });
  for (const one of hosts) for (const other of hosts) if (one !== other) one.knows(other);
  const cut = new Set<string>();
  const name = (from: Endpoint, to: Endpoint): string => `${from.ip} ${to.ip}`;
  network.fate = (_, from, to) => (cut.has(name(from.endpoint, to)) ? 'drop' : 'deliver');
  const drop = (from: SimHost, to: SimHost): void => void cut.add(name(from.endpoint, to.endpoint));
  const separate = (one: SimHost, other: SimHost): void => {
    drop(one, other);
    drop(other, one);
  };
  /** Both send a frame every 100 ms; returns after how long the condition held, or infinite. */
  const talk = (one: SimHost, other: SimHost, maxMs: number, until: () => boolean = () => false): number => {
    for (let ms = 0; ms < maxMs; ms += 100) {
      if (until()) return ms;
      one.sendFrame(other);
      other.sendFrame(one);
      network.run(100);
    }
    return until() ? maxMs : Number.POSITIVE_INFINITY;
  };
  const relayed = (one: SimHost, other: SimHost, by: SimHost | null): boolean =>
    [one.status(other), other.status(one)].every(
      (status) => status?.state === 'established' && status.relay === (by?.id ?? null),
    );
  return { network, hosts, cut, drop, separate, talk, relayed };
}

describe('tunnels by relays', () => {
  test('hosts that were never linked find one within three seconds, and say why they need it', () => {
    const { hosts, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    expect(talk(a, c, 10_000, () => relayed(a, c, b))).toBeLessThanOrEqual(3_000);
    const delivered = [a.delivered, c.delivered];
    talk(a, c, 1_000);
    expect([a.delivered - delivered[0]!, c.delivered - delivered[1]!].every((count) => count >= 8)).toBe(true);
    expect(a.status(c)).toMatchObject({ endpoint: null, reason: `no answer from ${c.endpoint.ip}:6783` });
    expect(a.turns).toContain('relayed');
    expect(b.relayedOn).toBeGreaterThan(10);
  });

  for (const ways of ['both', 'there', 'back'] as const) {
    test(`a path that breaks under traffic (${ways}) is replaced within 3.5 s, and taken again once it is open`, () => {
      const { hosts, cut, drop, talk, relayed } = world(3);
      const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
      expect(talk(a, c, 2_000, () => relayed(a, c, null))).toBeLessThan(500);
      if (ways !== 'back') drop(a, c);
      if (ways !== 'there') drop(c, a);
      expect(talk(a, c, 10_000, () => relayed(a, c, b))).toBeLessThanOrEqual(3_500);
      talk(a, c, 3_000);
      expect(relayed(a, c, b)).toBe(true);
      cut.clear();
      expect(talk(a, c, 15_000, () => relayed(a, c, null))).toBeLessThanOrEqual(10_500);
      talk(a, c, 130_000);
      expect(relayed(a, c, null)).toBe(true);
    });
  }

  test('by relays far away no end sends on a session that the other has given up', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { network, hosts, separate, talk } = world(6, seed);
      const [a, , c] = hosts as [SimHost, SimHost, SimHost];
      network.minLatencyMs = 120;
      network.maxLatencyMs = 200;
      for (const relay of hosts) {
        if (relay !== a) talk(a, relay, 1_000);
        if (relay !== c) talk(c, relay, 1_000);
      }
      separate(a, c);
      expect(talk(a, c, 10_000, () => [a, c].every((host) => host.turns.includes('relayed')))).toBeLessThan(5_000);
      const before = a.unreadable + c.unreadable;
      talk(a, c, 60_000);
      expect(a.unreadable + c.unreadable - before, `seed ${seed}`).toBe(0);
    }
  });

  test('a relay that dies is replaced', () => {
    const { hosts, separate, talk, relayed } = world(4);
    const [a, b, c, d] = hosts as [SimHost, SimHost, SimHost, SimHost];
    separate(a, c);
    talk(a, c, 5_000);
    const first = [b, d].find((host) => relayed(a, c, host))!;
    const second = first === b ? d : b;
    first.stop();
    expect(talk(a, c, 20_000, () => relayed(a, c, second))).toBeLessThanOrEqual(6_000);
  });

  test('a relay that was revoked is replaced at once, not when its silence is noticed', () => {
    for (const end of ['removePeer', 'cut'] as const) {
      const { hosts, separate, talk, relayed } = world(4);
      const [a, b, c, d] = hosts as [SimHost, SimHost, SimHost, SimHost];
      separate(a, c);
      talk(a, c, 5_000);
      const first = [b, d].find((host) => relayed(a, c, host))!;
      const second = first === b ? d : b;
      for (const host of [a, c, second]) host.tunnels[end](first.id);
      first.stop();
      expect(
        talk(a, c, 20_000, () => relayed(a, c, second)),
        end,
      ).toBeLessThanOrEqual(500);
    }
  });

  test('a path that heals while both ends’ control sides are replaced is taken within seconds of their return', () => {
    const { network, hosts, cut, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    expect(talk(a, c, 10_000, () => relayed(a, c, b))).toBeLessThan(5_000);
    for (const host of [a, c]) host.killControl();
    network.run(1_000);
    cut.clear();
    for (const host of [a, c]) host.relaunchControl(hosts.filter((other) => other !== host));
    expect(relayed(a, c, b)).toBe(true);
    expect(talk(a, c, 200_000, () => relayed(a, c, null))).toBeLessThanOrEqual(3_000);
  });

  test('a stream that opens between its ends shows that packets pass: the direct path is tried at once', () => {
    const { hosts, cut, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    talk(a, c, 10_000, () => relayed(a, c, b));
    talk(a, c, 35_000); // the next try comes 40 s after the one before
    cut.clear();
    expect(talk(a, c, 3_000, () => relayed(a, c, null))).toBe(Number.POSITIVE_INFINITY);
    a.tunnels.reached(c.id);
    expect(talk(a, c, 10_000, () => relayed(a, c, null))).toBeLessThanOrEqual(500);
  });

  test('keys of a relayed tunnel are replaced by the relay, hour after hour', () => {
    const { hosts, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    talk(a, c, 5_000);
    const unsent = a.unsent + c.unsent;
    for (let minutes = 0; minutes < 20; minutes++) {
      talk(a, c, 60_000);
      expect(relayed(a, c, b)).toBe(true);
    }
    expect(a.unsent + c.unsent).toBe(unsent);
  });

  test('direct paths are tried ever more seldom, and at once when other addresses are told', () => {
    const { network, hosts, separate, talk } = world(3);
    const [a, , c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    talk(a, c, 5_000);
    const triesOf = (ms: number): number => {
      const before = network.handshakes.length;
      talk(a, c, ms);
      const sent = network.handshakes.slice(before);
      return sent.filter(({ from, to }) => equalEndpoints(from, a.endpoint) && equalEndpoints(to, c.endpoint)).length;
    };
    expect(triesOf(60_000)).toBeLessThanOrEqual(6);
    expect(triesOf(240_000)).toBeLessThanOrEqual(12);
    a.knows(c, [c.endpoint, { ip: '203.0.113.9', port: 6783 }]);
    expect(triesOf(2_000)).toBe(1);
  });

  test('a host that nobody reaches does not make others look for a way to it', () => {
    const { network, hosts, separate } = world(8);
    const [lost, a] = hosts as [SimHost, SimHost];
    for (const host of hosts) if (host !== lost) separate(lost, host);
    a.sendFrame(lost);
    network.run(60_000);
    const tries = hosts.map(
      (host) => network.handshakes.filter(({ from }) => equalEndpoints(from, host.endpoint)).length,
    );
    expect(a.status(lost)?.relay).toBeNull();
    for (const others of tries.slice(2)) expect(others).toBeLessThanOrEqual(80);
    const towards = network.handshakes.filter(({ to }) => equalEndpoints(to, lost.endpoint));
    expect(towards.length).toBeLessThanOrEqual(2 * 60);
  });

  test('a member that asks for hundreds of dead hosts takes a relay a bounded part of its handshakes, none of its own', () => {
    const { network, hosts } = world(2);
    const [relay, c] = hosts as [SimHost, SimHost];
    const dead = Array.from({ length: 1_000 }, (_, i) => (i + 256).toString(16).padStart(32, '0') as PeerId);
    for (const [i, id] of dead.entries()) {
      const ip = `203.0.${113 + (i >> 8)}.${i & 255}`;
      relay.tunnels.setPeer(id, { staticKey: c.staticPublic, endpoints: [{ ip, port: 6783 }] });
    }
    const ask = (): void => {
      for (const id of dead) relay.tunnels.relayWanted(id);
      network.run(1_000);
    };
    for (let second = 0; second < 20; second++) ask();
    expect(network.handshakes.length).toBeLessThanOrEqual(21 * 50);
    expect(network.handshakes.length).toBeGreaterThan(20 * 40);
    expect(relay.tunnels.sizes().active).toBeLessThanOrEqual(100);
    for (const id of dead) relay.tunnels.relayWanted(id);
    relay.sendFrame(c);
    network.run(100);
    expect(relay.status(c)?.state).toBe('established');
  });

  test('word of a move that a relay has overtaken moves nothing', () => {
    const { hosts, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    separate(a, c);
    talk(a, c, 10_000, () => relayed(a, c, b));
    a.tunnels.roamed(c.id, c.endpoint);
    expect(a.status(c)).toMatchObject({ relay: b.id, endpoint: null });
  });

  test('a move during a handshake by a relay leaves the new session to the relay', () => {
    const { network, hosts, separate, talk, relayed } = world(3);
    const [a, b, c] = hosts as [SimHost, SimHost, SimHost];
    for (const [one, other] of [
      [a, c],
      [a, b],
      [b, c],
    ] as const)
      talk(one, other, 1_000);
    network.run(20_000); // nobody watches a path without traffic
    separate(a, c);
    c.tunnels.renew(a.id);
    const before = a.sessions.size;
    const isOffered = (): boolean => a.sessions.size > before;
    for (let ms = 0; ms < 5_000 && !isOffered(); ms++) network.run(1);
    a.tunnels.roamed(c.id, { ip: '203.0.113.9', port: 6783 });
    expect(talk(c, a, 1_000, () => relayed(a, c, b))).toBeLessThanOrEqual(200);
    expect(a.paths.get(c.id)).toEqual({ relay: b.id, peer: c.id });
  });

  test('relays that nobody has heard of are not waited for', () => {
    const { network, hosts, separate, talk } = world(2);
    const [a, c] = hosts as [SimHost, SimHost];
    separate(a, c);
    for (let round = 0; round < 20; round++) {
      const rendezvous = [0, 1].map((i) => `f${round.toString(16).padStart(2, '0')}${i}`.padStart(32, '0') as PeerId);
      c.natFacts = { observed: [], symmetric: true, rendezvous };
      a.knows(c);
      talk(a, c, 5_000);
    }
    expect(a.tunnels.sizes().relaysAwaited).toBe(0);
    expect(network.handshakes.length).toBeLessThan(100);
  });

  test('a host of a version that relays nothing is never asked to', () => {
    const { network, hosts, separate, talk, relayed } = world(2);
    const old = new SimHost(network, 9, { change: { capabilities: 1 } });
    const [a, c] = hosts as [SimHost, SimHost];
    for (const host of hosts) {
      host.knows(old);
      old.knows(host);
    }
    separate(a, c);
    talk(a, old, 2_000);
    talk(a, c, 10_000);
    expect(relayed(a, c, old)).toBe(false);
    expect(old.relayedOn).toBe(0);
  });

  test('whatever is cut and healed, at the end every pair talks directly again', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const { network, hosts, cut, drop, relayed } = world(5, seed);
      const pick = (): SimHost => hosts[network.random.below(hosts.length)]!;
      for (let step = 0; step < 120; step++) {
        if (step % 10 === 0 && network.random.fraction() < 0.3) cut.clear();
        else if (step % 10 === 0) drop(pick(), pick());
        for (const one of hosts) for (const other of hosts) if (one !== other) one.sendFrame(other);
        network.run(250);
      }
      cut.clear();
      for (let ms = 0; ms < 130_000; ms += 500) {
        for (const one of hosts) for (const other of hosts) if (one !== other) one.sendFrame(other);
        network.run(500);
      }
      for (const one of hosts)
        for (const other of hosts) if (one !== other) expect(relayed(one, other, null), `seed ${seed}`).toBe(true);
    }
  });
});
