// containerd's CRI socket, driven as the kubelet does it: pods on two hosts have addresses of the overlay, a published port and a
// bandwidth limit (portmap and bandwidth chained behind us), and reach each other. With our daemon down a pod does not start and
// leaves nothing, and one that ends is released when the daemon is back.

import { test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { Containerd, NO_CONTAINERD } from '../lab/containerd.ts';
import { eventually } from '../lab/exec.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const CONFLIST = {
  cniVersion: '1.0.0',
  name: 'fabric',
  plugins: [
    { type: 'fabric', capabilities: { ips: true, mac: true, dns: true, aliases: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth', capabilities: { bandwidth: true } },
  ],
};

test('R2 pods by the CRI socket of containerd', { skip: NO_CONTAINERD }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  await a.waitReady(1);
  const runtime = await Containerd.start(lab, a, CONFLIST);
  await runtime.import(image.archive, 'k8s.io');
  const cri = runtime.cri();
  t.teardown(() => cri.close());
  await eventually('runtime and network are ready', async () => (await cri.ready()).includes('NetworkReady'));
  const before = await kernelState(a);

  const web = await cri.run({
    name: 'web',
    annotations: { 'kubernetes.io/ingress-bandwidth': '8M', 'kubernetes.io/egress-bandwidth': '8M' },
    portMappings: [{ containerPort: 80, hostPort: 8080 }],
    dnsServers: ['192.0.2.53'],
  });
  const [podIp, podIp6] = await cri.addresses(web);
  const row = (await a.status()).attachments[0]!;
  t.equal(row.containerId, web, 'the sandbox is the container');
  t.equal(row.name, 'web', 'its name is that of the pod (K8S_POD_NAME)');
  t.same(
    row.ips.map((ip) => ip.split('/')[0]),
    [podIp, podIp6],
    'podIP is the address on the overlay',
  );
  const client = await b.container('client');
  await eventually('another host reaches the pod', async () => {
    return (await client.run(httpGet(podIp!), { mayFail: true })).stdout.endsWith('hello from the image\n');
  });
  const published = await b.run(httpGet(a.ip, 8080), { mayFail: true });
  t.match(published.stdout, /hello from the image\n$/, 'and its published port on the underlay');
  const { stdout: qdisc } = await a.run(['tc', 'qdisc', 'show']);
  t.match(qdisc, /qdisc tbf .* rate 8Mbit/, 'its bandwidth is limited');

  await a.kill('KILL');
  await t.rejects(cri.run({ name: 'late' }), /plugin type="fabric" failed \(add\)/, 'no pod without our daemon');
  await cri.stop(web);
  await cri.remove(web);
  t.same(await cri.pods(), [], 'but pods end');
  await a.launch();
  t.same((await a.status()).attachments, [], 'and are released when it is back');
  const again = await cri.run({ name: 'again' });
  t.ok((await cri.addresses(again))[0], 'from then on pods start');
  await cri.stop(again);
  await cri.remove(again);
  await client.remove();
  const after = await kernelState(a);
  for (const part of ['links', 'addresses', 'routes', 'fdb']) t.same(after[part], before[part], `as before: ${part}`);
});
