// Debian's containerd on two hosts, each with our conflist in /etc/cni/net.d and our plugin in /opt/cni/bin: containers made by
// `ctr run --cni` talk over the overlay, and when they end nothing of them is left.

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Test, test } from 'tap';
import { IMAGE, makeBusyboxImage } from '../lab/busybox-image.ts';
import { CNI_PLUGIN } from '../lab/checkout.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { httpGet } from '../lab/http-get.ts';
import { kernelState } from '../lab/kernel-state.ts';
import { Lab } from '../lab/lab.ts';

const CONFLIST = { cniVersion: '1.0.0', name: 'fabric', plugins: [{ type: 'fabric' }] };
const NOT_INSTALLED =
  existsSync('/usr/bin/containerd') && existsSync('/usr/bin/ctr')
    ? false
    : 'containerd is not installed: FABRIC_SETUP=full npm run setup';

test('containers of containerd talk, and leave nothing', { skip: NOT_INSTALLED }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const runtimes = [await Containerd.start(lab, a), await Containerd.start(lab, b)] as const;
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

/** containerd in a host's namespaces, driven by ctr. */
class Containerd {
  readonly #lab: Lab;
  readonly #host: LabHost;
  /** `ctr run` of each container. */
  readonly #running = new Map<string, ChildProcess>();

  private constructor(lab: Lab, host: LabHost) {
    this.#lab = lab;
    this.#host = host;
  }

  static async start(lab: Lab, host: LabHost): Promise<Containerd> {
    await host.run(['cp', CNI_PLUGIN, '/opt/cni/bin/fabric']);
    await host.run(['tee', '/etc/cni/net.d/10-fabric.conflist'], { input: JSON.stringify(CONFLIST) });
    const daemon = lab.spawn([...host.enter(), '/usr/bin/containerd', '--log-level', 'error']);
    let said = '';
    daemon.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    const runtime = new Containerd(lab, host);
    await eventually(
      'containerd answers',
      async () => {
        if (daemon.exitCode !== null) throw new Error(`containerd ended with ${daemon.exitCode}: ${said}`);
        return (await host.run(['ctr', 'version'], { mayFail: true })).status === 0;
      },
      { timeoutMs: 20_000 },
    );
    return runtime;
  }

  async import(archive: string): Promise<void> {
    await this.#host.run(['ctr', 'images', 'import', '--snapshotter', 'native', archive]);
  }

  /** Returns once the container runs, attached. In the foreground, because a detached `ctr run` never calls DEL. */
  async run(name: string, command: readonly string[]): Promise<void> {
    const run = ['ctr', 'run', '--rm', '--cni', '--snapshotter', 'native', IMAGE, name, ...command];
    const child = this.#lab.spawn([...this.#host.enter(), ...run]);
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    this.#running.set(name, child);
    await eventually(`${name} runs`, async () => {
      if (child.exitCode !== null) throw new Error(`ctr run ended with ${child.exitCode}: ${said}`);
      return (await this.exec(name, ['echo', 'here'])) === 'here\n';
    });
  }

  /** The output, or null when the command failed. */
  async exec(name: string, command: readonly string[]): Promise<string | null> {
    const id = `exec-${Math.random().toString(36).slice(2)}`;
    const task = ['ctr', 'tasks', 'exec', '--exec-id', id, name, ...command];
    const { status, stdout } = await this.#host.run(task, { mayFail: true });
    return status === 0 ? stdout : null;
  }

  async end(name: string): Promise<void> {
    const child = this.#running.get(name)!;
    const ended = new Promise((resolve) => child.once('close', resolve));
    await this.#host.run(['ctr', 'tasks', 'kill', '--signal', 'SIGKILL', name]);
    await ended;
  }
}
