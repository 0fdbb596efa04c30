// Daemons of one cluster are killed and restarted at random while containers come and go on all hosts: no address is ever given
// to two containers that live at the same time, and once all daemons are up again every pair of containers talks, each host
// shows its own containers and no other, and no daemon takes more than 150 MiB. 6 daemons for 8 s; with FABRIC_LONG=daemons
// 20 for ten minutes. The seed is in the test's name.

import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import { SeededRandom } from '../fakes/seeded-random.ts';
import type { LabContainer } from '../lab/container.ts';
import type { LabHost } from '../lab/host.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { Lab } from '../lab/lab.ts';
import { makeNeighbourRoom } from '../lab/neighbour-room.ts';
import { DAEMON_PROCESS, residentMiB } from '../lab/processes.ts';

const IS_LONG = process.env.FABRIC_LONG === 'daemons';
const DAEMONS = IS_LONG ? 20 : 6;
const STORM_MS = IS_LONG ? 600_000 : 8_000;
const SEED = IS_LONG ? Math.floor(Date.now() / 1_000) : 1;
const FLAGS = ['--range', '10.48.0.0/20', '--lease-prefix', '27'];
/** Daemons that may be dead at the same time. */
const KILLERS = IS_LONG ? 3 : 1;
const DOWN_MAX_MS = 3_000;
/** Before a runtime's next step, so that twenty hosts leave the machine some time. */
const PAUSE_MAX_MS = 300;
/** A runtime starts or ends one container after the other on each of so many hosts at once. */
const RUNTIMES = 2;
const CONTAINERS_PER_HOST_MAX = 5;
const READY_MAX_MS = 60_000;
const TALK_MAX_MS = 15_000;
const DAEMON_MIB_MAX = 150;
/** Of all containers, and of the hosts; each has one for each that it talks to. */
const NEIGHBOURS_MAX = (DAEMONS * CONTAINERS_PER_HOST_MAX) ** 2 + DAEMONS ** 2;

test(`${DAEMONS} daemons, killed at random for ${STORM_MS / 1_000} s, seed ${SEED}`, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  t.teardown(makeNeighbourRoom(NEIGHBOURS_MAX));
  const hosts = await startCluster(lab);
  const storm = new Storm(hosts, performance.now() + STORM_MS);
  await storm.blow();
  t.comment(JSON.stringify(storm.counts));
  t.same(storm.twice, [], 'no address was given twice');
  t.ok(storm.counts.kills > 0 && storm.counts.added > 0 && storm.counts.removed > 0, 'something happened');

  for (const host of hosts) await host.waitReady(DAEMONS - 1, READY_MAX_MS);
  const living = [...storm.living];
  for (const host of hosts) {
    const { attachments } = await host.status();
    const shown = attachments.map(({ containerId, ips }) => `${containerId} ${ips[0]!.split('/')[0]}`).sort();
    const wanted = living.filter((container) => container.host === host).map(({ id, ip }) => `${id} ${ip}`);
    t.same(shown, wanted.sort(), `${host.name} shows its ${wanted.length} containers`);
  }
  const startMs = performance.now();
  let silent = await silentPairs(living);
  while (silent.length > 0 && performance.now() - startMs < TALK_MAX_MS) silent = await silentPairs(living);
  t.same(silent, [], 'every pair talks');
  const talkS = ((performance.now() - startMs) / 1_000).toFixed(1);
  t.comment(`${living.length} containers, ${living.length * (living.length - 1)} pings: ${talkS} s`);
  const memory = await Promise.all(hosts.map((host) => residentMiB(host, DAEMON_PROCESS)));
  t.comment(`resident memory of a daemon, MiB: ${memory.map((mib) => mib.toFixed(0)).join(' ')}`);
  t.ok(Math.max(...memory) <= DAEMON_MIB_MAX, `at most ${DAEMON_MIB_MAX} MiB`);
});

