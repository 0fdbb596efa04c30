// `kill -9` of a daemon while 20 CNI ADDs are under way, again and again, at another moment each time: after the restart no
// address is there twice, nothing is left of what was half done, and the containers that were attached before are never silent
// for more than 3 s. 5 rounds; with FABRIC_LONG=kill-during-adds 50. A failing round names its seed.

import { setTimeout as delay } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { SeededRandom } from '../fakes/seeded-random.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { type KernelState, kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';
import { PingLog } from '../lab/ping-log.ts';
import { datapathSettled } from '../lab/settled.ts';

const ROUNDS = process.env.FABRIC_LONG === 'kill-during-adds' ? 50 : 5;
const ADDS = 20;
/** What an interface may stay after the answer to its DEL. */
const DEPARTED_WITHIN_MS = 1000;
const SILENCE_MAX_MS = 3_000;

interface Scene {
  readonly lab: Lab;
  readonly host: LabHost;
  readonly other: LabHost;
  /** Attached before the first round, on the host that is killed. */
  readonly survivors: readonly LabContainer[];
  readonly remote: LabContainer;
  /** Namespaces that each round attaches. */
  readonly candidates: readonly LabContainer[];
  /** What 20 ADDs at once take when nobody kills anything. */
  readonly batchMs: number;
}

test('L7 kill -9 of a daemon while 20 ADDs are under way', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  // One address each: tunnels may choose another family after a restart, and the kernel's VXLAN follows them.
  const host = await lab.host('a', { ipv4Only: true });
  const other = await lab.host('b', { ipv4Only: true });
  await host.launch();
  await other.launch({ join: host, token: await host.token() });
  const survivors = [await host.container('s0'), await host.container('s1')];
  const remote = await other.container('r0');
  const candidates: LabContainer[] = [];
  for (let i = 0; i < ADDS; i++) candidates.push(await host.namespace(`n${i}`));
  await eventually('the containers talk', () => remote.pings(survivors[0]!.ip));
  await eventually('the datapath has settled', () => datapathSettled(lab, host));
  const clean = await kernelState(host);
  const startedMs = performance.now();
  const undisturbed = await Promise.all(candidates.map((container) => container.tryAdd()));
  const batchMs = performance.now() - startedMs;
  t.ok(undisturbed.every(Boolean), `${ADDS} ADDs at once took ${batchMs.toFixed(0)} ms`);
  for (const container of candidates) await container.cni('DEL');
  const scene: Scene = { lab, host, other, survivors, remote, candidates, batchMs };
  for (let round = 0; round < ROUNDS; round++) {
    // Spread over the whole batch: each round's kill falls into its own slice.
    const random = new SeededRandom(round);
    const killAfterMs = ((round + random.fraction()) / ROUNDS) * batchMs;
    await t.test(`round ${round}`, (subtest) => killRound(subtest, scene, { random, killAfterMs, clean }));
  }
});

interface Round {
  readonly random: SeededRandom;
  readonly killAfterMs: number;
  /** The kernel before any round. */
  readonly clean: KernelState;
}

/** DEL answers before the kernel has freed the interface. */
async function nothingDeparted(host: LabHost): Promise<boolean> {
  return !(await host.run(['ip', '-d', 'link', 'show'])).stdout.includes('departed');
}

async function killRound(t: Test, scene: Scene, { random, killAfterMs, clean }: Round): Promise<void> {
  const { lab, host, other, survivors, remote, candidates } = scene;
  const pid = await host.daemonPid();
  const pings = new PingLog(lab, survivors[0]!, remote.ip, { everyMs: 20 });
  await eventually('a survivor talks', () => pings.answeredMs.length > 0);
  const adds = candidates.map((container) => container.tryAdd());
  await delay(killAfterMs);
  await host.run(['kill', '-KILL', String(pid)]);
  const outcomes = await Promise.all(adds);
  const failed = candidates.filter((_, index) => !outcomes[index]);
  const added = candidates.filter((_, index) => outcomes[index]);
  // A runtime deletes what it could not add: some at once, while no daemon runs, some later.
  const early = failed.filter(() => random.below(2) === 0);
  for (const container of early) await container.cni('DEL');

  await host.launch();
  const launchedMs = Date.now();
  await eventually('the survivor talks', () => pings.answeredMs.at(-1)! > launchedMs);
  await pings.stop();
  t.comment(`killed after ${killAfterMs.toFixed(0)} ms: ${added.length} added`);
  const { silenceMs } = pings;
  t.ok(
    silenceMs <= SILENCE_MAX_MS,
    `the longest silence of a survivor, from kill to launch: ${silenceMs.toFixed(0)} ms`,
  );
  t.ok(await remote.pings(survivors[1]!.ip), 'and in the other direction');

  for (const container of failed.filter((one) => !early.includes(one))) await container.cni('DEL');
  const expected = [...survivors, ...added];
  const status = await host.status();
  t.same(
    status.attachments.map(({ containerId }) => containerId).sort(),
    expected.map(({ id }) => id).sort(),
    'attached is what was answered, and no more',
  );
  const ips = [...expected, remote].flatMap((container) => [container.ip, container.ip6]);
  t.equal(new Set(ips).size, ips.length, 'no address is there twice');
  for (const container of added) t.ok(await remote.pings(container.ip), `${container.name} is reached`);
  for (const container of failed) {
    const { status: found } = await container.run(['ip', 'link', 'show', 'eth0'], { mayFail: true });
    t.not(found, 0, `${container.name} has no interface`);
  }

  for (const container of added) await container.cni('DEL');
  await eventually('the kernel has freed what DELs let go of', () => nothingDeparted(host), {
    timeoutMs: DEPARTED_WITHIN_MS,
  });
  await eventually('the datapath has settled', () => datapathSettled(lab, host));
  t.same(await kernelState(host), clean, 'the kernel is as it was: interfaces, routes, FDB, nftables, sysctls');
  const left = await host.status();
  t.same(left.attachments.map(({ containerId }) => containerId).sort(), survivors.map(({ id }) => id).sort());
  const used = left.leases.filter(({ peer, cidr }) => peer === left.self.id && !cidr.includes(':'));
  t.equal(
    used.reduce((sum, lease) => sum + (lease.used ?? 0), 0),
    survivors.length + 1,
    'addresses are held for the containers and the host alone',
  );
  await eventually('the other host knows no more than the survivors and the host', async () => {
    const routes = (await other.status()).routes.filter(({ local }) => !local);
    return routes.length === survivors.length + 1;
  });
}
