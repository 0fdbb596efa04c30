// The container image as Kubernetes would run it: two hosts with containerd, and on each the pod of deploy/kubernetes/fabric.yaml as far
// as containerd alone knows what a pod is: its image, script, variables, capabilities, seccomp profile and mounts. Then
// containers of the hosts' own containerd find each other through it.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { parse } from 'yaml';
import type { Status } from '../../src/daemon/status-types.ts';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import { Containerd, NO_CONTAINERD } from '../lab/containerd.ts';
import { eventually, exec } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

interface Pod {
  readonly containers: readonly [
    {
      readonly image: string;
      readonly command: readonly string[];
      readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } };
      readonly volumeMounts: readonly {
        readonly name: string;
        readonly mountPath: string;
        readonly mountPropagation?: string;
      }[];
    },
  ];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
}

const MANIFEST = readFileSync(join(CHECKOUT, 'deploy/kubernetes/fabric.yaml'), 'utf8');
const POD = (parse(MANIFEST) as { readonly spec: { readonly template: { readonly spec: Pod } } }).spec.template.spec;
/** What containerd gives to a container that says nothing of capabilities. */
const CAPABILITIES_BY_DEFAULT = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP', 'SETPCAP'],
  ...['NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
];
/** Numbers of the manifest's capabilities, capabilities(7). */
const CAPABILITY_BITS: Readonly<Record<string, number>> = {
  DAC_READ_SEARCH: 2,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_RESOURCE: 24,
};
const TOKEN_FOLDER = '/run/fabric-token';
const READY_MAX_MS = 60_000;
/** What a restart of a pod may cost, beside the runtime's own work. */
const RESTART_MAX_S = 3;

