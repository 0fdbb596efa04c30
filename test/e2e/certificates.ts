// Operator-issued certificates on real daemons (docs/keys.md): who has the token alone is not admitted, nor who has another host's
// certificate; renewal and the rotation of the CA without a restart, also for a host that was away meanwhile; a certificate that runs
// out. With FABRIC_LONG=certificates also how that ends the link and the tunnel of a host that runs, which takes more than a minute.

import { copyFileSync } from 'node:fs';
import { type Test, test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { certificateFile, certificateFlags, giveCertificate, OperatorCa } from '../lab/operator-ca.ts';

const IS_LONG = process.env.FABRIC_LONG === 'certificates';
/** As in src/host/certificates/judge.ts: so long after its end others still take a certificate. */
const SKEW_MS = 600_000;
/** Files are looked at every 2 s; on a busy machine later. */
const TAKEN_UP_MS = 5_000;
/** As in src/daemon/certificates.ts: when others look, and how long they are patient, with some seconds for what is slow. */
const CUT_MAX_MS = 30_000 + 60_000 + 10_000;

interface Scene {
  readonly lab: Lab;
  readonly a: LabHost;
  readonly b: LabHost;
  readonly c: LabHost;
  readonly old: OperatorCa;
  readonly token: string;
  readonly containers: { readonly a: LabContainer; readonly b: LabContainer };
}

test('certificates of an operator', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')] as [LabHost, LabHost, LabHost];
  const old = new OperatorCa(a.directory, 'old-ca');
  for (const host of [a, b]) giveCertificate(host, old.issue(host.name), [old]);
  await t.test('a key that others can read is refused at the launch', async (t) => {
    giveCertificate(c, old.issue('c'), [old], 0o644);
    const { status, stderr } = await c.fabric(['launch', ...certificateFlags(c)], { mayFail: true });
    t.equal(status, 1);
    t.match(stderr, /host\.key is open to others\s+why: its mode is 0644\s+do: +chmod 600/);
  });
  await a.launch({ flags: certificateFlags(a) });
  const token = await a.token();
  await b.launch({ join: a, token, flags: certificateFlags(b) });
  await Promise.all([a.waitReady(1), b.waitReady(1)]);
  const scene: Scene = {
    lab,
    a,
    b,
    c,
    old,
    token,
    containers: { a: await a.container('ca'), b: await b.container('cb') },
  };
  await t.test('hosts with certificates form a cluster', async (t) => {
    await eventually('containers talk', () => scene.containers.a.pings(scene.containers.b.ip));
    const { certificate } = await b.status();
    t.match(certificate, { name: 'O=example, CN=b', demanded: true, reason: null });
    t.match((await b.fabric(['status'])).stdout, /certificate {2}O=example, CN=b, until 20/);
  });
  await t.test('TM34 the token alone does not let a host in', (t) => tokenAlone(t, scene));
  await t.test("TM35 nor does another host's certificate", (t) => stolen(t, scene));
  let next: OperatorCa | null = null;
  await t.test('a certificate is renewed, and the CA replaced, without a restart', async (t) => {
    next = await rotate(t, scene);
  });
  await t.test('a certificate that runs out shuts its host out until it is renewed', (t) => runOut(t, scene, next!));
});

async function tokenAlone(t: Test, { lab, a, c, token }: Scene): Promise<void> {
  const why = /closed the connection: it shows no operator-issued certificate, and this host demands one/;
  await launchInVain(lab, c, { a, token, flags: [], why });
  t.same(
    (await a.status()).peers.map(({ nickname }) => nickname),
    ['b'],
    'nobody knows it',
  );
}

async function stolen(t: Test, { lab, a, b, c, old, token }: Scene): Promise<void> {
  for (const name of ['host.pem', 'host.key'] as const)
    copyFileSync(certificateFile(b, name), certificateFile(c, name));
  await launchInVain(lab, c, {
    a,
    token,
    flags: certificateFlags(c),
    why: /it shows the certificate of peer .* which is a member/,
  });
  giveCertificate(c, old.issue('c'), [old]);
  await c.launch({ join: a, token, flags: certificateFlags(c) });
  await c.waitReady(2);
  t.same((await c.status()).health.notices, [], 'with a certificate of its own it is welcome');
}

