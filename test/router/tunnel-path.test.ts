import { expect, test } from 'vitest';
import { twoHosts } from './tunnel-harness.ts';
import type { SimNetwork } from './tunnel-network.ts';

/** Every datagram above so many bytes gets lost. */
function narrow(network: SimNetwork, bytes: number): void {
  network.fate = (datagram) => (datagram instanceof Uint8Array || datagram.bytes <= bytes ? 'deliver' : 'drop');
}

test('a path that carries less than both sides take is found out, and named', () => {
  const { network, a, b } = twoHosts(30);
  narrow(network, 700);
  a.sendFrame(b);
  network.run(1_000);
  expect(a.pathMtus.get(b.id)).toBe(1500);
  network.run(10_000);
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const { state, pathMtu, reason } = one.status(other)!;
    expect(state).toBe('established');
    expect(pathMtu).toBeLessThanOrEqual(700);
    expect(pathMtu).toBeGreaterThan(691);
    expect(one.pathMtus.get(other.id)).toBe(pathMtu);
    expect(reason).toBe(`the path carries ${pathMtu} of 1500 bytes: larger frames go in pieces`);
  }
  network.fate = () => 'deliver';
  for (let second = 0; second < 70; second++) {
    a.sendFrame(b);
    network.run(1_000);
  }
  expect(a.pathMtus.get(b.id)).toBe(1500);
  expect(a.status(b)).toMatchObject({ reason: null, pathMtu: 1500 });
});

test('a path that shrinks under traffic is noticed; an idle one is not probed', () => {
  const { network, a, b } = twoHosts(31);
  a.sendFrame(b);
  network.run(20_000);
  narrow(network, 1280);
  const probes: number[] = [];
  const { fate } = network;
  network.fate = (datagram, from, to) => {
    if (!(datagram instanceof Uint8Array) && datagram.kind === 'probe' && from === a) probes.push(datagram.bytes);
    return fate(datagram, from, to);
  };
  network.run(60_000);
  expect(probes).toEqual([]);
  a.sendFrame(b);
  network.run(4_000);
  expect(a.pathMtus.get(b.id)).toBeLessThanOrEqual(1280);
  expect(probes.length).toBeGreaterThan(0);
});

test('what the overlay does not need is not probed for', () => {
  const jumbo = { change: { mtu: 9000, neededMtu: 1528 } };
  const { network, a, b } = twoHosts(32, { a: jumbo, b: jumbo });
  const sizes = new Set<number>();
  network.fate = (datagram) => {
    if (!(datagram instanceof Uint8Array) && datagram.kind === 'probe') sizes.add(datagram.bytes);
    return 'deliver';
  };
  a.sendFrame(b);
  network.run(5_000);
  expect([...sizes]).toEqual([1528]);
  expect(a.status(b)).toMatchObject({ pathMtu: 9000, reason: null });
});

test('a peer of before that answers no probes keeps what was agreed', () => {
  const { network, a, b } = twoHosts(33, { b: { change: { capabilities: 0 } } });
  narrow(network, 700);
  for (let second = 0; second < 20; second++) {
    a.sendFrame(b);
    network.run(1_000);
  }
  expect(a.pathMtus.get(b.id)).toBe(1500);
});
