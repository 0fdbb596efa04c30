// What is said at a host stays said (docs/leases.md, "Old copies of the state"), whichever of two histories of its records goes on
// after its machine went back to an old copy of its disk: the one that everybody knows, or the one that it began alone.

import { expect, test } from 'vitest';
import { Cluster } from './cluster.ts';
import { disagreement } from './convergence.ts';
import { randomSchedule } from './random-schedule.ts';
import type { SimHost } from './sim-host.ts';

const HOSTS = 5;
const COPIED_MS = 8_000;
const OFF_MS = 16_000;
const BACK_MS = 24_000;
const HEALED_MS = 26_000;
const TOLD_MS = 60_000;

function versionAt(host: SimHost, of: SimHost): number {
  return host.daemon!.member!.gossip.version(of.peer!);
}

/** An operator removes a host and adds a name. The creator of the cluster owns the ids of networks, and may make one alone. */
async function speak(host: SimHost, gone: SimHost): Promise<void> {
  const { admission, names, networks } = host.daemon!.member!;
  admission.removals.remove(gone.peer!);
  admission.rotations.rotate({ graceMs: 3_600_000 });
  names.add('fabric', 'printer', ['192.0.2.9']);
  await networks.create({ name: 'blue', range: null, range6: null, leasePrefix: null, internal: true });
}

async function writeVersions(host: SimHost, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    host.daemon!.member!.names.add('fabric', 'busy', ['192.0.2.1']);
    host.daemon!.member!.names.remove('fabric', 'busy', []);
  }
}

test.each([
  ['said before the disk went back, which writes less than was lost', { said: 'before', goesOn: 'known' }],
  ['said before the disk went back, which writes more than was lost', { said: 'before', goesOn: 'alone' }],
  ['said on the old disk, which writes less than was lost', { said: 'after', goesOn: 'known' }],
  ['said on the old disk, which writes more than was lost', { said: 'after', goesOn: 'alone' }],
])('%s', { timeout: 60_000 }, async (_name, { said, goesOn }) => {
  const cluster = new Cluster(randomSchedule({ seed: 3, hosts: HOSTS, durationMs: 120_000, faults: [] }));
  const { hosts, network, world } = cluster;
  const [old, gone, other] = [hosts[0]!, hosts[4]!, hosts[1]!];
  const staying = hosts.slice(0, 4);
  const speakAt = (): void => old.background(() => speak(old, gone));
  await world.runUntil(COPIED_MS);
  expect(disagreement(cluster)).toBeNull();
  const copy = old.copyDisk();
  gone.cutPower();
  await world.runUntil(OFF_MS);
  if (said === 'before') speakAt();
  if (goesOn === 'known') await writeVersions(old, 30);
  await world.runUntil(OFF_MS + 2_000);

  old.cutPower();
  old.restoreDisk(copy);
  old.hasOldState = true;
  network.partition([[0], [1, 2, 3, 4]]);
  old.launch(null);
  await world.runUntil(BACK_MS);
  if (said === 'after') speakAt();
  if (goesOn === 'alone') await writeVersions(old, 30);
  await world.runUntil(HEALED_MS);
  expect(versionAt(old, old) > versionAt(other, old)).toBe(goesOn === 'alone');
  network.heal();
  await world.runUntil(TOLD_MS);
  for (const host of staying) {
    // What a run has heard it remembers anyway.
    host.crash();
    host.launch(null);
  }
  await world.runUntil(TOLD_MS + 10_000);

  expect(cluster.failures).toEqual([]);
  for (const { name, daemon } of staying) {
    const { admission, networks, directory, gossip } = daemon!.member!;
    const heard = {
      removed: admission.removals.isRemoved(gone.peer!),
      generation: admission.rotations.facts().generation,
      blue: networks.find('blue') !== null,
      names: directory.names(old.peer!).map((record) => record.name),
      published: gossip.entries(old.peer!, 'gone/').length,
    };
    expect([name, heard]).toEqual([
      name,
      { removed: true, generation: 2, blue: true, names: ['printer'], published: 1 },
    ]);
  }
});

test('a voter whose disk went back abstains, also when it writes more than was lost', { timeout: 60_000 }, async () => {
  const wish = { seed: 3, hosts: HOSTS, durationMs: 120_000, faults: [], leaseTimeMs: 20_000 } as const;
  const cluster = new Cluster(randomSchedule(wish));
  const { hosts, network, world, log } = cluster;
  const old = hosts[0]!;
  await world.runUntil(4_000);
  const copy = old.copyDisk();
  const decisionsThen = old.daemon!.member!.ipam.stats().decisions;
  await world.runUntil(40_000);
  expect(old.daemon!.member!.ipam.stats().decisions).toBeGreaterThan(decisionsThen);
  old.cutPower();
  old.restoreDisk(copy);
  old.hasOldState = true;
  network.partition([[0], [1, 2, 3, 4]]);
  old.launch(null);
  await world.runUntil(44_000);
  await writeVersions(old, 60);
  expect(versionAt(old, old)).toBeGreaterThan(versionAt(hosts[1]!, old));
  network.heal();
  await world.runUntil(60_000);
  expect(log.lines.filter((line) => line.includes('has voted and forgotten it'))).toHaveLength(1);
});
