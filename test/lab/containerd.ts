// Debian's containerd in the namespaces of a lab host, driven by ctr or by its CRI socket: with our plugin in /opt/cni/bin, the
// reference plugins beside it, and the given list in /etc/cni/net.d.

import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { IMAGE, PAUSE_IMAGE } from './busybox-image.ts';
import { CNI_PLUGIN } from './checkout.ts';
import { CriClient } from './cri-client.ts';
import { eventually } from './exec.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

/** Why a test that needs containerd is skipped, or false. */
export const NO_CONTAINERD =
  existsSync('/usr/bin/containerd') && existsSync('/usr/bin/ctr') && existsSync('/usr/lib/cni/portmap')
    ? false
    : 'containerd or containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';

/** Hundreds of megabytes are unpacked and copied. */
const IMPORT_MAX_MS = 120_000;
const CONFIG_FILE = '/run/containerd.toml';
const configOf = (snapshotter: Snapshotter) => `
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${snapshotter}"
`;

/**
 * How a container gets its files: `native` copies them, on any file system; `overlayfs`, the default of runtimes, starts at once but
 * can't lie on an overlay, as in a lab that runs in a container itself.
 */
type Snapshotter = 'native' | 'overlayfs';

/** Of containerd: what `ctr` runs, or what CRI does. */
type Namespace = 'default' | 'k8s.io';

/** containerd in a host's namespaces, driven by ctr. */
export class Containerd {
  readonly #lab: Lab;
  readonly #host: LabHost;
  /** `ctr run` of each container. */
  readonly #running = new Map<string, ChildProcess>();
  readonly #snapshotter: Snapshotter;

  private constructor(lab: Lab, host: LabHost, snapshotter: Snapshotter) {
    this.#lab = lab;
    this.#host = host;
    this.#snapshotter = snapshotter;
  }

  /**
   * With this CNI configuration list and our plugin beside Debian's; null: somebody else brings both. Returns when it answers.
   */
  static async start(
    lab: Lab,
    host: LabHost,
    conflist: object | null,
    snapshotter: Snapshotter = 'native',
  ): Promise<Containerd> {
    // CRI looks into this directory alone, and runs `loopback` from there.
    await host.run(['cp', '-r', '/usr/lib/cni/.', '/opt/cni/bin/']);
    if (conflist !== null) {
      await host.run(['cp', CNI_PLUGIN, '/opt/cni/bin/']);
      await host.run(['tee', '/etc/cni/net.d/10-fabric.conflist'], { input: JSON.stringify(conflist) });
    }
    await host.run(['tee', CONFIG_FILE], { input: configOf(snapshotter) });
    const daemon = lab.spawn([...host.enter(), '/usr/bin/containerd', '--config', CONFIG_FILE, '--log-level', 'error']);
    let said = '';
    daemon.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    const runtime = new Containerd(lab, host, snapshotter);
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

  /** A client of its CRI socket; the caller closes it. */
  cri(): CriClient {
    return new CriClient(`/proc/${this.#host.pid}/root/run/containerd/containerd.sock`);
  }

  async import(archive: string, namespace: Namespace = 'default'): Promise<void> {
    const command = ['ctr', '--namespace', namespace, 'images', 'import', '--snapshotter', this.#snapshotter, archive];
    await this.#host.run(command, { timeoutMs: IMPORT_MAX_MS });
  }

  /** Returns once the container runs, attached. In the foreground, because a detached `ctr run` never calls DEL. */
  async run(name: string, command: readonly string[]): Promise<void> {
    const run = ['ctr', 'run', '--rm', '--cni', '--snapshotter', this.#snapshotter, IMAGE, name, ...command];
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
  async exec(name: string, command: readonly string[], namespace: Namespace = 'default'): Promise<string | null> {
    const id = `exec-${Math.random().toString(36).slice(2)}`;
    const task = ['ctr', '--namespace', namespace, 'tasks', 'exec', '--exec-id', id, name, ...command];
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
