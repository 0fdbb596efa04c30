// `fabric rmpeer`: the survivors use a dead host's addresses in seconds, and the dead host stays out for good when it returns.

import { test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

test('rmpeer of the killed owner of all free space: a survivor allocates within 5 s; the dead host returns in vain', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')] as [LabHost, LabHost, LabHost];
  await a.launch();
  const token = await a.token();
  for (const host of [b, c]) await host.launch({ join: a, token });
  await b.waitReady(2);
  await a.fabric(['network', 'create', 'blue']);
  const knowsBlue = async () => (await b.status()).networks.find(({ name }) => name === 'blue') ?? null;
  await eventually('b knows the network', async () => (await knowsBlue()) !== null);
  const lost = (await a.status()).self.id;
  const wanted = (await a.status()).leases.find(({ peer, cidr }) => peer === lost && cidr.includes('.'))!;
  const ip = wanted.cidr.replace(/\.0\/\d+$/, '.77');

  const alive = await b.fabric(['rmpeer', 'a'], { mayFail: true });
  t.equal(alive.status, 1, 'a host that lives is not removed');
  t.match(alive.stderr, /a is alive/, 'and says so');
  t.equal((await b.fabric(['rmpeer', 'nobody'], { mayFail: true })).status, 1, 'nor one that nobody knows');

  await a.kill();
  await eventually('b has lost its link to a', async () => {
    return (await b.fabric(['rmpeer', 'a'], { mayFail: true })).status === 0;
  });
  const removedMs = performance.now();
  const owned = (await b.status()).leases.filter(({ peer }) => peer === lost);
  t.same(owned, [], 'b knows that a owns nothing');
  const container = await b.container('web', {
    conf: { ipam: { type: 'fabric', ranges: [[{ subnet: `${ip}/32` }]] } },
  });
  const tookMs = performance.now() - removedMs;
  t.equal(container.ip, ip, "a container on b has one of a's addresses");
  t.ok(tookMs < 5_000, `within 5 s (${Math.round(tookMs)} ms)`);
  const inBlue = await b.container('in-blue', { conf: { name: 'blue', network: 'blue' } });
  const blocks = (await b.status()).leases.filter(({ network, peer }) => network === 'blue' && peer !== lost);
  t.ok(blocks.length > 0, `and one, ${inBlue.ip}, of a named network, all of which was a's`);
  await b.fabric(['network', 'create', 'green']);
  t.pass('and b makes networks under ids that were');
  await eventually('c hears of it', async () => {
    const status = await c.status();
    return status.leases.every(({ peer }) => peer !== lost) && status.peers.every(({ id }) => id !== lost);
  });
  t.same((await c.status()).health.problems, [], 'and finds nothing wrong');

  await a.launch();
  await eventually('a is told why nobody lets it in', async () => {
    const { targets, health, peers } = await a.status();
    return JSON.stringify([targets, health, peers]).includes('removed');
  });
  t.ok(
    (await b.status()).peers.every(({ id }) => id !== lost),
    'b does not list it',
  );
  await b.fabric(['stop']);
  await b.launch();
  await b.waitReady(1);
  t.ok(
    (await b.status()).peers.every(({ id }) => id !== lost),
    'nor after a restart',
  );
  t.same(
    (await b.status()).attachments.map(({ ips }) => ips[0]?.split('/')[0]).sort(),
    [inBlue.ip, ip].sort(),
    'the containers keep their addresses',
  );
  await a.fabric(['reset', '--yes', '--force']);
  await a.launch({ join: b, token });
  await a.waitReady(2);
  t.not((await a.status()).self.id, lost, 'reset and joined anew it is welcome, as a new host');
});
