// What outlives the daemon: a stop and launch, a `kill -9`, a power cut and the restore of an old copy of the state keep
// every address where it is, re-adopt what runs, free what vanished, and never hand one address out twice. A copied state
// directory that runs twice is found out by both.

import { test } from 'tap';
import type { Status } from '../../src/daemon/status-types.ts';
import { DEPARTED_ALIAS, DEPARTED_GROUP } from '../../src/host/linux/names.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { copyRestingState, copyState } from '../lab/state-copy.ts';

const CONF = { cniVersion: '1.0.0', name: 'fabric', type: 'fabric' };

/** Hosts of one cluster, launched one after the other; the first creates it. */
async function clusterOf(lab: Lab, names: readonly string[], flags: readonly string[] = []): Promise<LabHost[]> {
  const hosts: LabHost[] = [];
  for (const name of names) hosts.push(await lab.host(name));
  const [first, ...others] = hosts;
  await first!.launch({ flags });
  const token = await first!.token();
  for (const host of others) await host.launch({ join: first!, token });
  return hosts;
}

const byId = (status: Status): Record<string, readonly string[]> =>
  Object.fromEntries(status.attachments.map(({ containerId, ips }) => [containerId, ips]));

/** IPv4 blocks that the host says are its own. */
const ownBlocks = ({ leases, self }: Status): readonly string[] =>
  leases.filter(({ peer, cidr }) => peer === self.id && !cidr.includes(':')).map(({ cidr }) => cidr);

const addresses = (containers: readonly LabContainer[]): readonly string[] =>
  containers.flatMap((container) => [container.ip, container.ip6]);

/** A port as a daemon leaves it that is killed between its answer to a DEL and the kernel's freeing of the interface. */
async function leaveDeparted(host: LabHost, ifname: string): Promise<void> {
  await host.run(['ip', 'link', 'add', ifname, 'type', 'veth', 'peer', 'name', `${ifname}2`]);
  await host.run(['ip', 'link', 'set', ifname, 'group', String(DEPARTED_GROUP), 'alias', DEPARTED_ALIAS]);
}

test('stop and launch, and kill -9: addresses stay, what runs is adopted, what vanished is freed', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = (await clusterOf(lab, ['a', 'b'])) as [LabHost, LabHost];
  const stays = await a.container('stays');
  const vanishes = await a.container('vanishes');
  const remote = await b.container('remote');
  await eventually('they talk', () => remote.pings(stays.ip));
  const before = byId(await a.status());

  await a.fabric(['stop']);
  t.equal((await a.fabric(['status'], { mayFail: true })).status, 3, 'stopped: status says that no daemon answers');
  t.equal((await stays.run(['ip', 'link', 'show', 'eth0'])).status, 0, 'stop leaves the interfaces');
  await a.launch();
  const after = await a.status();
  t.same(byId(after), before, 'after stop and launch every address is where it was');
  t.notOk(
    after.health.problems.some(({ code }) => code === 'host-address'),
    "the host's own too, all the time",
  );
  await eventually('they talk after stop and launch', () => remote.pings(stays.ip), { timeoutMs: 3_000 });

  await a.kill('KILL');
  await a.run(['ip', 'netns', 'delete', vanishes.name]);
  await leaveDeparted(a, 'fabdeparted');
  await a.launch();
  const port = await a.run(['ip', 'link', 'show', 'fabdeparted'], { mayFail: true });
  t.not(port.status, 0, 'what a DEL had answered before the daemon was killed is done by the next one');
  await eventually('they talk after kill -9', () => remote.pings(stays.ip), { timeoutMs: 3_000 });
  t.same(byId(await a.status()), { [stays.id]: before[stays.id] }, 'what vanished while the daemon was dead is freed');
  await eventually('the other host forgets it', async () => {
    return !(await b.status()).routes.some(({ mac }) => mac === vanishes.mac);
  });
  const again = await a.container('again', { conf: { args: { cni: { ips: [vanishes.ip] } } } });
  t.equal(again.ip, vanishes.ip, 'its address can be had again');
  t.ok(await remote.pings(again.ip), 'and works');
  await a.waitReady(1); // the host itself has its address again, too
});

