// Debian's podman with its CNI backend on one host and a plain container on another: `podman run --network fabric` with a name,
// a fixed address and a published port (portmap chained behind us). The containers talk, `podman rm` leaves nothing.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { CNI_PLUGIN } from '../lab/checkout.ts';
import { eventually } from '../lab/exec.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const PODMAN = '/usr/bin/podman';
const NOT_INSTALLED =
  existsSync(PODMAN) && existsSync('/usr/lib/cni/portmap')
    ? false
    : 'podman or containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';
const CONFLIST = {
  cniVersion: '0.4.0',
  name: 'fabric',
  plugins: [
    { type: 'fabric', capabilities: { ips: true, mac: true, aliases: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};
/** No systemd here; the limits of this machine's processes may be lower than podman's defaults. */
const CONTAINERS_CONF = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
network_config_dir = "/etc/cni/net.d"
`;

test('R4 C1 C7 podman in CNI mode: name, address, published port, and nothing is left', {
  skip: NOT_INSTALLED,
}, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await a.waitReady(1);
  await a.run(['cp', CNI_PLUGIN, '/opt/cni/bin/fabric']);
  await a.run(['tee', '/etc/cni/net.d/10-fabric.conflist'], { input: JSON.stringify(CONFLIST) });
  const conf = join(lab.directory, 'containers.conf');
  writeFileSync(conf, CONTAINERS_CONF);
  const dirs = ['--root', '/var/lib/containers', '--runroot', '/run/containers', '--storage-driver', 'vfs'];
  const podman = (args: readonly string[], mayFail = false) =>
    a.run(['env', `CONTAINERS_CONF=${conf}`, PODMAN, ...dirs, ...args], { mayFail, timeoutMs: 60_000 });
  await podman(['import', image.rootfs, 'localhost/busybox']);
  const before = await kernelState(a);

  const web = ['sh', '-c', 'echo hello from podman > /www/index.html; exec httpd -f -p 80 -h /www'];
  const where = ['--network', 'fabric', '--ip', '10.32.7.7', '--publish', '8080:80'];
  await podman(['run', '--detach', '--name', 'web', ...where, 'localhost/busybox', ...web]);
  const row = (await a.status()).attachments[0]!;
  t.match(row.ips, ['10.32.7.7/12'], 'it has the address that --ip asks for');
  t.equal(row.name, 'web', 'and its name, from the aliases that podman sends');
  const inspected = JSON.parse((await podman(['inspect', 'web'])).stdout) as readonly {
    NetworkSettings: { Networks: { fabric: { IPAddress: string; MacAddress: string } } };
  }[];
  const shown = inspected[0]!.NetworkSettings.Networks.fabric;
  t.match(shown, { IPAddress: '10.32.7.7', MacAddress: row.mac }, 'podman shows address and MAC of the result');
  const client = await b.container('client');
  await eventually('another host reaches it on the overlay', async () => {
    return (await client.run(httpGet('10.32.7.7'), { mayFail: true })).stdout.endsWith('hello from podman\n');
  });
  const published = await b.run(httpGet(a.ip, 8080), { mayFail: true });
  t.match(published.stdout, /hello from podman\n$/, 'and its published port on the underlay');

  await a.kill('KILL');
  await podman(['rm', '--force', '--time', '0', 'web']);
  await a.launch();
  t.same((await a.status()).attachments, [], 'removed while our daemon was down: the DEL was kept and done');
  await client.remove();
  const after = await kernelState(a);
  for (const part of ['links', 'addresses', 'routes', 'fdb']) t.same(after[part], before[part], `as before: ${part}`);
});
