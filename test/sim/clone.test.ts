import { expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { randomSchedule } from './random-schedule.ts';

const HOSTS = 13;
const CLONED_MS = 9_000;

test('a clone is recognised anywhere: both processes hear of each other through records, over no common neighbour', {
  timeout: 60_000,
}, async () => {
  const quiet = randomSchedule({ seed: 6, hosts: HOSTS, durationMs: 30_000, faults: [] });
  const cluster = new Cluster({
    ...quiet,
    steps: [...quiet.steps, { atMs: CLONED_MS, action: { kind: 'clone', host: 3, as: HOSTS } }],
  });
  await cluster.world.runUntil(CLONED_MS);
  // From now on no host keeps both links, so that nobody can compare two boots of one peer.
  for (let other = 0; other < HOSTS; other++) {
    if (other === 3) continue;
    const cutOff = other % 2 === 0 ? 3 : HOSTS;
    cluster.network.setPath(other, cutOff, false);
    cluster.network.setPath(cutOff, other, false);
  }
  cluster.network.setPath(3, HOSTS, false);
  cluster.network.setPath(HOSTS, 3, false);
  await cluster.world.runUntil(CLONED_MS + 8_000);
  for (const host of [3, HOSTS]) {
    const member = cluster.hosts[host]?.daemon?.member;
    expect(member?.cloneFault).toMatch(/publishes itself as this host/);
    expect(member?.ipam.obstacle()).not.toBeNull();
  }
  const versions = () => cluster.hosts[0]!.daemon!.member!.gossip.version(cluster.hosts[3]!.peer!);
  const before = versions();
  await cluster.world.runUntil(CLONED_MS + 11_000);
  expect(versions() - before).toBeLessThan(10);
});
