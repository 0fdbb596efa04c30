// Debian's containerd on two hosts, each with our conflist in /etc/cni/net.d and our plugin in /opt/cni/bin: containers made by
// `ctr run --cni` talk over the overlay, and when they end nothing of them is left.

import { type Test, test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { Containerd, NO_CONTAINERD } from '../lab/containerd.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const CONFLIST = { cniVersion: '1.0.0', name: 'fabric', plugins: [{ type: 'fabric' }] };
test('R1 containers of containerd talk, and leave nothing', { skip: NO_CONTAINERD }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const runtimes = [await Containerd.start(lab, a, CONFLIST), await Containerd.start(lab, b, CONFLIST)] as const;
  for (const runtime of runtimes) await runtime.import(image.archive);
  await a.waitReady(1);
  const before = await Promise.all([kernelState(a), kernelState(b)]);

  const [on, other] = runtimes;
  await on.run('web', ['sh', '-c', 'echo hello from web > /www/index.html; exec httpd -f -p 80 -h /www']);
  await other.run('client', ['sleep', '1000']);
  const web = await addressOf(t, a, 'default-web');
  const client = await addressOf(t, b, 'default-client');
  await eventually('the web server answers across hosts', async () => {
    return (await other.exec('client', httpGet(web)))?.endsWith('hello from web\n') ?? false;
  });
  t.ok(await on.exec('web', ['ping', '-c', '1', '-W', '2', client]), 'and the other way round');

  await on.end('web');
  await other.end('client');
  for (const [index, host] of [a, b].entries()) {
    t.same((await host.status()).attachments, [], `${host.name}: nothing is attached`);
    t.same(await kernelState(host), before[index], `${host.name}: the kernel is as before`);
  }
  await eventually('no host knows the containers any more', async () => {
    const routes = (await Promise.all([a.status(), b.status()])).flatMap((status) => status.routes);
    return routes.every(({ ips }) => !ips.some((ip) => ip.startsWith(`${web}/`) || ip.startsWith(`${client}/`)));
  });
});

async function addressOf(t: Test, host: LabHost, containerId: string): Promise<string> {
  const row = (await host.status()).attachments.find((one) => one.containerId === containerId);
  t.ok(row, `${containerId} is attached`);
  return row!.ips.find((ip) => !ip.includes(':'))!.split('/')[0]!;
}
