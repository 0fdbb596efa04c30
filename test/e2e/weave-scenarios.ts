// What Weave Net's smoke tests held their users to and no other file here shows on real daemons (docs/weave-scenarios.md): which hosts
// are dialled, over restarts; two clusters of one token; every host reset in turn; another range.

import { type Test, test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const NOBODY = '192.0.2.99';

interface Scene {
  readonly a: LabHost;
  readonly b: LabHost;
  readonly c: LabHost;
  readonly twin: LabHost;
  readonly token: string;
}

test('scenarios of Weave Net', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c, twin] = [await lab.host('a'), await lab.host('b'), await lab.host('c'), await lab.host('twin')];
  await a.launch();
  const scene: Scene = { a, b, c, twin, token: await a.token() };
  for (const host of [b, c]) await host.launch({ join: a, token: scene.token });
  await b.waitReady(2);
  await t.test('who is dialled is remembered, replaced and forgotten', (t) => targets(t, scene));
  await t.test('two clusters created from one token refuse to merge, and both live on', (t) => seededApart(t, scene));
  await t.test('every host is reset in turn: the cluster lives on, and all allocate', (t) => rollingReset(t, scene));
  await t.test('another range: reset, and a new cluster', (t) => anotherRange(t, scene));
});

async function targets(t: Test, { a, b }: Scene): Promise<void> {
  const dialled = async () => (await b.status()).targets.map(({ host }) => host);
  await b.fabric(['connect', NOBODY]);
  t.same(await dialled(), [`${a.ip}:6783`, `${NOBODY}:6783`], 'beside the one that it joined');
  await b.fabric(['connect', '--replace', NOBODY]);
  t.same(await dialled(), [`${NOBODY}:6783`], '--replace forgets all others');
  await b.kill();
  await b.launch();
  await b.waitReady(2);
  t.same(await dialled(), [`${NOBODY}:6783`], 'that outlives a kill -9, and members are found without being named');
  await b.fabric(['forget', NOBODY]);
  await b.fabric(['stop']);
  await b.launch();
  await b.waitReady(2);
  t.same(await dialled(), [], 'what is forgotten stays forgotten');
}

async function seededApart(t: Test, { a, twin, token }: Scene): Promise<void> {
  await twin.fabric(['launch', '--detach', '--init', '--token-file', '-'], { input: token });
  await twin.fabric(['connect', a.ip]);
  await eventually('the one says why', async () => {
    return (await twin.status()).targets.some(({ error }) => error?.includes('different beginnings') ?? false);
  });
  const told = (await a.run(['grep', '-c', 'different beginnings', '/var/lib/fabric/fabric.log'])).stdout;
  t.ok(Number(told) > 0, 'and so does the other');
  for (const host of [a, twin]) {
    t.ok((await host.status()).health.ok, `${host.name} is healthy`);
    t.ok((await host.container(`alone-on-${host.name}`)).ip, 'and allocates');
  }
  t.same((await twin.status()).peers, [], 'neither knows the other');
}

async function rollingReset(t: Test, { a, b, c, token }: Scene): Promise<void> {
  for (const [host, member] of [
    [b, a],
    [c, a],
    [a, b],
  ] as const) {
    await host.fabric(['reset', '--yes', '--force']);
    await host.launch({ join: member, token });
    await host.waitReady(2);
  }
  const containers = await Promise.all([a, b, c].map((host) => host.container(`after-on-${host.name}`)));
  t.equal(new Set(containers.map(({ ip }) => ip)).size, 3, 'each host has an address for a container, another one');
  for (const from of containers) {
    for (const to of containers) {
      if (from !== to) await eventually(`${from.name} reaches ${to.name}`, () => from.pings(to.ip));
    }
  }
  for (const host of [a, b, c]) t.same((await host.status()).health.problems, [], `${host.name} is healthy`);
}

async function anotherRange(t: Test, { a, b, c }: Scene): Promise<void> {
  const refused = await a.fabric(['launch', '--range', '10.50.0.0/16'], { mayFail: true });
  t.equal(refused.status, 1, 'while the daemon runs nothing changes');
  for (const host of [a, b, c]) await host.fabric(['reset', '--yes', '--force']);
  await a.launch({ flags: ['--range', '10.50.0.0/16'] });
  await b.launch({ join: a, token: await a.token() });
  await b.waitReady(1);
  const [here, there] = [await a.container('new-here'), await b.container('new-there')];
  for (const { ip } of [here, there]) t.match(ip, /^10\.50\./);
  await eventually('they talk', () => here.pings(there.ip));
}