/** Those of the manifest that this machine has itself: in a container it may have no SYS_RESOURCE, for example. */
function grantable(): readonly string[] {
  const own = BigInt(`0x${/^CapPrm:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
  const wanted = POD.containers[0].securityContext.capabilities.add;
  return wanted.filter((name) => (own >> BigInt(CAPABILITY_BITS[name]!)) & 1n);
}

/** The pod's one container, by ctr. */
class FabricPod {
  readonly #host: LabHost;
  #fault: string | null = null;

  constructor(host: LabHost) {
    this.#host = host;
  }

  start(lab: Lab, first: LabHost): void {
    const [container] = POD.containers;
    const wanted = grantable();
    const unwanted = CAPABILITIES_BY_DEFAULT.filter((name) => !wanted.includes(name));
    const environment = {
      NODE_NAME: this.#host.name,
      FIRST_NODE: first.name,
      FIRST_ADDRESS: first.ip,
      LAUNCH_FLAGS: '',
    };
    const mounts = container.volumeMounts.filter(({ mountPath }) => !mountPath.startsWith('/dev/'));
    const command = [
      ...['ctr', 'run', '--rm', '--snapshotter', 'native', '--seccomp', '--net-host'],
      ...['--with-ns', 'pid:/proc/1/ns/pid', '--device', '/dev/net/tun'],
      ...wanted.flatMap((name) => ['--cap-add', `CAP_${name}`]),
      ...unwanted.flatMap((name) => ['--cap-drop', `CAP_${name}`]),
      ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
      ...mounts.flatMap(({ name, mountPath, mountPropagation }) => {
        const source = POD.volumes.find((volume) => volume.name === name)?.hostPath?.path ?? TOKEN_FOLDER;
        const propagation = mountPropagation === 'HostToContainer' ? 'rslave' : 'rprivate';
        return ['--mount', `type=bind,src=${source},dst=${mountPath},options=rbind:${propagation}:rw`];
      }),
      ...[`docker.io/library/${container.image}`, 'fabric', ...container.command],
    ];
    const child = lab.spawn([...this.#host.enter(), ...command]);
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    child.once('close', (code) => {
      this.#fault = `ctr run ended with ${code}: ${said}`;
    });
  }

  async runs(): Promise<boolean> {
    return /^fabric\s.*RUNNING/m.test((await this.#host.run(['ctr', 'tasks', 'list'])).stdout);
  }

  /** As the kubelet asks. Throws when it has ended. */
  async isReady(): Promise<boolean> {
    if (this.#fault !== null) throw new Error(this.#fault);
    const probe = ['busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:6784/readyz'];
    return (await this.#host.run(probe, { mayFail: true })).stdout === 'ready\n';
  }

  /** The output of a command in it, or null when that failed. */
  async exec(command: readonly string[]): Promise<string | null> {
    const task = ['ctr', 'tasks', 'exec', '--exec-id', `exec-${Math.random().toString(36).slice(2)}`, 'fabric'];
    const { status, stdout } = await this.#host.run([...task, ...command], { mayFail: true });
    return status === 0 ? stdout : null;
  }

  /** As the kubelet ends it. */
  async end(): Promise<void> {
    await this.#host.run(['ctr', 'tasks', 'kill', '--signal', 'SIGTERM', 'fabric']);
    await eventually('the pod has ended', async () => {
      return !(await this.#host.run(['ctr', 'containers', 'list', '--quiet'])).stdout.split('\n').includes('fabric');
    });
  }
}

async function readyPod(t: Test, pod: FabricPod, host: LabHost): Promise<void> {
  await eventually(`${host.name} is ready`, () => pod.isReady(), { timeoutMs: READY_MAX_MS });
  const conflist = ['test', '-f', '/etc/cni/net.d/10-fabric.conflist'];
  await eventually('its runtime has a configuration', async () => {
    return (await host.run(conflist, { mayFail: true })).status === 0;
  });
  const status = await pod.exec(['fabric', 'status', '--json']);
  const { datapath } = JSON.parse(status ?? '{}') as Pick<Status, 'datapath'>;
  t.same([datapath.name, datapath.lacks], ['engine', []], `${host.name} has the engine, and it lacks nothing`);
}

test('the image runs as a pod', { skip: NO_CONTAINERD, timeout: 540_000 }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const script = [process.execPath, join(CHECKOUT, 'scripts/image.mjs'), '--as-is', '--to', lab.directory];
  await exec(script, { timeoutMs: 400_000 });
  const image = join(lab.directory, readdirSync(lab.directory).find((name) => /^fabric-overlay.*\.tar$/.test(name))!);
  const { archive } = await makeBusyboxImage(lab.directory);
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  const token = (await a.fabric(['token', '--generate'])).stdout;
  const runtimes: Containerd[] = [];
  for (const host of [a, b]) {
    await host.run(['mkdir', '-p', TOKEN_FOLDER, '/run/fabric']);
    await host.run(['tee', `${TOKEN_FOLDER}/token`], { input: token });
    const runtime = await Containerd.start(lab, host, null);
    await runtime.import(image);
    await runtime.import(archive);
    runtimes.push(runtime);
  }
  const [onA, onB] = runtimes as [Containerd, Containerd];
  const pods = [new FabricPod(a), new FabricPod(b)] as const;
  for (const [index, host] of [a, b].entries()) {
    pods[index]!.start(lab, a);
    await readyPod(t, pods[index]!, host);
  }

  await onA.run('web', ['httpd', '-f', '-p', '80', '-h', '/www']);
  await onB.run('client', ['sleep', '600']);
  const [, ip] = /inet (10\.[\d.]+)\//.exec((await onA.exec('web', ['ip', 'address', 'show', 'eth0'])) ?? '') ?? [];
  t.ok(ip, 'a container has an address of the overlay');
  const pings = async () => (await onB.exec('client', ['ping', '-c', '1', '-W', '1', String(ip)])) !== null;
  await eventually('containers of both hosts talk', pings, { timeoutMs: 10_000 });

  await pods[0].end();
  const again = new FabricPod(a);
  again.start(lab, a);
  await eventually('the next pod runs', () => again.runs(), { timeoutMs: READY_MAX_MS });
  const startMs = performance.now();
  await eventually('they talk again', pings, { timeoutMs: READY_MAX_MS });
  const seconds = (performance.now() - startMs) / 1_000;
  t.ok(seconds < RESTART_MAX_S, `they talk again ${seconds.toFixed(2)} s after the next pod's process began`);
  await readyPod(t, again, a);
  await onB.end('client');
  await onA.end('web');
});
