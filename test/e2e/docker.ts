// Docker on a host of fabric's: its own containers reach the outside and are reached by their published port before fabric,
// while it runs, after its stop and after its reset; and a container of Docker's gets an interface by `fabric attach docker:NAME`.

import { type Test, test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { DOCKER, NO_DOCKER, startDocker } from '../lab/docker.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const OUTSIDE = '203.0.113.9';

test("Docker's own containers keep working", { skip: NO_DOCKER }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const host = await lab.host('a');
  const other = await lab.host('b');
  await lab.inSwitch(['ip', 'address', 'add', '192.0.2.1/24', 'dev', 'underlay']);
  await lab.inSwitch(['ip', 'address', 'add', `${OUTSIDE}/32`, 'dev', 'lo']);
  await lab.inSwitch(['ip', 'link', 'set', 'lo', 'up']);
  await host.run(['ip', 'route', 'add', 'default', 'via', '192.0.2.1']);
  await startDocker(lab, host);
  await host.run([DOCKER, 'import', image.rootfs, 'fabric-busybox']);
  const web = ['sh', '-c', 'echo hello from docker > /www/index.html; exec httpd -f -p 80 -h /www'];
  await host.run([DOCKER, 'run', '--detach', '--name', 'web', '--publish', '8080:80', 'fabric-busybox', ...web]);
  t.match(
    (await host.run(['iptables-nft', '-S', 'FORWARD'])).stdout,
    /^-P FORWARD DROP$/m,
    'Docker drops what it does not know',
  );
  await works(t, host, other, 'before fabric');
  const before = await kernelState(host);

  await host.launch();
  await works(t, host, other, 'launched');
  await other.launch({ join: host, token: await host.token() });
  const remote = await other.container('remote');
  const { stdout } = await host.fabric(['attach', 'docker:web', '--ifname', 'fab0']);
  const [ip] = stdout.trim().split('\n')[0]!.split('/');
  await eventually('a container of Docker is on the overlay', () => remote.pings(ip!));
  const page = await remote.run(httpGet(ip!), { mayFail: true });
  t.match(page.stdout, /\nhello from docker\n$/, 'and serves on port 80 there');
  await works(t, host, other, 'attached');
  const own = await host.container('own');
  t.ok(await own.pings(OUTSIDE), "fabric's own containers reach the outside through Docker's FORWARD drop");

  await host.fabric(['stop']);
  await works(t, host, other, 'stopped');
  await host.launch();
  await own.remove();
  await host.fabric(['detach', 'docker:web', '--ifname', 'fab0']);
  await host.fabric(['reset', '--yes']);
  await works(t, host, other, 'reset');
  const after = await kernelState(host);
  for (const [part, lines] of Object.entries(before)) t.same(after[part], lines, `after reset as before: ${part}`);
});

/** Out by masquerade, in by the published port, from another host. */
async function works(t: Test, host: LabHost, other: LabHost, when: string): Promise<void> {
  const out = await host.run([DOCKER, 'exec', 'web', 'ping', '-c', '1', '-W', '2', OUTSIDE], { mayFail: true });
  t.equal(out.status, 0, `${when}: the container reaches the outside`);
  const { stdout } = await other.run(httpGet(host.ip, 8080), { mayFail: true });
  t.match(stdout, /\nhello from docker\n$/, `${when}: its published port answers another host`);
}
