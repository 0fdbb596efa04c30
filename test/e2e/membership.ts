// How hosts find and keep each other: clocks that are a year off, dialling oneself and what is linked already, forgetting,
// and restarts that need no flags, orderly, by kill -9, and of the whole cluster at once.

import { type Test, test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const YEAR_S = 365 * 86_400;
const HOSTS = ['past', 'present', 'future'] as const;
const MESH_PORT = 6783;

interface Scene {
  readonly hosts: readonly LabHost[];
  readonly past: LabHost;
  readonly present: LabHost;
  readonly future: LabHost;
  readonly containers: readonly LabContainer[];
}

test('membership', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [past, present, future] = [await lab.host('past'), await lab.host('present'), await lab.host('future')];
  const hosts = [past, present, future];
  const containers: LabContainer[] = [];
  const scene: Scene = { hosts, past, present, future, containers };

  await t.test('TM19 hosts with clocks a year off join', async (t) => {
    await present.launch();
    const token = await present.token();
    for (const [host, offsetS] of [
      [past, -YEAR_S],
      [future, YEAR_S],
    ] as const) {
      await launchWithClock(host, offsetS, { join: present, token });
      const aheadS = (await clockOf(host)) - Date.now() / 1000;
      t.ok(Math.abs(aheadS - offsetS) < 600, `the clock of ${host.name} is ${Math.round(aheadS / 86_400)} days ahead`);
    }
    for (const host of hosts) containers.push(await host.container(`in-${host.name}`));
    await together(t, scene);
  });
  await t.test('dialling oneself, and what is linked already, changes nothing', (t) => connectAgain(t, scene));
  await t.test('a host that is forgotten is dialled no more', (t) => forget(t, scene));
  await t.test('a host restarts with the right clock, without flags', async (t) => {
    await future.fabric(['stop']);
    await resume(future);
    await together(t, scene);
  });
  await t.test('a host that was killed restarts without flags', async (t) => {
    await past.kill('KILL');
    await resume(past);
    await together(t, scene);
  });
  await t.test('a cluster that was off as a whole comes back', async (t) => {
    for (const host of hosts) await host.fabric(['stop']);
    for (const host of hosts) await resume(host);
    await together(t, scene);
  });
  await t.test('a second launch is refused and harms nothing', async (t) => {
    const { status, stderr } = await present.fabric(['launch'], { mayFail: true });
    t.equal(status, 1);
    t.match(stderr, 'another fabric daemon has locked it');
    await together(t, scene);
  });
});

async function launchWithClock(
  host: LabHost,
  offsetS: number,
  { join, token }: { join: LabHost; token: string },
): Promise<void> {
  const flags = ['--detach', '--nickname', host.name, '--join', join.ip, '--token-file', '-'];
  const offset = `${offsetS < 0 ? '' : '+'}${offsetS}s`;
  const faketime = ['faketime', '--exclude-monotonic', '-f', offset];
  await host.run([...faketime, ...host.fabricCommand(['launch', ...flags])], { input: token });
}

async function resume(host: LabHost): Promise<void> {
  await host.fabric(['launch', '--detach']);
}

/** Everybody sees the two others alive, over one link each, and the containers talk. */
async function together(t: Test, { hosts, containers }: Scene): Promise<void> {
  for (const host of hosts) await host.waitReady(HOSTS.length - 1);
  await eventually('one link joins each two hosts', async () => {
    const links = await Promise.all(hosts.map((host) => linkedTo(host)));
    return hosts.every((host, index) => {
      const others = hosts.filter((other) => other !== host).map(({ name }) => name);
      return String(links[index]) === String(others.sort());
    });
  });
  for (const from of containers) {
    for (const to of containers) {
      if (from === to) continue;
      await eventually(`${from.name} reaches ${to.name}`, () => from.pings(to.ip), { timeoutMs: 5_000 });
    }
  }
  t.pass('all three are linked and their containers talk');
}

/** Names of the hosts at the other end of each mesh connection, sorted; one that is connected twice stands there twice. */
async function linkedTo(host: LabHost): Promise<readonly string[]> {
  const filter = ['state', 'established', '(', 'sport', '=', `:${MESH_PORT}`, 'or', 'dport', '=', `:${MESH_PORT}`, ')'];
  const { stdout } = await host.run(['ss', '-Htn', ...filter]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => HOSTS[Number(/1([1-3])\]?:\d+ *$/.exec(line.trim())![1]) - 1]!)
    .sort();
}

async function clockOf(host: LabHost): Promise<number> {
  const { stdout } = await host.run(['tail', '-n', '1', '/var/lib/fabric/fabric.log']);
  return Date.parse((JSON.parse(stdout) as { time: string }).time) / 1000;
}

async function connectAgain(t: Test, scene: Scene): Promise<void> {
  const { present, past, future } = scene;
  const own = [present.ip, present.ip6, '127.0.0.1', '::1'];
  for (const address of own) await present.fabric(['connect', address]);
  const dials: Promise<unknown>[] = [];
  for (const [from, to] of [
    [present, past],
    [past, present],
    [future, past],
    [past, future],
  ] as const) {
    for (const address of [to.ip, to.ip6]) dials.push(from.fabric(['connect', address]));
  }
  await Promise.all(dials);
  const named = own.map((address) => (address.includes(':') ? `[${address}]` : address));
  await eventually('its own addresses are known as its own', async () => {
    const { targets } = await present.status();
    return named.every((address) =>
      targets.some((one) => one.host === `${address}:${MESH_PORT}` && one.state === 'self'),
    );
  });
  await eventually('the others are known as linked', async () => {
    const { targets } = await past.status();
    return targets.length === 4 && targets.every(({ state }) => state === 'linked');
  });
  t.notOk(
    (await present.status()).peers.some(({ nickname }) => nickname === 'present'),
    'nobody is its own peer',
  );
  await together(t, scene);
  for (const address of own) await present.fabric(['forget', address]);
  for (const address of [past.ip, past.ip6]) await present.fabric(['forget', address]);
  t.same((await present.status()).targets, [], 'what was connected can be forgotten');
  await together(t, scene);
}

async function forget(t: Test, { present }: Scene): Promise<void> {
  const nobody = '192.0.2.99';
  await present.fabric(['connect', nobody]);
  await eventually('the reason stands in status', async () => {
    const target = (await present.status()).targets.find(({ host }) => host === `${nobody}:${MESH_PORT}`);
    return (target?.error ?? '') !== '';
  });
  t.ok((await present.status()).health.ok, 'a target that does not answer makes no host unhealthy');
  await present.fabric(['forget', nobody]);
  t.same((await present.status()).targets, []);
  const { status, stderr } = await present.fabric(['forget', nobody], { mayFail: true });
  t.equal(status, 1);
  t.match(stderr, nobody, 'what is not known cannot be forgotten');
}
