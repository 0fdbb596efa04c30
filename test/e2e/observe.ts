// What others see of a host: metrics that Debian's Prometheus scrapes and judges, health, status and events on a port that only
// this host reads; what is off is a notice, and a port that is taken keeps nothing from working.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { FabricEvent } from '../../src/daemon/events/event-kinds.ts';
import type { Status } from '../../src/daemon/status-types.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import type { LabContainer } from '../lab/container.ts';
import { end, eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { fetchAll } from '../lab/http-fetch.ts';
import { httpGet } from '../lab/http-get.ts';
import { Lab } from '../lab/lab.ts';

const HTTP_PORT = 6784;
const PROMETHEUS_PORT = 9090;
/** That nothing comes through a tunnel any more. */
const TOLD_WITHIN_MS = 3_000;
const NOT_INSTALLED = existsSync('/usr/bin/promtool')
  ? false
  : 'prometheus is not installed: FABRIC_SETUP=full npm run setup';
const DEPLOY = join(CHECKOUT, 'deploy/prometheus');

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** From loopback of the host, unless told otherwise. */
async function get(
  host: LabHost,
  path: string,
  where: { readonly address?: string; readonly headers?: readonly string[] } = {},
): Promise<Answer> {
  const { address = '127.0.0.1' } = where;
  const { headers = [`Host: ${address}`] } = where;
  const { stdout } = await host.run(httpGet(address, HTTP_PORT, path, headers), { mayFail: true });
  const [head = '', ...body] = stdout.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.\d (\d+)/.exec(head)?.[1] ?? 0), body: body.join('\r\n\r\n') };
}

test('what others see of a host', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const one = await lab.host('one');
  const two = await lab.host('two');
  await one.launch();
  lab.spawn([...two.enter(), 'socat', '-u', `TCP4-LISTEN:${HTTP_PORT},bind=127.0.0.1`, 'STDOUT']);
  await eventually('the port is taken', async () => {
    return (await two.run(['ss', '-Hltn', 'sport', '=', `:${HTTP_PORT}`])).stdout !== '';
  });
  const token = await one.token();
  await two.launch({ join: one, token });
  const web = await one.container('web');
  const far = await two.container('far');
  t.ok(await web.pings(far.ip), 'frames cross');
  await one.waitReady(1);

  await t.test('a port that is taken', async (t) => {
    const { health, http } = await two.status();
    t.ok(health.ok, 'keeps the host healthy');
    t.match(http, { state: 'failed', address: `127.0.0.1:${HTTP_PORT}`, reason: /held by socat \(process \d+\)/ });
    t.match(health.notices, [{ code: 'http-port', why: /socat/, fix: /--http/ }]);
    await two.run(['kill', /process (\d+)/.exec(http.reason!)![1]!]);
    await eventually('it is served once it is free', async () => (await two.status()).http.state === 'serving');
    t.equal((await get(two, '/healthz')).status, 200);
  });

  await t.test('TM27 TM28 who may read', (t) => whoMayRead(t, { one, two, web, token }));
  await t.test('metrics', async (t) => {
    const { body } = await get(one, '/metrics');
    t.match(body, /^fabric_peers\{state="alive"\} 1$/m);
    t.match(body, /^fabric_attachments 1$/m);
    t.match(body, /^fabric_cni_duration_seconds_count\{verb="ADD",result="ok"\} 1$/m);
    t.match(body, /^fabric_tunnels\{state="established",datapath="\w+"\} 1$/m);
    t.match(body, /^fabric_peer_tunnel_up\{peer="[0-9a-f]{32}",nickname="two"\} 1$/m);
    t.ok(Number(/^fabric_transmit_bytes_total (\d+)$/m.exec(body)?.[1]) > 0, 'bytes were carried');
    t.ok(Number(/^fabric_handshakes_total\{result="established"\} (\d+)$/m.exec(body)?.[1]) > 0, 'hands were shaken');
  });
  await t.test('Prometheus', { skip: NOT_INSTALLED }, (t) => prometheus(t, lab, one));
  await t.test('status, by what somebody looks for', (t) => statusPages(t, lab, one, two));
  await t.test('a path that dies under traffic', (t) => silentPath(t, { lab, one, two, web, far }));
  await t.test('events and notices', (t) => eventsAndNotices(t, lab, one, two));
});

