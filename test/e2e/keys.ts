// Keys of a living cluster (docs/keys.md) on three hosts of both datapaths, by one cluster: a rotation under traffic, a host that
// was away for one and for two of them, and a revocation, timed.

import { type Test, test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

/** The goal of a revocation. */
const REVOKED_MS_MAX = 5_000;
const PINGS_EVERY_S = 0.02;

interface Scene {
  readonly lab: Lab;
  readonly a: LabHost;
  readonly b: LabHost;
  readonly c: LabHost;
  readonly containers: Readonly<Record<'a' | 'b' | 'c', LabContainer>>;
}

test('keys of a living cluster', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];
  await a.launch();
  const token = await a.token();
  await Promise.all([b.launch({ join: a, token, flags: ['--datapath', 'pcap'] }), c.launch({ join: a, token })]);
  for (const host of [a, b, c]) await host.waitReady(2);
  const containers = { a: await a.container('in-a'), b: await b.container('in-b'), c: await c.container('in-c') };
  const scene = { lab, a, b, c, containers };
  await eventually('a reaches b and c', async () => {
    return (await containers.a.pings(containers.b.ip)) && containers.a.pings(containers.c.ip);
  });
  await t.test('a rotation under traffic loses no packet', (t) => rotateUnderTraffic(t, scene));
  await t.test('hosts that were away for one rotation and for two come back', (t) => returnLate(t, scene));
  await t.test('TM33 a revocation ends live links and tunnels of both datapaths', (t) => revoke(t, scene));
  await t.test('TM33 the revoked host gets in neither as itself nor by its token', (t) => keepOut(t, scene));
});

async function rotateUnderTraffic(t: Test, { a, b, c, containers }: Scene): Promise<void> {
  const pings = [
    [containers.a, containers.b],
    [containers.b, containers.c],
    [containers.c, containers.a],
  ] as const;
  const running = pings.map(([from, to]) =>
    from.run(['ping', '-q', '-c', '75', '-i', String(PINGS_EVERY_S), '-W', '2', to.ip]),
  );
  const { stdout } = await a.fabric(['token', 'rotate']);
  t.match(stdout, /generation 2 now.*lets in new hosts until 20/);
  const tookMs = await eventually('all have the new token', async () => {
    const generations = await Promise.all([a, b, c].map(async (host) => (await host.status()).token?.generation));
    return generations.every((generation) => generation === 2);
  });
  t.comment(`all three have it within ${Math.round(tookMs)} ms, as polls of their status show`);
  for (const { stdout: summary } of await Promise.all(running)) t.match(summary, / 0% packet loss/);
  t.equal(await c.token(), await a.token(), 'they have the same one');
  t.not((await a.status()).token?.graceEndsAt, null, 'and a grace runs');
}

/** Two hosts are away; one returns after one rotation, the other after two, for which nobody kept a token. */
async function returnLate(t: Test, { a, b, c, containers }: Scene): Promise<void> {
  await Promise.all([b.kill(), c.kill()]);
  await a.fabric(['token', 'rotate', '--grace', '0']);
  const { token } = await a.status();
  t.same(token, { generation: 3, graceEndsAt: null }, 'no grace runs');
  await c.launch();
  await eventually('c has the new token', async () => (await c.status()).token?.generation === 3);
  t.equal(await c.token(), await a.token(), 'the host that was away for one rotation has the new token');
  await eventually('c reaches a', () => containers.c.pings(containers.a.ip));

  await c.fabric(['token', 'rotate', '--grace', '0']);
  await eventually('a has the one after it', async () => (await a.status()).token?.generation === 4);
  await b.launch();
  await eventually('b says what to do', async () => {
    const { problems } = (await b.status()).health;
    return problems.some(({ code, fix }) => code === 'token-outdated' && fix.includes('fabric launch --token-file'));
  });
  await b.fabric(['stop']);
  await b.fabric(['launch', '--detach', '--token-file', '-'], { input: await a.token() });
  await b.waitReady(2);
  await eventually('b is back, with its container', () => containers.b.pings(containers.a.ip));
  const [attachment] = (await b.status()).attachments;
  t.equal(attachment?.ips[0]?.split('/')[0], containers.b.ip, 'which keeps its address');
}

async function revoke(t: Test, { a, b, c, containers }: Scene): Promise<void> {
  const revoked = (await c.status()).self.id;
  await eventually('c talks to both', async () => {
    return (await containers.c.pings(containers.a.ip)) && containers.c.pings(containers.b.ip);
  });
  const startMs = performance.now();
  const { stdout } = await a.fabric(['revoke', 'c']);
  t.match(stdout, /revoked c .*the token was replaced/);
  await eventually('neither has a tunnel to it, nor gets a packet through', async () => {
    const rows = await Promise.all([a, b].map(async (host) => (await host.status()).tunnels));
    if (rows.flat().some(({ peer }) => peer === revoked)) return false;
    const reached = await Promise.all(
      [containers.a, containers.b].map((to) =>
        containers.c.run(['ping', '-c', '1', '-W', '0.2', to.ip], { mayFail: true }),
      ),
    );
    return reached.every(({ status }) => status !== 0);
  });
  const tookMs = performance.now() - startMs;
  t.ok(tookMs < REVOKED_MS_MAX, `it is cut off everywhere within 5 s (${Math.round(tookMs)} ms)`);
  await eventually('b has the new token', async () => (await b.token()) === (await a.token()));
  t.not(await c.token(), await a.token(), 'c has not');
  await eventually('c is told', async () => JSON.stringify((await c.status()).health).includes('removed'));
  t.ok(await containers.a.pings(containers.b.ip), 'the others go on');
}

async function keepOut(t: Test, { lab, a, c }: Scene): Promise<void> {
  const known = await c.token();
  await c.kill();
  await c.launch();
  await eventually('restarted it is turned away', async () =>
    JSON.stringify(await c.status()).includes('peer-removed'),
  );
  await c.fabric(['reset', '--yes', '--force']);
  lab.spawn([...c.enter(), 'env', `FABRIC_TOKEN=${known}`, ...c.fabricCommand(['launch', '--join', a.ip])]);
  await eventually('as a new host, too', async () => {
    const { status, stdout } = await c.fabric(['status', '--json'], { mayFail: true });
    return status === 0 && stdout.includes("the cluster's token was replaced");
  });
  t.same(
    (await a.status()).peers.map(({ nickname }) => nickname),
    ['b'],
    'nobody knows it',
  );
}