async function startCluster(lab: Lab): Promise<readonly LabHost[]> {
  const hosts: LabHost[] = [];
  for (let i = 0; i < DAEMONS; i++) hosts.push(await lab.host(`h${i}`));
  const [first, ...others] = hosts;
  await first!.launch({ flags: FLAGS });
  const token = await first!.token();
  await inParallel(others, RUNTIMES, (host) => host.launch({ join: first!, token }));
  await Promise.all([first!, others.at(-1)!].map((host) => host.waitReady(DAEMONS - 1, READY_MAX_MS)));
  return hosts;
}

/** Each killer and each runtime has hosts of its own, so that none of them meets its like on one. */
class Storm {
  /** Told by the daemon that they are attached. */
  readonly living = new Set<LabContainer>();
  /** Addresses that a container got while another had them. */
  readonly twice: string[] = [];
  readonly counts = { kills: 0, added: 0, removed: 0, failedAdds: 0 };
  readonly #hosts: readonly LabHost[];
  readonly #endMs: number;
  readonly #random = new SeededRandom(SEED);
  #names = 0;

  /** `endMs`: by performance.now(). */
  constructor(hosts: readonly LabHost[], endMs: number) {
    this.#hosts = hosts;
    this.#endMs = endMs;
  }

  /** Until the end; then all daemons run. */
  async blow(): Promise<void> {
    const killers = Array.from({ length: KILLERS }, (_, i) => this.#kill(this.#share(i, KILLERS)));
    const runtimes = Array.from({ length: RUNTIMES }, (_, i) => this.#runContainers(this.#share(i, RUNTIMES)));
    await Promise.all([...killers, ...runtimes]);
  }

  async #kill(hosts: readonly LabHost[]): Promise<void> {
    const random = this.#random.split();
    while (performance.now() < this.#endMs) {
      const host = hosts[random.below(hosts.length)]!;
      await host.kill();
      this.counts.kills++;
      await delay(random.below(DOWN_MAX_MS));
      await host.launch();
      await delay(random.below(DOWN_MAX_MS));
    }
  }

  async #runContainers(hosts: readonly LabHost[]): Promise<void> {
    const random = this.#random.split();
    while (performance.now() < this.#endMs) {
      const host = hosts[random.below(hosts.length)]!;
      const running = [...this.living].filter((container) => container.host === host);
      const ends = random.below(CONTAINERS_PER_HOST_MAX) < running.length;
      if (ends) await this.#end(running[random.below(running.length)]!);
      else await this.#start(host);
      await delay(random.below(PAUSE_MAX_MS));
    }
  }

  async #start(host: LabHost): Promise<void> {
    const container = await host.namespace(`c${this.#names++}`);
    if (await container.tryAdd()) {
      const other = [...this.living].find(({ ip, ip6 }) => ip === container.ip || ip6 === container.ip6);
      if (other !== undefined) this.twice.push(`${container.ip} of ${container.id} and ${other.id}`);
      this.living.add(container);
      this.counts.added++;
    } else {
      this.counts.failedAdds++;
      await container.remove();
    }
  }

  /** Its address is free from the first moment on in which DEL may have been served. */
  async #end(container: LabContainer): Promise<void> {
    this.living.delete(container);
    await container.remove();
    this.counts.removed++;
  }

  #share(index: number, of: number): readonly LabHost[] {
    return this.#hosts.filter((_, i) => i % of === index);
  }
}

/** Those whose ping is not answered, as `from > to`. */
async function silentPairs(containers: readonly LabContainer[]): Promise<readonly string[]> {
  const script = 'for address; do ping -c 1 -W 2 "$address" > /dev/null || echo "$address"; done';
  const silent = await inParallel(containers, 4, async (from) => {
    const others = containers.filter((to) => to !== from).map(({ ip }) => ip);
    const { stdout } = await from.run(['sh', '-c', script, 'sh', ...others], { timeoutMs: 240_000 });
    return stdout.split('\n').flatMap((ip) => (ip === '' ? [] : `${from.ip} on ${from.host.name} > ${ip}`));
  });
  return silent.flat();
}
