// A container of the lab: a named network namespace on a host, attached and detached by the CNI plugin binary with the
// environment and configuration that a runtime gives it.

import { dirname } from 'node:path';
import { CNI_PLUGIN } from './checkout.ts';
import { type ExecOptions, exec, type Result } from './exec.ts';
import type { LabHost } from './host.ts';

/** One call of a plugin; what is not said is that of an ADD of the container by our plugin. */
export interface CniCall extends ExecOptions {
  readonly stdin?: Record<string, unknown>;
  /** Path of another plugin. */
  readonly plugin?: string;
  readonly args?: string;
  readonly ifname?: string;
  /** CNI_NETNS; may be empty. */
  readonly netns?: string;
  /** The plugin is killed (SIGKILL) when it has run as long. */
  readonly killAfterMs?: number;
}

const CONF = { cniVersion: '1.0.0', name: 'fabric', type: 'fabric' };

/** Where a host has plugins, ours first: Debian's lie in the last. */
const CNI_PATH = ['/opt/cni/bin', dirname(CNI_PLUGIN), '/usr/lib/cni'].join(':');

export interface CniResult {
  readonly interfaces: readonly { name: string; mac: string; sandbox?: string }[];
  readonly ips: readonly { address: string; gateway?: string; interface?: number }[];
  readonly routes?: readonly { dst: string; gw?: string }[];
  readonly dns?: { readonly nameservers?: readonly string[]; readonly search?: readonly string[] };
}

export class LabContainer {
  readonly host: LabHost;
  readonly name: string;
  readonly id: string;
  readonly #conf: Record<string, unknown>;
  result: CniResult | null = null;

  constructor(facts: { host: LabHost; name: string; id: string; conf: Record<string, unknown> }) {
    this.host = facts.host;
    this.name = facts.name;
    this.id = facts.id;
    this.#conf = { ...CONF, ...facts.conf };
  }

  async create(): Promise<void> {
    await this.createNamespace();
    const { stdout } = await this.cni('ADD');
    this.result = JSON.parse(stdout) as CniResult;
  }

  async createNamespace(): Promise<void> {
    await this.host.run(['ip', 'netns', 'add', this.name]);
    await this.run(['ip', 'link', 'set', 'lo', 'up']);
  }

  /** CNI ADD that may fail, as it does when the daemon dies: false then, and `result` is null. */
  async tryAdd(options: { readonly stdin?: Record<string, unknown> } = {}): Promise<boolean> {
    const { status, stdout } = await this.cni('ADD', { mayFail: true, ...options });
    this.result = status === 0 ? (JSON.parse(stdout) as CniResult) : null;
    return status === 0;
  }

  /** The container ends: DEL, then the namespace goes. */
  async remove(): Promise<void> {
    await this.cni('DEL');
    await this.host.run(['ip', 'netns', 'delete', this.name]);
  }

  cni(command: string, call: CniCall = {}): Promise<Result> {
    const {
      stdin = this.#conf,
      plugin = CNI_PLUGIN,
      args = '',
      ifname = 'eth0',
      netns = this.#path,
      killAfterMs,
      ...rest
    } = call;
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: this.id,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_PATH,
      CNI_ARGS: args,
    };
    const assignments = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const input = JSON.stringify(stdin);
    const limit = killAfterMs === undefined ? [] : ['timeout', '--signal=KILL', (killAfterMs / 1000).toFixed(4)];
    return this.host.run([...limit, 'env', ...assignments, plugin], { input, timeoutMs: 70_000, ...rest });
  }

  /** Inside the container's network namespace. */
  run(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return exec([...this.enter(), ...command], options);
  }

  get #path(): string {
    return `/run/netns/${this.name}`;
  }

  enter(): readonly string[] {
    return [...this.host.enter(), 'ip', 'netns', 'exec', this.name];
  }

  get ip(): string {
    return this.#address((text) => !text.includes(':'));
  }

  get ip6(): string {
    return this.#address((text) => text.includes(':'));
  }

  get mac(): string {
    return this.result!.interfaces.find((entry) => (entry.sandbox ?? '') !== '')!.mac;
  }

  async pings(address: string, extra: readonly string[] = []): Promise<boolean> {
    const { status } = await this.run(['ping', '-c', '1', '-W', '2', ...extra, address], { mayFail: true });
    return status === 0;
  }

  #address(accept: (text: string) => boolean): string {
    const found = this.result?.ips.map((ip) => ip.address).find(accept);
    if (found === undefined) throw new Error(`${this.name} has no such address`);
    return found.split('/')[0]!;
  }
}
