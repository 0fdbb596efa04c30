// Rotations and revocations on whole simulated hosts (docs/keys.md): production members over production gossip, through partitions
// and restarts. The rules themselves are tried in test/daemon/rotations.test.ts.

import { expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { disagreement } from './convergence.ts';
import { randomSchedule } from './random-schedule.ts';
import type { SimHost } from './sim-host.ts';

const HOSTS = 7;
const WEST = [0, 1, 2];
const EAST = [3, 4, 5, 6];
const JOINED_MS = 10_000;
const HOUR_MS = 3_600_000;

async function clusterOf(seed: number): Promise<Cluster> {
  const cluster = new Cluster(randomSchedule({ seed, hosts: HOSTS, durationMs: 120_000, faults: [] }));
  await cluster.world.runUntil(JOINED_MS);
  expect(disagreement(cluster)).toBeNull();
  return cluster;
}

function rotationsOf(host: SimHost) {
  return host.daemon!.member!.admission.rotations;
}

/** Of each host the token that it uses, as its identity file has it. */
function secretsOf(hosts: readonly SimHost[]): ReadonlySet<string> {
  return new Set(hosts.map(({ disk }) => String(disk.identity!.token.secret)));
}

test.each([1, 2])(
  'both halves of a partition rotate, and agree when they meet, seed %d',
  { timeout: 60_000 },
  async (seed) => {
    const cluster = await clusterOf(seed);
    const { hosts, network, world } = cluster;
    network.partition([WEST, EAST]);
    await world.runUntil(JOINED_MS + 2_000);
    for (const index of [0, 4]) rotationsOf(hosts[index]!).rotate({ graceMs: HOUR_MS });
    await world.runUntil(JOINED_MS + 5_000);
    expect(secretsOf(WEST.map((index) => hosts[index]!)).size).toBe(1);
    expect(secretsOf(EAST.map((index) => hosts[index]!)).size).toBe(1);
    expect(secretsOf(hosts).size).toBe(2);
    network.heal();
    await world.runUntil(JOINED_MS + 45_000);
    expect(secretsOf(hosts).size).toBe(1);
    expect(disagreement(cluster)).toBeNull();
    expect(cluster.failures).toEqual([]);
  },
);

test('a host that was off during a rotation learns the token when it starts', { timeout: 60_000 }, async () => {
  const cluster = await clusterOf(4);
  const { hosts, world } = cluster;
  hosts[6]!.crash();
  rotationsOf(hosts[1]!).rotate({ graceMs: 0 });
  await world.runUntil(JOINED_MS + 5_000);
  expect(secretsOf(hosts).size).toBe(2);
  hosts[6]!.launch(null);
  await world.runUntil(JOINED_MS + 25_000);
  expect(secretsOf(hosts).size).toBe(1);
  expect(disagreement(cluster)).toBeNull();
});

test('one half revokes a host of the other, which gives it a newer token: it is out, and does not know the last one', {
  timeout: 60_000,
}, async () => {
  const cluster = await clusterOf(5);
  const { hosts, network, world } = cluster;
  const lost = hosts[6]!;
  const others = hosts.slice(0, 6);
  network.partition([WEST, EAST]);
  await world.runUntil(JOINED_MS + 2_000);
  rotationsOf(hosts[4]!).rotate({ graceMs: HOUR_MS });
  hosts[0]!.daemon!.member!.admission.revoke(lost.peer!);
  await world.runUntil(JOINED_MS + 5_000);
  expect(secretsOf([hosts[4]!, lost]).size).toBe(1);
  network.heal();
  await world.runUntil(JOINED_MS + 45_000);
  expect(secretsOf(others).size).toBe(1);
  expect(secretsOf([hosts[0]!, lost]).size).toBe(2);
  expect(lost.daemon!.links).toEqual([]);
  for (const { daemon } of others) expect(daemon!.links).toHaveLength(5);
  for (const { daemon } of others) expect(daemon!.member!.tunnels.status(lost.peer!)?.sessionAgeMs ?? null).toBeNull();
});
