// A hundred containers on one host, each with a web server of its own on port 80 of its own address, and another host's
// container that fetches every page: no port is mapped, no two pages are confused.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';

const CONTAINERS = 100;
const ATTACHES_AT_ONCE = 4;
const FETCHES_AT_ONCE = 10;
/** The daemon's bound when idle is 120 MB (npm run bench); a hundred containers and their ADDs may cost this much in all. */
const DAEMON_RESIDENT_MAX_KB = 200_000;

test('100 containers on one host serve port 80 on their own addresses', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  const other = await lab.host('b');
  await host.launch();
  await other.launch({ join: host, token: await host.token() });
  const client = await Traffic.start(lab, await other.container('client'), { httpBody: '' });

  const startMs = performance.now();
  const names = Array.from({ length: CONTAINERS }, (_, index) => `web${index}`);
  const containers = await inParallel(names, ATTACHES_AT_ONCE, (name) => host.container(name));
  t.comment(`${CONTAINERS} namespaces attached in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  t.equal(new Set(containers.map(({ ip }) => ip)).size, CONTAINERS, 'each has an IPv4 address of its own');
  t.equal(new Set(containers.map(({ ip6 }) => ip6)).size, CONTAINERS, 'each has an IPv6 address of its own');
  await inParallel(containers, ATTACHES_AT_ONCE, (container) => serve(lab, container));

  const expected = containers.map(({ name, ip }) => `${name} at ${ip}\n`);
  await eventually('the other host knows all', async () => {
    const routes = (await other.status()).routes.filter(({ local }) => !local);
    return routes.length === CONTAINERS + 1; // and the host itself
  });
  const fetchMs = performance.now();
  const pages = await inParallel(containers, FETCHES_AT_ONCE, ({ ip }) => client.get(ip));
  t.same(pages, expected, `over IPv4, in ${(performance.now() - fetchMs).toFixed(0)} ms`);
  const pages6 = await inParallel(containers, FETCHES_AT_ONCE, ({ ip6 }) => client.get(ip6));
  t.same(pages6, expected, 'over IPv6');

  const { health, attachments } = await host.status();
  t.same(health, { ok: true, problems: [], notices: [] });
  t.equal(attachments.length, CONTAINERS);
  const { stdout } = await host.run(['grep', 'VmRSS', `/proc/${await host.daemonPid()}/status`]);
  const residentKb = Number(/\d+/.exec(stdout)![0]);
  t.ok(residentKb < DAEMON_RESIDENT_MAX_KB, `the daemon's resident memory is ${residentKb} kB`);
});

/** One busybox process of about 1 MB, which goes to the background once it listens. */
async function serve(lab: Lab, container: LabContainer): Promise<void> {
  const root = join(lab.directory, `www-${container.name}`);
  mkdirSync(root);
  writeFileSync(join(root, 'index.html'), `${container.name} at ${container.ip}\n`);
  await container.run(['busybox', 'httpd', '-p', '80', '-h', root]);
}