test('a power cut in the middle of ADDs and of a join: no address twice', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = (await clusterOf(lab, ['a', 'b'], ['--range', '10.77.0.0/22'])) as [LabHost, LabHost];
  const c = await lab.host('c');
  const namespaces = await Promise.all(['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'].map((n) => a.namespace(n)));
  const remote = await b.container('remote');

  // The power goes off once the first of eight ADDs is answered, while c asks for its share.
  const joining = c.launch({ join: a, token: await a.token() });
  const adds = namespaces.map((container) => container.tryAdd());
  await Promise.race(adds);
  const flushed = await copyState(a, { andKill: true });
  const outcomes = await Promise.all(adds);
  const answered = namespaces.filter((_, index) => outcomes[index]);
  flushed.restore(a);
  await a.launch();
  await joining;
  for (const host of [a, b, c]) await host.waitReady(2);

  const known = byId(await a.status());
  t.ok(answered.length > 0, `${answered.length} of 8 ADDs were answered before the cut`);
  for (const container of answered) t.ok(known[container.id], `${container.name} was durable before it was answered`);
  for (const container of namespaces) if (!answered.includes(container)) await container.cni('DEL');
  const more = await Promise.all([a, b, c].flatMap((host) => ['m0', 'm1', 'm2', 'm3'].map((n) => host.container(n))));
  const all = addresses([...answered, ...more, remote]);
  t.equal(new Set(all).size, all.length, 'no address is there twice');
  const blocks = (await Promise.all([a, b, c].map((host) => host.status()))).flatMap(ownBlocks);
  t.equal(new Set(blocks).size, blocks.length, 'no block has two owners');
  for (const container of [...answered, ...more]) t.ok(await remote.pings(container.ip), `${container.ip} is reached`);
});

test('an old copy of the state: the host adopts what it forgot before it allocates', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = (await clusterOf(lab, ['a', 'b'], ['--range', '10.78.0.0/22'])) as [LabHost, LabHost];
  await b.waitReady(1);
  await a.fabric(['stop']);
  const old = copyRestingState(a);
  await a.launch();

  // After the copy a gives c its share (b is out of c's reach till then), and c uses it.
  const c = await lab.host('c');
  await lab.partition([b], [c]);
  await c.launch({ join: a, token: await a.token() });
  const remote = await c.container('remote');
  await lab.heal();
  t.match(remote.ip, /^10\.78\.[01]\./, 'c has an address of the half that a kept when b joined');
  await eventually('b knows what c got', async () => {
    return (await b.status()).routes.some(({ mac, state }) => mac === remote.mac && state === 'active');
  });
  await a.kill('KILL');
  old.restore(a);
  await a.launch();
  // The address is a's own by the old copy.
  const thief = await a.namespace('thief');
  t.not(
    await thief.tryAdd({ stdin: { ...CONF, args: { cni: { ips: [remote.ip] } } } }),
    true,
    'an address that was given away since is refused',
  );
  for (const host of [a, b, c]) await host.waitReady(2);
  const statuses = await Promise.all([a, b, c].map((host) => host.status()));
  const blocks = statuses.flatMap(ownBlocks);
  t.equal(new Set(blocks).size, blocks.length, `no block has two owners: ${blocks.join(' ')}`);
  const more = await Promise.all([a, b, c].flatMap((host) => ['m0', 'm1', 'm2'].map((n) => host.container(n))));
  const all = addresses([...more, remote]);
  t.equal(new Set(all).size, all.length, 'no address is there twice');
  for (const container of more) t.ok(await remote.pings(container.ip), `${container.ip} is reached`);
});

test('a copied state directory that runs twice: both say so, neither allocates', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = (await clusterOf(lab, ['a', 'b'])) as [LabHost, LabHost];
  await b.waitReady(1);
  await a.fabric(['stop']);
  const copy = copyRestingState(a);
  await a.launch();
  await b.waitReady(1);
  const clone = await lab.host('clone');
  copy.restore(clone);
  await clone.fabric(['launch', '--detach']);
  for (const host of [a, clone]) {
    await eventually(`${host.name} says that its identity is alive twice`, async () => {
      return (await host.status()).health.problems.some(({ code }) => code === 'identity-clone');
    });
    const container = await host.namespace('refused');
    const { status, stdout } = await container.cni('ADD', { mayFail: true });
    t.equal(status, 1, `${host.name} allocates nothing`);
    t.match(stdout, /identity/, 'and says why');
  }
  const free = await b.container('free');
  t.ok(free.ip, 'the others go on');
});
