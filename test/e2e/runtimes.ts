// Real runtimes on one fabric network: containerd on one host, by ctr and by its CRI socket as the kubelet drives it; podman and
// Docker on another. Containers of each ping those of all others and fetch a page from them; published ports, bandwidth and
// wished addresses work; with our daemon down no container starts, those that end are released when it is back; nothing is left.

import { type Test, test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { Containerd, NO_CONTAINERD } from '../lab/containerd.ts';
import type { CriClient } from '../lab/cri-client.ts';
import { docker, NO_DOCKER, startDocker } from '../lab/docker.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';
import { NO_PODMAN, type Podman, setUpPodman } from '../lab/podman.ts';
import { allDatapathsSettled } from '../lab/settled.ts';

const CONFLIST = {
  cniVersion: '1.0.0',
  name: 'fabric',
  plugins: [
    { type: 'fabric', capabilities: { ips: true, mac: true, dns: true, aliases: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
    { type: 'bandwidth', capabilities: { bandwidth: true } },
  ],
};
const PODMAN_IP = '10.32.7.7';
/** Publishes the pod's page on the underlay; podman's is the other. */
const POD_PORT = 8080;
const PODMAN_PORT = 8081;

/** A container that serves a page. */
interface Web {
  readonly runtime: string;
  readonly ip: string;
  readonly page: string;
  /** The output of a command inside, or null when it failed. */
  run(command: readonly string[]): Promise<string | null>;
}

function serve(runtime: string): readonly string[] {
  return ['sh', '-c', `echo hello from ${runtime} > /www/index.html; exec httpd -f -p 80 -h /www`];
}

test('runtimes on one network', { skip: NO_CONTAINERD || NO_PODMAN || NO_DOCKER }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a', { ipv4Only: true });
  const b = await lab.host('b', { ipv4Only: true });
  await a.launch();
  await b.launch({ join: a, token: await a.token(), flags: ['--docker'] });
  const [containerd, podman] = await Promise.all([
    startContainerd(lab, a, image.archive),
    setUpPodman(lab, b),
    startDocker(lab, b),
    a.waitReady(1),
  ]);
  await podman(['import', image.rootfs, 'localhost/busybox']);
  await docker(b, ['import', image.rootfs, 'fabric-busybox']);
  const drivers = ['-d', 'fabric', '--ipam-driver', 'fabric', '--subnet', '10.32.0.0/12'];
  await docker(b, ['network', 'create', ...drivers, 'fabric']);
  const cri = containerd.cri();
  t.teardown(() => cri.close());
  await eventually('containerd and its network are ready', async () => (await cri.ready()).includes('NetworkReady'));
  const [elsewhere] = (await a.status()).routes.filter(({ local }) => !local);
  await a.run(['ping', '-c', '1', '-W', '2', elsewhere!.ips[0]!.split('/')[0]!]);
  const settled = () => eventually('the datapaths have settled', () => allDatapathsSettled(lab));
  await settled();
  const before = await Promise.all([a, b].map((host) => kernelState(host)));

  const pod = await cri.run({
    name: 'web',
    annotations: { 'kubernetes.io/ingress-bandwidth': '8M', 'kubernetes.io/egress-bandwidth': '8M' },
    portMappings: [{ containerPort: 80, hostPort: POD_PORT }],
    dnsServers: ['192.0.2.53'],
  });
  await containerd.run('web', serve('ctr'));
  const where = ['--network', 'fabric', '--ip', PODMAN_IP, '--publish', `${PODMAN_PORT}:80`];
  await podman(['run', '--detach', '--name', 'web', ...where, 'localhost/busybox', ...serve('podman')]);
  await docker(b, ['run', '-d', '--name', 'web', '--network', 'fabric', 'fabric-busybox', ...serve('docker')]);
  const [podIp = '', podIp6] = await cri.addresses(pod);
  const webs: readonly Web[] = [
    {
      runtime: 'CRI',
      ip: podIp,
      page: 'hello from the image\n',
      run: (command) => containerd.exec(pod, command, 'k8s.io'),
    },
    {
      runtime: 'ctr',
      ip: await addressOf(a, 'default-web'),
      page: 'hello from ctr\n',
      run: (command) => containerd.exec('web', command),
    },
    {
      runtime: 'podman',
      ip: PODMAN_IP,
      page: 'hello from podman\n',
      run: async (command) => outputOf(await podman(['exec', 'web', ...command], { mayFail: true })),
    },
    {
      runtime: 'docker',
      ip: await dockerAddress(b),
      page: 'hello from docker\n',
      run: async (command) => outputOf(await docker(b, ['exec', 'web', ...command], { mayFail: true })),
    },
  ];

  await t.test('R1 R2 R4 R6 each pings all others and fetches their pages', async (t) => {
    await Promise.all(webs.map((from) => reachesAll(t, from, webs)));
  });

  await t.test('R2 a pod has its address, published port and bandwidth', async (t) => {
    const row = (await a.status()).attachments.find(({ containerId }) => containerId === pod);
    t.equal(row?.name, 'web', 'its name is that of the pod (K8S_POD_NAME)');
    t.same(
      row?.ips.map((ip) => ip.split('/')[0]),
      [podIp, podIp6],
      'podIP is the address on the overlay',
    );
    t.match((await b.run(httpGet(a.ip, POD_PORT))).stdout, /hello from the image\n$/, 'its port is published');
    t.match((await a.run(['tc', 'qdisc', 'show'])).stdout, /qdisc tbf .* rate 8Mbit/, 'its bandwidth is limited');
  });

  await t.test('R4 C1 C7 a container of podman has its address, name and published port', async (t) => {
    const row = (await b.status()).attachments.find(({ ips }) => ips[0] === `${PODMAN_IP}/12`);
    t.equal(row?.name, 'web', 'its name, from the aliases that podman sends, at the address that --ip asks for');
    const inspected = JSON.parse((await podman(['inspect', 'web'])).stdout) as readonly {
      NetworkSettings: { Networks: { fabric: { IPAddress: string; MacAddress: string } } };
    }[];
    const shown = inspected[0]?.NetworkSettings.Networks.fabric;
    t.match(shown, { IPAddress: PODMAN_IP, MacAddress: row?.mac }, 'podman shows address and MAC of the result');
    t.match((await a.run(httpGet(b.ip, PODMAN_PORT))).stdout, /hello from podman\n$/, 'its port is published');
  });

  await t.test('R1 R2 R4 our daemon is down and comes back', async (t) => {
    await containerd.end('web');
    await docker(b, ['rm', '--force', 'web']);
    await Promise.all([podsWithoutDaemon(t, a, { cri, pod }), podmanWithoutDaemon(b, podman)]);
    for (const host of [a, b]) t.same((await host.status()).attachments, [], `${host.name}: nothing is attached`);
    const again = await cri.run({ name: 'again' });
    t.ok((await cri.addresses(again))[0], 'from then on pods start');
    await cri.stop(again);
    await cri.remove(again);
  });

  await settled();
  for (const [index, host] of [a, b].entries()) {
    const after = await kernelState(host);
    for (const part of ['links', 'addresses', 'routes', 'fdb']) {
      t.same(after[part], before[index]?.[part], `${host.name}: as before: ${part}`);
    }
  }
  await eventually('no host knows the containers any more', async () => {
    const routes = (await Promise.all([a.status(), b.status()])).flatMap((status) => status.routes);
    return routes.every(({ ips }) => !webs.some(({ ip }) => ips.some((known) => known.startsWith(`${ip}/`))));
  });
});

async function startContainerd(lab: Lab, host: LabHost, archive: string): Promise<Containerd> {
  const runtime = await Containerd.start(lab, host, CONFLIST);
  await runtime.import(archive);
  await runtime.import(archive, 'k8s.io');
  return runtime;
}

async function reachesAll(t: Test, from: Web, webs: readonly Web[]): Promise<void> {
  for (const to of webs.filter((web) => web !== from)) {
    await eventually(`${from.runtime} → ${to.runtime}: HTTP`, async () => {
      return (await from.run(httpGet(to.ip)))?.endsWith(to.page) ?? false;
    });
    t.ok(await from.run(['ping', '-c', '1', '-W', '2', to.ip]), `${from.runtime} → ${to.runtime}: ping`);
  }
}

/** A pod does not start and leaves nothing; one that ends is released when the daemon is back. */
async function podsWithoutDaemon(t: Test, host: LabHost, { cri, pod }: { cri: CriClient; pod: string }): Promise<void> {
  await host.kill('KILL');
  await t.rejects(cri.run({ name: 'late' }), /plugin type="fabric" failed \(add\)/, 'no pod without our daemon');
  await cri.stop(pod);
  await cri.remove(pod);
  t.same(await cri.pods(), [], 'but pods end');
  await host.launch();
}

/** Its DEL is kept, and done when the daemon is back. */
async function podmanWithoutDaemon(host: LabHost, podman: Podman): Promise<void> {
  await host.kill('KILL');
  await podman(['rm', '--force', '--time', '0', 'web']);
  await host.launch();
}

async function addressOf(host: LabHost, containerId: string): Promise<string> {
  const row = (await host.status()).attachments.find((one) => one.containerId === containerId);
  return row?.ips.find((ip) => !ip.includes(':'))?.split('/')[0] ?? `no address of ${containerId}`;
}

async function dockerAddress(host: LabHost): Promise<string> {
  const format = '{{.NetworkSettings.Networks.fabric.IPAddress}}';
  return (await docker(host, ['inspect', '--format', format, 'web'])).stdout.trim();
}

function outputOf({ status, stdout }: { readonly status: number | null; readonly stdout: string }): string | null {
  return status === 0 ? stdout : null;
}
