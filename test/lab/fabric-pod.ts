// The pod of deploy/kubernetes/fabric.yaml on a lab host, as far as containerd alone knows what a pod is: its image, script, variables,
// capabilities, seccomp profile and mounts. Everything is read from the manifest, so that what runs here is what is shipped.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { CHECKOUT } from './checkout.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

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
/** Where the host has what the manifest mounts as the secret `token`. */
export const TOKEN_FOLDER = '/run/fabric-token';

/** Those of the manifest that this machine has itself: in a container it may have no SYS_RESOURCE, for example. */
function grantable(): readonly string[] {
  const own = BigInt(`0x${/^CapPrm:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
  const wanted = POD.containers[0].securityContext.capabilities.add;
  return wanted.filter((name) => (own >> BigInt(CAPABILITY_BITS[name]!)) & 1n);
}

/** The pod's one container, by ctr. */
export class FabricPod {
  readonly #host: LabHost;
  #fault: string | null = null;
  #ended: Promise<void> = Promise.resolve();

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
      ...['ctr', 'run', '--rm', '--snapshotter', 'overlayfs', '--seccomp', '--net-host'],
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
    this.#ended = new Promise((resolve) => {
      child.once('close', (code) => {
        this.#fault = `ctr run ended with ${code}: ${said}`;
        resolve();
      });
    });
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
    await this.#ended;
  }
}
