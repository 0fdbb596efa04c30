import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { twoHosts } from './tunnel-harness.ts';

describe('a datagram that somebody asks for', () => {
  test('without a session is an initiation, whatever pause the last one left', () => {
    const { network, a, b } = twoHosts(40);
    network.fate = () => 'drop';
    a.tunnels.prod(b.id);
    a.tunnels.prod(b.id);
    expect(network.handshakes.length).toBe(2);
    expect(a.status(b)!.heardMs).toBeNull();
    network.run(6_000);
    expect(a.status(b)!.unansweredMs).toBe(6_000);
    network.fate = () => 'deliver';
    a.tunnels.prod(b.id);
    network.run(100);
    expect([a.hasSession(b), b.hasSession(a)]).toEqual([true, true]);
    expect(a.status(b)!.unansweredMs).toBeNull();
    const nowMs = network.clock.monotonicMs();
    for (const status of [a.status(b)!, b.status(a)!]) expect(nowMs - status.heardMs!).toBeLessThan(100);
  });

  test('on a session is a probe that changes nothing of the path', () => {
    const { network, a, b } = twoHosts(41);
    a.sendFrame(b);
    network.run(10_000);
    const [mtu, handshakes] = [a.status(b)!.pathMtu, network.handshakes.length];
    let probes = 0;
    network.fate = (datagram) => {
      if (!(datagram instanceof Uint8Array) && datagram.kind === 'probe') probes++;
      return 'deliver';
    };
    a.tunnels.prod(b.id);
    network.run(500);
    expect([probes, network.handshakes.length, a.status(b)!.pathMtu]).toEqual([1, handshakes, mtu]);
  });

  test('to a stranger is none', () => {
    const { network, a } = twoHosts(42);
    a.tunnels.prod('f'.repeat(32) as PeerId);
    network.run(500);
    expect(network.handshakes).toEqual([]);
  });
});