/** Only the tunnel's datagrams, one way: the mesh goes on, and so does what leaves. */
async function silentPath(
  t: Test,
  { lab, one, two, web, far }: { lab: Lab; one: LabHost; two: LabHost; web: LabContainer; far: LabContainer },
): Promise<void> {
  const toldBy = async (kind: string) => (await one.events()).find((event) => event.kind === kind);
  const pings = lab.spawn([...web.enter(), 'ping', '-q', '-i', '0.1', far.ip]);
  await eventually('pings are under way', async () => {
    return (await one.status()).tunnels.some(({ state, reason }) => state === 'established' && reason === null);
  });
  t.notOk(await toldBy('tunnel-silent'), 'a tunnel that answers is not called silent');
  await lab.drop(two, one, 'udp dport 6783');
  const droppedMs = Date.now();
  await eventually('it is told', async () => (await toldBy('tunnel-silent')) !== undefined);
  const afterMs = Date.parse((await toldBy('tunnel-silent'))!.time) - droppedMs;
  t.comment(`told after ${afterMs} ms`);
  t.ok(afterMs <= TOLD_WITHIN_MS, 'in time');
  t.match((await one.status()).tunnels[0]!.reason, /^it has answered nothing for \d+ s/);
  await lab.heal();
  await eventually('its return is told', async () => (await toldBy('tunnel-answering')) !== undefined);
  await end(pings);
}

async function whoMayRead(
  t: Test,
  { one, two, web, token }: { one: LabHost; two: LabHost; web: { run: LabHost['run'] }; token: string },
): Promise<void> {
  t.match(await get(one, '/readyz'), { status: 200, body: 'ready\n' });
  const status = await get(one, '/v1/status');
  t.equal((JSON.parse(status.body) as Status).self.nickname, 'one', 'status as fabric status --json shows it');
  const all = await Promise.all(['/', '/metrics', '/v1/status', '/v1/events'].map((path) => get(one, path)));
  const secret = token.slice(-20);
  t.notOk(
    all.some(({ body }) => body.includes(secret)),
    'the token is nowhere',
  );
  t.equal((await get(one, '/metrics', { headers: ['Host: evil.example'] })).status, 403, 'not by a rebound name');
  const origin = ['Host: 127.0.0.1', 'Origin: http://evil.example'];
  t.equal((await get(one, '/v1/status', { headers: origin })).status, 403, 'not for a page of another origin');
  t.equal((await get(one, '/v1/token')).status, 404, 'the calls of the local socket are not here');
  t.equal((await get(two, '/metrics', { address: one.ip })).status, 0, 'not from another host');
  const gateway = (await one.status()).networks[0]!.gateway!;
  for (const address of [gateway, one.ip]) {
    const { stdout } = await web.run(httpGet(address, HTTP_PORT, '/metrics'), { mayFail: true });
    t.equal(stdout, '', `not from a container, at ${address}`);
  }
}

interface PrometheusAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result?: readonly { readonly value: readonly [number, string] }[] };
}

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
}

/** The real server with our rules, and every question of the dashboard. */
async function prometheus(t: Test, lab: Lab, host: LabHost): Promise<void> {
  const { body: served } = await get(host, '/metrics');
  const judged = await host.run(['promtool', 'check', 'metrics'], { input: served, mayFail: true });
  t.equal(judged.stdout + judged.stderr, '', 'promtool finds nothing wrong with the metrics');
  t.match((await host.run(['promtool', 'check', 'rules', join(DEPLOY, 'fabric.rules.yml')])).stdout, /9 rules found/);
  const config = join(lab.directory, 'prometheus.yml');
  const ours = readFileSync(join(DEPLOY, 'prometheus.yml'), 'utf8');
  const quick = ours.replace('scrape_interval: 15s', 'scrape_interval: 1s\n  evaluation_interval: 1s');
  writeFileSync(config, quick.replace('- fabric.rules.yml', `- ${join(DEPLOY, 'fabric.rules.yml')}`));
  t.match((await host.run(['promtool', 'check', 'config', config])).stdout, /SUCCESS/);
  const server = lab.spawn([
    ...host.enter(),
    'prometheus',
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(lab.directory, 'tsdb')}`,
    `--web.listen-address=127.0.0.1:${PROMETHEUS_PORT}`,
    '--log.level=error',
  ]);
  const ask = async (...paths: readonly string[]): Promise<readonly PrometheusAnswer[]> => {
    const answers = await fetchAll(
      host,
      paths.map((path) => `http://127.0.0.1:${PROMETHEUS_PORT}/api/v1/${path}`),
    );
    return answers.map(({ status, body }) => (body.startsWith('{') ? JSON.parse(body) : { status: String(status) }));
  };
  const query = (text: string): string => `query?query=${encodeURIComponent(text)}`;
  await eventually('Prometheus has scraped and judged', async () => {
    const [up, judged] = await ask(query('fabric_healthy * on (instance) up'), 'rules');
    return up?.data?.result?.[0]?.value[1] === '1' && !JSON.stringify(judged).includes('"health":"unknown"');
  });
  const rules = JSON.stringify(await ask('rules'));
  t.equal(rules.match(/"health":"ok"/g)?.length, 9, 'all rules are evaluated');
  t.notMatch(rules, /"state":"(pending|firing)"/, 'and none of them sees anything wrong');
  const { panels } = JSON.parse(readFileSync(join(DEPLOY, 'fabric-dashboard.json'), 'utf8')) as Dashboard;
  const questions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const asked = questions.map((text) => text.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m'));
  const answers = await ask(...asked.map(query));
  t.ok(answers.length > 20, 'the dashboard asks');
  for (const [index, { status, error }] of answers.entries()) {
    t.equal(`${status} ${error ?? ''}`, 'success ', `the dashboard's question: ${asked[index]}`);
  }
  await end(server);
}

