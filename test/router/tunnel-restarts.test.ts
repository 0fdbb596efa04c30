import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../fakes/memory-store.ts';
import { SECRET, SimHost, twoHosts } from './tunnel-harness.ts';

describe('restarts', () => {
  test('the initiator restarts with its clock a year back: its timestamps still increase', () => {
    const { network, a, b } = twoHosts(23);
    a.sendFrame(b);
    network.run(1_000);
    a.start();
    network.clock.stepWall(-365 * 86_400_000);
    a.knows(b);
    a.sendFrame(b);
    network.run(1_000);
    expect(a.hasSession(b) && b.hasSession(a)).toBe(true);
    expect(b.tunnels.drops().timestamp).toBe(0);
  });

  test('a restarted host initiates to its recent peers at once, before gossip', () => {
    const { network, a, b } = twoHosts(24);
    a.sendFrame(b);
    network.run(1_000);
    b.start();
    network.run(1_000);
    expect(b.hasSession(a)).toBe(true);
    a.sendFrame(b);
    network.run(100);
    expect(b.delivered).toBe(1);
  });

  test('renew replaces a session that the peer is known to have lost', () => {
    const { network, a, b } = twoHosts(30);
    a.tunnels.renew(b.id);
    a.sendFrame(b);
    network.run(1_000);
    b.start({ store: new MemoryStore() });
    a.tunnels.renew(b.id);
    network.run(100);
    expect(b.hasSession(a)).toBe(true);
    expect(network.handshakes.filter(({ from }) => from === a.endpoint).length).toBe(2);
  });

  test('peers that are idle are not remembered as recent', () => {
    const { network, a, b } = twoHosts(25);
    a.sendFrame(b);
    network.run(400_000);
    expect(a.store.entries('tunnels-recent')).toEqual([]);
  });

  test('a store that cannot be written: existing tunnels go on, the reason is told', () => {
    const { network, a, b } = twoHosts(26);
    a.store.beforeCommit = () => {
      throw new Error('disk full');
    };
    a.sendFrame(b);
    expect(a.status(b)!.reason).toContain('cannot be written');
    a.store.beforeCommit = () => {};
    a.sendFrame(b);
    network.run(100);
    expect(a.hasSession(b)).toBe(true);
  });
});

describe('leaving and rotation', () => {
  test('removePeer ends sessions at once; a revoked peer cannot come back', () => {
    const { network, a, b } = twoHosts(27);
    a.sendFrame(b);
    network.run(1_000);
    b.revoked.add(a.id);
    b.tunnels.removePeer(a.id);
    expect(b.sessions.size).toBe(0);
    expect(b.status(a)).toBeUndefined();
    for (let second = 0; second < 60; second++) {
      a.sendFrame(b);
      network.run(1_000);
    }
    expect(b.sessions.size).toBe(0);
    expect(b.delivered).toBe(0);
    expect(b.tunnels.drops().membership).toBeGreaterThan(0);
  });

  test('a frame for a host that is not known, or that has left, is no tunnel that failed', () => {
    const { network, a, b } = twoHosts(22);
    const stranger = new SimHost(network, 3);
    a.sendFrame(stranger);
    a.tunnels.removePeer(b.id);
    a.tunnels.sessionWanted(b.id); // the datapath said so of a frame from before
    expect(a.tunnels.statuses()).toEqual([]);
    a.knows(stranger);
    a.sendFrame(stranger);
    network.run(100);
    expect(a.hasSession(stranger)).toBe(true);
  });

  test('a host that missed a rotation and one that made it shake hands during the grace', () => {
    const newer = { ...SECRET, generation: 2, psk: new Uint8Array(32).fill(1), mac1Key: new Uint8Array(32).fill(2) };
    for (const [first, second] of [
      [[newer, SECRET], [SECRET]],
      [[SECRET], [newer, SECRET]],
    ]) {
      const { network, a, b } = twoHosts(28, { a: { secrets: first! }, b: { secrets: second! } });
      a.sendFrame(b);
      network.run(3_000);
      expect(a.hasSession(b) && b.hasSession(a)).toBe(true);
    }
  });

  test('close ends everything', () => {
    const { network, a, b } = twoHosts(29);
    a.sendFrame(b);
    network.run(100);
    a.tunnels.close();
    expect(a.sessions.size).toBe(0);
    expect(a.tunnels.sizes()).toMatchObject({ indexes: 0, active: 0 });
  });
});
