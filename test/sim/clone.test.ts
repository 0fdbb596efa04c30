// Two machines with one identity hear of each other through records alone: no host keeps a link to both.

import { expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { randomSchedule } from './random-schedule.ts';

const HOSTS = 13;
const CLONED_MS = 9_000;

/** Host 3 and its clone, of which no host keeps both links, so that nobody can compare two boots of one peer. */
async function clonedApart(seed: number): Promise<Cluster> {
  const quiet = randomSchedule({ seed, hosts: HOSTS, durationMs: 30_000, faults: [] });
  const cluster = new Cluster({
    ...quiet,
    steps: [...quiet.steps, { atMs: CLONED_MS, action: { kind: 'clone', host: 3, as: HOSTS } }],
  });
  await cluster.world.runUntil(CLONED_MS);
  for (let other = 0; other < HOSTS; other++) {
    if (other === 3) continue;
    const cutOff = other % 2 === 0 ? 3 : HOSTS;
    cluster.network.setPath(other, cutOff, false);
    cluster.network.setPath(cutOff, other, false);
  }
  cluster.network.setPath(3, HOSTS, false);
  cluster.network.setPath(HOSTS, 3, false);
  return cluster;
}

function expectTold({ hosts }: Cluster): void {
  for (const host of [3, HOSTS]) {
    const member = hosts[host]?.daemon?.member;
    expect(member?.cloneFault).toMatch(/publishes itself as this host/);
    expect(member?.ipam.obstacle()).not.toBeNull();
  }
}

test('a clone is recognised anywhere, and the two do not write for ever', { timeout: 60_000 }, async () => {
  const cluster = await clonedApart(6);
  await cluster.world.runUntil(CLONED_MS + 8_000);
  expectTold(cluster);
  const versions = () => cluster.hosts[0]!.daemon!.member!.gossip.version(cluster.hosts[3]!.peer!);
  const before = versions();
  await cluster.world.runUntil(CLONED_MS + 11_000);
  expect(versions() - before).toBeLessThan(10);
});

test.each([1, 2, 3, 4, 5, 6])(
  'also when both write the same versions for a while, seed %d',
  { timeout: 60_000 },
  async (seed) => {
    const cluster = await clonedApart(seed);
    const { hosts, world } = cluster;
    for (let atMs = CLONED_MS + 100; atMs < CLONED_MS + 5_000; atMs += 40 + 17 * seed) {
      await world.runUntil(atMs);
      for (const index of [3, HOSTS]) {
        const { names } = hosts[index]!.daemon!.member!;
        names.add('fabric', `busy${index}`, [`192.0.2.${(atMs % 200) + 1}`]);
        names.remove('fabric', `busy${index}`, []);
      }
    }
    await world.runUntil(CLONED_MS + 8_000);
    expectTold(cluster);
  },
);
