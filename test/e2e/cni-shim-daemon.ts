// The real plugin binary with the daemon's local API and CNI route, and a backend in memory: hang-ups, delegation, deferred
// DELs. The only namespace is that of a child which sleeps as long as the test runs; nothing is set up in it. Needs root.

import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { versionReport } from '../../src/cni-plugin/version.ts';
import { CniRoute, cniApiRoutes } from '../../src/daemon/cni-route.ts';
import { LocalApi, localApiPlace } from '../../src/daemon/local-api.ts';
import { PendingDeletes } from '../../src/daemon/pending-deletes.ts';
import { peerCredentials } from '../../src/host/native.ts';
import { FakeBackend } from '../cni-plugin/fake-backend.ts';
import { records, runShim, ShimSite, startShim, until } from '../cni-plugin/shim-process.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const site = new ShimSite();
const here = site.place();
const stdin = JSON.stringify(here.config);
const backend = new FakeBackend();
const log = new RecordingLog();
const pending = new PendingDeletes({ stateDir: here.stateDir, backend, log });
const route = new CniRoute({
  backend,
  random: new SeededRandom(1),
  clock: new ManualClock(),
  log,
  served: () => {},
  beforeAdd: () => pending.workOff(),
});
const api = new LocalApi({
  ...localApiPlace(here.runDir),
  log,
  routes: cniApiRoutes(route, (fd) => peerCredentials(fd).pid),
});
await api.listen();
const sleeper = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' });
t.teardown(async () => {
  sleeper.kill('SIGKILL');
  await api.close(0);
  site.remove();
});
/** Another namespace than the plugin's own. */
const netns = `/proc/${sleeper.pid}/ns/net`;
const own = statSync('/proc/self/ns/net').ino;
await until(() => statSync(netns).ino !== own);

t.test('ADD, repeated ADD, DEL', async (t) => {
  const add = await runShim(site.env('ADD', { CNI_NETNS: netns }), stdin);
  t.match(JSON.parse(add.stdout), { cniVersion: '1.0.0', interfaces: [{}, {}, { name: 'eth0', sandbox: netns }] });
  t.same([add.code, add.stderr], [0, '']);
  t.match(JSON.parse((await runShim(site.env('ADD', { CNI_NETNS: netns }), stdin)).stdout), { code: 101 });
  t.match(await runShim(site.env('DEL', { CNI_NETNS: '' }), stdin), { code: 0, stdout: '', stderr: '' });
  t.equal(backend.attached.size, 0);
});

t.test("A2 a NETNS that is the plugin's own or that is gone: code 4", async (t) => {
  t.match(JSON.parse((await runShim(site.env('ADD'), stdin)).stdout), { code: 4, msg: /should not be the same/ });
  const gone = await runShim(site.env('ADD', { CNI_NETNS: join(site.root, 'gone') }), stdin);
  t.match(JSON.parse(gone.stdout), { code: 4, details: 'No such file or directory' });
});

t.test('VERSION is what the shim says alone', async (t) => {
  t.equal((await runShim(site.env('VERSION'), stdin)).stdout, versionReport('1.0.0'));
});

t.test('L9 a plugin killed in mid-ADD leaves nothing', async (t) => {
  let release = (): void => {};
  backend.attachGate = new Promise((resolve) => {
    release = resolve;
  });
  const running = startShim(site.env('ADD', { CNI_NETNS: netns }), stdin);
  await until(() => backend.attached.size === 1);
  const cancelledBefore = route.counters.cancelled;
  running.process.kill('SIGKILL');
  await running.exit;
  // The daemon has seen the hang-up once the connection is gone, before the slow step ends.
  const del = runShim(site.env('DEL'), stdin);
  await until(() => route.running === 2);
  release();
  t.equal((await del).code, 0);
  t.equal(route.counters.cancelled, cancelledBefore + 1);
  t.equal(backend.attached.size, 0);
  backend.attachGate = Promise.resolve();
});

t.test('C11 delegation: the plugin runs from CNI_PATH in the order ADD, DEL', async (t) => {
  const calls = join(site.root, 'calls');
  const bin = site.plugin(
    'host-local',
    `echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $(wc -c)" >> ${calls}
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.32.9.7/24","gateway":"10.32.9.1"}]}'
exit 0`,
  );
  const variables = { PATH: '/usr/bin:/bin', ...site.env('ADD', { CNI_NETNS: netns, CNI_PATH: `/nowhere::${bin}` }) };
  const config = JSON.stringify({ ...here.config, ipam: { type: 'host-local' } });
  const add = await runShim(variables, config);
  t.match(JSON.parse(add.stdout), { ips: [{ address: '10.32.9.7/24' }] });
  t.equal((await runShim({ ...variables, CNI_COMMAND: 'DEL' }, config)).code, 0);
  const line = `c1 eth0 ${config.length}`;
  t.same(readFileSync(calls, 'utf8').trim().split('\n'), [`ADD ${line}`, `DEL ${line}`]);
});

t.test('C11 delegation: a plugin that fails, floods or is missing is a CNI error', async (t) => {
  const config = JSON.stringify({ ...here.config, ipam: { type: 'broken' } });
  for (const [script, code] of [
    [`echo '{"code":11,"msg":"busy"}'; echo noise >&2; exit 1`, 11],
    ['exec head -c 5000000 /dev/zero', 100],
    ['kill -9 $$', 114],
    [null, 100],
  ] as const) {
    const bin = script === null ? site.root : site.plugin('broken', script);
    const variables = { PATH: '/usr/bin:/bin', ...site.env('ADD', { CNI_NETNS: netns, CNI_PATH: bin }) };
    const exit = await runShim(variables, config);
    t.match(JSON.parse(exit.stdout), { code }, script ?? 'missing');
    t.equal(exit.stderr, '');
  }
  t.equal(backend.attached.size, 0);
});

t.test('DELs recorded while it was down are worked off before the next ADD', async (t) => {
  await runShim(site.env('ADD', { CNI_NETNS: netns }), stdin);
  t.equal(backend.attached.size, 1);
  const away = JSON.stringify({ ...here.config, runDir: site.root });
  t.equal((await runShim(site.env('DEL'), away)).code, 0);
  t.equal(records(here.stateDir).length, 1);
  const add = await runShim(site.env('ADD', { CNI_NETNS: netns }), stdin);
  t.equal(add.code, 0, add.stdout);
  t.same(records(here.stateDir), []);
  t.equal(pending.counters.done, 1);
});
