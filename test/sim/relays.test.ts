// Pairs of hosts that cannot exchange a packet, on whole simulated hosts: their tunnels go by others while the mesh stays calm about
// them, and go directly once they can. The rules of the search itself are tried in test/router/tunnel-relays.test.ts.

import { expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { disagreement } from './convergence.ts';
import { randomSchedule } from './random-schedule.ts';
import type { SimHost } from './sim-host.ts';

const JOINED_MS = 10_000;
/** So long containers come and go. */
const DURATION_MS = 120_000;
const SETTLED_MS = 5_000;
const FRAME_EVERY_MS = 250;

test.each([
  ['both ways', 1],
  ['one way', 2],
] as const)('cut %s: frames go by relays, nobody is called dead', { timeout: 60_000 }, async (ways, seed) => {
  const cluster = new Cluster(randomSchedule({ seed, hosts: 5, durationMs: DURATION_MS, faults: [] }));
  const { hosts, network, world } = cluster;
  await world.runUntil(JOINED_MS);
  const [a, , c] = hosts as [SimHost, SimHost, SimHost];
  const relayOf = (near: SimHost, far: SimHost) => near.daemon!.member!.tunnels.status(far.peer!)?.relay ?? null;
  /** Both send; the least that one of them heard. */
  const talk = async (ms: number): Promise<number> => {
    const before = [a, c].map((host) => host.daemon!.datapath.delivered);
    for (const endMs = world.nowMs + ms; world.nowMs < endMs; ) {
      a.daemon!.process.run(() => a.daemon!.datapath.sendFrame(c.peer!));
      c.daemon!.process.run(() => c.daemon!.datapath.sendFrame(a.peer!));
      await world.runUntil(world.nowMs + FRAME_EVERY_MS);
    }
    return Math.min(...[a, c].map((host, i) => host.daemon!.datapath.delivered - before[i]!));
  };
  await talk(1_000);
  network.setPath(a.index, c.index, false);
  if (ways === 'both ways') network.setPath(c.index, a.index, false);
  await talk(8_000);
  expect(relayOf(a, c)).not.toBeNull();
  expect(relayOf(c, a)).toBe(relayOf(a, c));
  expect(await talk(20_000)).toBeGreaterThan(70);
  for (const { daemon, peer } of hosts) {
    for (const other of hosts) {
      if (other.peer === peer) continue;
      expect(daemon!.member!.neighbourhood.liveness.view(other.peer!)?.state).not.toBe('dead');
    }
  }
  network.heal();
  await talk(70_000);
  expect([relayOf(a, c), relayOf(c, a)]).toEqual([null, null]);
  await world.runUntil(DURATION_MS + SETTLED_MS);
  expect(disagreement(cluster)).toBeNull();
  expect(cluster.failures).toEqual([]);
});