async function statusPages(t: Test, lab: Lab, one: LabHost, two: LabHost): Promise<void> {
  const shows = async (args: readonly string[]) => (await one.fabric(['status', ...args])).stdout;
  const { id } = (await two.status()).self;
  t.match(await shows([]), /^healthy\n/, 'healthy first');
  t.match(
    await shows(['peers', 'two']),
    new RegExp(`^host +two\\n.*${id}[\\s\\S]*\\ntunnel\\n +peer +two`),
    'a page of a peer',
  );
  t.match(
    await shows(['tunnels', id.slice(0, 6)]),
    /^peer +two[\s\S]*\nsent +\d/,
    'of a tunnel, by the beginning of its id',
  );
  t.match(await shows(['tunnels', '--state', 'failed']), /^none of \d matches\n$/, 'a state that nothing has');
  t.match(
    await shows(['routes', '--peer', 'two', '--limit', '1']),
    /^NETWORK.*\n.*two.*\n… and 1 more\n$/,
    'of a host, cut off',
  );
  const { attachments } = JSON.parse(await shows(['attachments', '--json', '--state', 'attached'])) as Status;
  t.equal(attachments.length, 1, 'the same for programs');
  const watching = lab.spawn([...one.enter(), ...one.fabricCommand(['status', '--watch'])]);
  let shown = '';
  watching.stdout?.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  await eventually('what flows is shown', () => /\ntraffic +\d.* out, .* in, \d+ frames\/s, \d+ drops\/s/.test(shown));
  await end(watching);
}

async function eventsAndNotices(t: Test, lab: Lab, one: LabHost, two: LabHost): Promise<void> {
  const kinds = (await one.events()).map(({ kind }) => kind);
  for (const kind of [
    'started',
    'joined',
    'peer-new',
    'peer-alive',
    'tunnel-established',
    'attached',
    'lease-active',
  ]) {
    t.ok(kinds.includes(kind as FabricEvent['kind']), `there was: ${kind}`);
  }
  const follower = lab.spawn([...one.enter(), ...one.fabricCommand(['events', '--kind', 'attached,peer-dead'])]);
  let shown = '';
  follower.stdout?.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  await eventually('what was is shown', () => /attached +web\S* \(/.test(shown));
  await one.container('late');
  await eventually('an attach is followed', () => /attached +late\S* \(/.test(shown), { timeoutMs: 1_000 });
  await two.fabric(['stop']);
  await eventually('a host that stops is followed', () => /peer-dead +host two was stopped/.test(shown));
  await end(follower);
  const { health } = await one.status();
  t.ok(health.ok, 'a host that was stopped makes no other unhealthy');
  t.match(health.notices, [{ code: 'peer-dead', why: 'two (it was stopped)' }], 'but it is said');
  const waited = await one.fabric(['status', '--wait', '--timeout', '0.5'], { mayFail: true });
  t.equal(waited.status, 1, 'and --wait waits for it');
  await eventually('the notice is an event', async () => (await one.events()).some(({ kind }) => kind === 'notice'));
}
