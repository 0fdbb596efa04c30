// Two hosts cut off from each other while both attach 50 containers: blocks change hands only by gift, so no address is given
// twice, and once the cut is healed everybody reaches everybody. The range is small and its blocks smaller (16 addresses), so
// that both must open several blocks on their own while they are alone. 8 s; with FABRIC_LONG=partition 30 s.

import { test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { Lab } from '../lab/lab.ts';

const PARTITION_MS = process.env.FABRIC_LONG === 'partition' ? 30_000 : 8_000;
const CONTAINERS = 50;
const FLAGS = ['--range', '10.40.0.0/24', '--lease-prefix', '28'];
const HEAL_MAX_MS = 15_000;

test(`a partition of ${PARTITION_MS / 1000} s while both hosts allocate ${CONTAINERS} addresses`, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch({ flags: FLAGS });
  await b.launch({ join: a, token: await a.token() });
  for (const host of [a, b]) await host.waitReady(1);
  const before = [await a.container('before-a'), await b.container('before-b')] as const;
  await eventually('the containers talk', () => before[0].pings(before[1].ip));

  const cutMs = performance.now();
  await lab.partition([a], [b]);
  const [onA, onB] = await Promise.all([attachAll(a), attachAll(b)]);
  const attachedMs = performance.now() - cutMs;
  t.notOk(await before[0].pings(before[1].ip), 'nothing crosses meanwhile');
  for (const host of [a, b]) {
    const { leases, self } = await host.status();
    const active = leases.filter((lease) => lease.peer === self.id && lease.state === 'active' && lease.size === 16);
    t.ok(active.length >= 4, `${host.name} uses ${active.length} of its blocks`);
  }
  await eventually('both have noticed', async () => {
    const states = await Promise.all([a, b].map(async (host) => (await host.status()).peers[0]!.state));
    return states.every((state) => state !== 'alive');
  });
  await eventually('the partition has lasted', () => performance.now() - cutMs >= PARTITION_MS, {
    timeoutMs: PARTITION_MS,
  });
  const lastedMs = performance.now() - cutMs;
  t.comment(`all attached after ${(attachedMs / 1000).toFixed(1)} s; cut for ${(lastedMs / 1000).toFixed(1)} s`);

  await lab.heal();
  const healedMs = performance.now();
  await eventually('they talk again', () => before[0].pings(before[1].ip), { timeoutMs: HEAL_MAX_MS });
  t.comment(`the first ping crossed ${((performance.now() - healedMs) / 1000).toFixed(1)} s after the cut was healed`);
  for (const host of [a, b]) await host.waitReady(1, HEAL_MAX_MS);

  const all = [...onA, ...onB, ...before];
  for (const address of ['ip', 'ip6'] as const)
    t.equal(new Set(all.map((container) => container[address])).size, all.length, `no ${address} is there twice`);
  for (const host of [a, b])
    await eventually(`${host.name} knows all`, async () => {
      const { routes } = await host.status();
      return routes.filter(({ state }) => state === 'active').length === all.length + 2; // and the hosts themselves
    });
  t.same(await unreached(before[0], onB), [], 'from a all of b are reached');
  t.same(await unreached(before[1], onA), [], 'from b all of a are reached');
  for (const host of [a, b])
    t.same((await host.status()).health, { ok: true, problems: [], notices: [] }, `${host.name} is healthy`);
});

function attachAll(host: LabHost): Promise<LabContainer[]> {
  const names = Array.from({ length: CONTAINERS }, (_, index) => `${host.name}${index}`);
  return inParallel(names, 2, (name) => host.container(name));
}

async function unreached(from: LabContainer, containers: readonly LabContainer[]): Promise<string[]> {
  const addresses = containers.flatMap(({ ip, ip6 }) => [ip, ip6]);
  const reached = await inParallel(addresses, 4, (address) => from.pings(address));
  return addresses.filter((_, index) => !reached[index]);
}
