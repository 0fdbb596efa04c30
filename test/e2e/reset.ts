// Beginnings and ends that go wrong half way: a host that left is remembered in the chains of others' blocks, a crash right
// after admission loses nothing, a joiner that is stopped says so, a stop during ADDs leaves nothing behind, and a reset that is
// stuck says in what.

import Database from 'better-sqlite3';
import { type Test, test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

test('who left keeps its place in the history of blocks: a restarted host believes their new owners', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')] as [LabHost, LabHost, LabHost];
  await a.launch();
  const token = await a.token();
  for (const host of [b, c]) await host.launch({ join: a, token });
  await b.waitReady(2);
  const left = (await b.status()).self.id;
  await b.fabric(['reset', '--yes']);
  const leasesOfLeft = async () => (await c.status()).leases.filter(({ peer }) => peer === left);
  await eventually('c knows who took the blocks', async () => (await leasesOfLeft()).length === 0);

  await c.fabric(['stop']);
  await c.launch();
  await c.waitReady(1);
  t.same(await leasesOfLeft(), [], 'after a restart the host that left owns nothing');

  await b.launch({ join: a, token });
  await c.waitReady(2);
  t.same((await c.status()).health.problems, [], 'every claim is believed');
});

test('stop --leave: unused blocks go to a peer, those of containers stay, and the next launch has an address at once', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')] as [LabHost, LabHost];
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await b.waitReady(1);
  const container = await b.container('web');
  const self = (await b.status()).self.id;
  const sizeOfB = async () =>
    (await a.status()).leases.reduce((sum, row) => sum + (row.peer === self ? row.size : 0), 0);
  const before = await sizeOfB();
  await b.fabric(['stop', '--leave']);
  const kept = (await a.status()).leases.filter(({ peer, cidr }) => peer === self && cidr.includes('.'));
  t.equal(kept.length, 1, "b keeps its container's IPv4 block");
  t.equal(kept[0]?.size, 256, 'and nothing beside it');
  t.ok((await sizeOfB()) < before, 'the rest is with a');
  await b.launch();
  await b.waitReady(1);
  t.same(
    (await b.status()).attachments.map(({ ips }) => ips[0]?.split('/')[0]),
    [container.ip],
    'the container keeps its address',
  );

  await container.cni('DEL');
  await b.fabric(['stop', '--leave']);
  t.equal(await sizeOfB(), 0, 'without a container nothing stays with b');
  const alone = await a.fabric(['stop', '--leave']);
  t.equal(alone.status, 0, 'the last host just stops');
});

test('a crash right after the cluster was made: the next start founds its address space', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  await a.launch();
  await a.fabric(['stop']);
  const database = new Database(`${a.stateDirectory}/fabric.db`);
  database.exec('DELETE FROM entries'); // as admission leaves it
  database.close();
  await a.launch();
  const container = await a.container('web');
  t.match(container.ip, /^10\.32\./, 'a container gets an address');
});

test('a joiner that is stopped before it was admitted does not say that it is ready', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  const token = (await a.fabric(['token', '--generate'])).stdout.trim();
  const launch = a.fabric(['launch', '--detach', '--join', '192.0.2.250', '--token-file', '-'], {
    input: token,
    mayFail: true,
  });
  await eventually('it tries to join', async () => (await a.fabric(['status'], { mayFail: true })).status === 0);
  await a.fabric(['stop']);
  const { status, stdout } = await launch;
  t.equal(status, 1, 'launch fails');
  t.equal(stdout, '', 'and announces nothing');
});

test('stop while containers are being attached: each ADD ends, and nothing half made stays', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  await a.launch();
  const containers = await Promise.all(Array.from({ length: 12 }, (_, i) => a.namespace(`n${i}`)));
  const adds = containers.map((container) => container.tryAdd());
  await a.fabric(['stop']);
  const attached = (await Promise.all(adds)).filter((done) => done).length;
  const { stdout } = await a.run(['ip', '-o', 'link', 'show', 'master', 'fabric0']);
  const ports = stdout.split('\n').filter((line) => /: fab[0-9a-f]{12}@/.test(line)).length;
  t.equal(ports, attached, 'as many interfaces as ADDs that succeeded');
  await a.launch();
  t.equal((await a.status()).attachments.length, attached, 'the next start knows exactly these');
  await t.test('reset names what it could not remove, and ends the work once it can', (t) => stuckReset(t, a));
});

/** `nft` fails from now on: what the daemon has in nftables can't be removed. */
async function stuckReset(t: Test, host: LabHost): Promise<void> {
  const nft = (await host.run(['which', 'nft'])).stdout.trim();
  await host.run(['mount', '--bind', '/bin/false', nft]);
  const { status, stderr } = await host.fabric(['reset', '--yes', '--force'], { mayFail: true });
  t.equal(status, 1, 'it fails');
  t.match(stderr, /left in the kernel: .*the tables fabric of nftables/, 'it says what is left');
  t.match(stderr, /nft delete table bridge fabric; nft delete table inet fabric/, 'and how it goes');
  t.match((await host.run(['ls', '/var/lib/fabric'])).stdout, 'identity.json', 'the state that tells of it stays');

  await host.run(['umount', nft]);
  await host.fabric(['reset', '--yes', '--force']);
  t.equal((await host.run(['nft', 'list', 'tables'])).stdout, '', 'nothing is left of nftables');
  t.notMatch((await host.run(['ip', 'link', 'show'])).stdout, /fab/, 'nor of interfaces');
  t.notMatch((await host.run(['ls', '/var/lib/fabric'])).stdout, 'identity.json', 'nor of the state');
}
