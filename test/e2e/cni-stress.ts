// Twenty workers attach and detach without pause, as a busy runtime does, while plugins are killed in mid-call, the daemon is
// killed, namespaces vanish and DELs never come. No address is ever there twice; at the end no address, interface, route, rule
// or FDB entry is left. 300 pairs of ADD and DEL; with FABRIC_LONG=cni-stress 5,000. The seed is in the test's name.

import { type Test, test } from 'tap';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const IS_LONG = process.env.FABRIC_LONG === 'cni-stress';
const SEED = IS_LONG ? Date.now() % 1_000_000 : 5;
const PAIRS = IS_LONG ? 5_000 : 300;
const WORKERS = 20;
const PAIRS_PER_DAEMON_KILL = IS_LONG ? 400 : 100;
/** Of calls that are killed, the moment lies within this time: a call takes about that long here. */
const KILL_WITHIN_MS = 120;
const CONF = { cniVersion: '1.1.0', name: 'fabric', type: 'fabric' };
/** Left attached at the end, with their namespaces: only GC can free them. */
const FORGOTTEN = 5;

/** What becomes of a pair. */
const FATES = ['fine', 'fine', 'fine', 'add killed', 'del killed', 'vanishes', 'never deleted'] as const;

interface Counts {
  added: number;
  addsKilled: number;
  addsFailed: number;
  deletesKilled: number;
  neverDeleted: number;
  vanished: number;
  daemonKills: number;
}

test(`L8 no leak and no duplicate under stress, seed ${SEED}`, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  const other = await lab.host('b');
  await host.launch();
  await other.launch({ join: host, token: await host.token() });
  await host.waitReady(1);
  const clean = await kernelState(host);
  const stress = new Stress(t, host);
  await stress.run();
  t.comment(JSON.stringify(stress.counts));
  for (const [what, count] of Object.entries(stress.counts)) t.ok(count > 0, `${count} ${what}`);

  await eventually(
    'what no DEL ever comes for is freed because its namespace is gone',
    async () => (await host.status()).attachments.length === FORGOTTEN,
  );
  const [one] = stress.forgotten;
  await one!.cni('GC', { stdin: { ...CONF, 'cni.dev/valid-attachments': [] } });
  await leavesNothing(t, { host, other });
  t.same(await kernelState(host), clean, 'the kernel is as it was: interfaces, routes, FDB, nftables, sysctls');
});

async function leavesNothing(t: Test, { host, other }: { host: LabHost; other: LabHost }): Promise<void> {
  const { attachments, leases, self, health } = await host.status();
  t.same(attachments, [], 'GC frees what the runtime forgot');
  const used = leases.filter(({ peer }) => peer === self.id).map((lease) => lease.used ?? 0);
  t.equal(
    used.reduce((sum, count) => sum + count, 0),
    2,
    'addresses are held for the host alone, one of each family',
  );
  t.ok(health.ok, 'the host is well');
  await eventually('the other host knows of the host alone', async () => {
    return (await other.status()).routes.filter(({ local }) => !local).length === 1;
  });
}

class Stress {
  readonly counts: Counts = {
    added: 0,
    addsKilled: 0,
    addsFailed: 0,
    deletesKilled: 0,
    neverDeleted: 0,
    vanished: 0,
    daemonKills: 0,
  };
  readonly forgotten: LabContainer[] = [];
  readonly #t: Test;
  readonly #host: LabHost;
  /** Addresses of containers whose ADD was answered and whose DEL was not begun. */
  readonly #held = new Map<string, string>();
  #begun = 0;
  #relaunch: Promise<unknown> = Promise.resolve();

  constructor(t: Test, host: LabHost) {
    this.#t = t;
    this.#host = host;
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: WORKERS }, (_, index) => this.#work(index)));
    await this.#relaunch;
    for (let index = 0; index < FORGOTTEN; index++) {
      const container = this.#container(`w${index}`, `forgotten-${index}`);
      await container.cni('ADD');
      this.forgotten.push(container);
    }
  }

  async #work(worker: number): Promise<void> {
    const namespace = `w${worker}`;
    const random = new SeededRandom(SEED * WORKERS + worker);
    await this.#host.run(['ip', 'netns', 'add', namespace]);
    while (this.#begun < PAIRS) {
      const pair = this.#begun++;
      if (pair % PAIRS_PER_DAEMON_KILL === PAIRS_PER_DAEMON_KILL - 1) this.#killDaemon();
      await this.#pair(this.#container(namespace, `c${pair}`), random);
    }
  }

  async #pair(container: LabContainer, random: SeededRandom): Promise<void> {
    const fate = FATES[random.below(FATES.length)]!;
    const killAfterMs = random.fraction() * KILL_WITHIN_MS;
    const add = container.cni('ADD', { mayFail: true, ...(fate === 'add killed' ? { killAfterMs } : {}) });
    if (fate === 'vanishes') await this.#renew(container);
    const { status, stdout } = await add;
    if (status === 0) this.#keep(container, stdout);
    else if (fate === 'add killed') this.counts.addsKilled++;
    else this.counts.addsFailed++;
    if (fate === 'never deleted') {
      this.counts.neverDeleted++;
      this.#release(container);
      await this.#renew(container);
      return;
    }
    this.#release(container);
    if (fate === 'del killed') {
      this.counts.deletesKilled++;
      await container.cni('DEL', { mayFail: true, killAfterMs });
    }
    if (fate === 'vanishes') this.counts.vanished++;
    await container.cni('DEL');
    if (status !== 0 && fate !== 'add killed') await this.#relaunch; // a runtime backs off when there is no daemon
  }

  #keep(container: LabContainer, stdout: string): void {
    this.counts.added++;
    const { ips } = JSON.parse(stdout) as { ips: readonly { address: string }[] };
    for (const { address } of ips) {
      const holder = this.#held.get(address);
      if (holder !== undefined) this.#t.fail(`${address} was given to ${container.id} while ${holder} has it`);
      this.#held.set(address, container.id);
    }
  }

  #release({ id }: LabContainer): void {
    for (const [address, holder] of this.#held) if (holder === id) this.#held.delete(address);
  }

  /** The namespace goes, whatever is in it, and its path leads to a new one. */
  async #renew({ name }: LabContainer): Promise<void> {
    await this.#host.run(['ip', 'netns', 'delete', name]);
    await this.#host.run(['ip', 'netns', 'add', name]);
  }

  /** At once; the workers go on meanwhile. */
  #killDaemon(): void {
    this.#relaunch = this.#relaunch.then(async () => {
      this.counts.daemonKills++;
      await this.#host.kill('KILL');
      await this.#host.launch();
    });
  }

  #container(name: string, id: string): LabContainer {
    return new LabContainer({ host: this.#host, name, id, conf: CONF });
  }
}