async function rotate(t: Test, { a, b, c, containers }: Scene): Promise<OperatorCa> {
  const next = new OperatorCa(a.directory, 'next-ca');
  await c.kill();
  const running = containers.a.run(['ping', '-q', '-c', '40', '-i', '0.1', '-W', '2', containers.b.ip]);
  for (const host of [a, b]) giveCertificate(host, next.issue(host.name, { days: 20 }), [next]);
  await eventually('the certificates of the next CA are in force', async () => {
    const until = await Promise.all(
      [a, b].map(async (host) => Date.parse((await host.status()).certificate?.expiresAt ?? '')),
    );
    return until.every((ms) => ms < Date.now() + 25 * 86_400_000);
  });
  t.match((await running).stdout, / 0% packet loss/, 'no packet was lost');
  await Promise.all([a.waitReady(1), b.waitReady(1)]);

  await c.launch();
  await eventually('a host that was away learns why it is out', async () => {
    return JSON.stringify((await c.status()).targets).includes('none of the CAs of --ca has issued it');
  });
  giveCertificate(c, next.issue('c'), [next]);
  await c.waitReady(2);
  await eventually('with files of the next CA it is in, by itself, for the others, too', async () => {
    const { health, peers } = await a.status();
    return health.ok && health.notices.length === 0 && peers.every(({ state }) => state === 'alive');
  });
  return next;
}

async function runOut(t: Test, { a, c, containers }: Scene, ca: OperatorCa): Promise<void> {
  const EXPIRED = /it expired at \d{4}-/;
  const there = IS_LONG ? await c.container('cc') : null;
  const talk = (target: LabContainer): Promise<boolean> => containers.a.pings(target.ip, ['-W', '1']);
  if (there !== null) await eventually('containers of a and c talk', () => talk(there));
  giveCertificate(c, ca.issue('c', { untilMs: Date.now() - SKEW_MS + TAKEN_UP_MS }), [ca]);
  await eventually(
    'a keeps c out and says why',
    async () => {
      const { notices } = (await a.status()).health;
      return notices.some(
        ({ code, why }) => code === 'certificate-refused' && why.startsWith('c (') && EXPIRED.test(why),
      );
    },
    { timeoutMs: TAKEN_UP_MS + 10_000 },
  );
  const { problems } = (await c.status()).health;
  t.ok(
    problems.some(({ code }) => code === 'certificate-expired'),
    'so does c',
  );
  if (there !== null) await cutOff(t, { a, c, EXPIRED, talk: () => talk(there) });
  giveCertificate(c, ca.issue('c'), [ca]);
  await c.waitReady(2);
  await eventually('with a new one it is in, by itself', async () => (await a.status()).health.notices.length === 0);
  if (there !== null) await eventually('and its container is reached again', () => talk(there), { timeoutMs: 30_000 });
}

/** What the end of a certificate comes to, once others have been patient. */
async function cutOff(
  t: Test,
  { a, c, EXPIRED, talk }: { a: LabHost; c: LabHost; EXPIRED: RegExp; talk: () => Promise<boolean> },
): Promise<void> {
  const startedMs = performance.now();
  const isTunnelUp = async (): Promise<boolean> => {
    return (await a.status()).tunnels.some(({ nickname, state }) => nickname === c.name && state === 'established');
  };
  t.ok(await talk(), 'nothing is cut off at once: a renewal may be on its way');
  await eventually('the tunnel to it has ended', async () => !(await isTunnelUp()), { timeoutMs: CUT_MAX_MS });
  t.notOk(await talk(), 'its container is cut off');
  t.comment(`cut off ${Math.round((performance.now() - startedMs) / 1_000)} s after a had found it expired`);
  await eventually('c is told why', async () => EXPIRED.test(JSON.stringify((await c.status()).targets)));
}

/** Until `why` stands in its status; nothing durable is left of it. */
async function launchInVain(
  lab: Lab,
  host: LabHost,
  { a, token, flags, why }: { a: LabHost; token: string; flags: readonly string[]; why: RegExp },
): Promise<void> {
  const command = host.fabricCommand(['launch', '--join', a.ip, ...flags]);
  lab.spawn([...host.enter(), 'env', `FABRIC_TOKEN=${token}`, ...command]);
  await eventually(`${why} is told`, async () => {
    const { status, stdout } = await host.fabric(['status', '--json'], { mayFail: true });
    return status === 0 && why.test(stdout);
  });
  await host.fabric(['stop']);
}
