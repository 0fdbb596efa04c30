// One host for the tests of crashes: the CNI verbs against real attachments and reservations in memory, every effect of theirs
// a fault point, a foreign IPAM plugin that remembers, and a restart that finds what the crash left.

import type { CniOutcome, PluginCall } from '../../src/cni-plugin/ipam-plugin.ts';
import { addEnv, CONFIG, type PluginRun, run } from '../cni-plugin/fake-backend.ts';
import { FaultPoints, Killed } from '../fakes/fault-points.ts';
import { setUp } from './attachments-world.ts';
import { FakeHostNetwork } from './fake-host-network.ts';

type World = ReturnType<typeof setUp>;

const V11 = { ...CONFIG, cniVersion: '1.1.0' };
export const OURS = V11;
export const FOREIGN = { ...V11, ipam: { type: 'host-local' } };
export const AS_IPAM = { ...V11, type: 'bridge', ipam: { type: 'fabric' } };

export class CrashWorld {
  /** Of the daemon that runs now; a restart has new ones. */
  points = new FaultPoints();
  /** Containers for which the foreign IPAM plugin holds an address. */
  readonly held = new Set<string>();
  /** Fires when the plugin's process is gone. */
  readonly caller = new AbortController();
  #now: World;

  constructor() {
    this.#now = setUp({ points: this.points });
  }

  get host(): World['host'] {
    return this.#now.host;
  }

  /** One call of the plugin; of c1 unless `env` says otherwise. */
  call(verb: string, config: object, env: Readonly<Record<string, string>> = {}): Promise<PluginRun> {
    const { attachments } = this.#now;
    const options = { signal: this.caller.signal, exec: (call: PluginCall) => this.#exec(call, env) };
    return run(attachments, addEnv({ CNI_COMMAND: verb, ...env }), config, options);
  }

  /** The daemon as it starts again: kernel and state as the last one left them. */
  async restart(): Promise<void> {
    await this.#start({ host: this.#now.host, kernelBootId: 'boot-1' });
  }

  /** The host as it starts again: what was not synced is lost, and so is all that the kernel held. */
  async reboot(): Promise<void> {
    this.#now.store.cutPower();
    await this.#start({ host: new FakeHostNetwork(), kernelBootId: 'boot-2' });
  }

  /** What the daemon does every minute. */
  async reconcile(): Promise<void> {
    await this.#now.attachments.reconcile({ starting: false });
  }

  /** Everything that is held for anyone; all zero when nothing is left. */
  leftOver(): Record<string, number> {
    return {
      ...this.#now.leftOver(),
      reservations: this.#now.reservations.all().length,
      'addresses of the foreign plugin': this.held.size,
    };
  }

  /** Whether what the store says is a whole: for what is not, a restart would not know what to undo. */
  faults(): readonly string[] {
    const { store, host, addresses } = this.#now;
    const known = setUp({ snapshot: store.snapshot() });
    const entries = known.entries.all();
    const owners = new Set([
      ...entries.map(({ key }) => `${key.network}/${key.containerId}/${key.ifname}`),
      ...known.reservations.all().map(({ key }) => `ipam:${key.network}/${key.containerId}/${key.ifname}`),
    ]);
    const interfaces = [...host.ports.keys()].filter((name) => !entries.some(({ hostIfname }) => hostIfname === name));
    const loose = [...addresses].filter(([, owner]) => !owners.has(owner));
    const early = entries.filter(
      ({ hostIfname, ips }) => host.ports.has(hostIfname) && !ips.every((ip) => addresses.has(ip)),
    );
    return [
      ...interfaces.map((name) => `${name} exists and no entry knows it`),
      ...loose.map(([ip, owner]) => `${ip} is held for ${owner} and no entry knows it`),
      ...early.map(({ hostIfname }) => `an address of ${hostIfname} is free while the interface exists`),
    ];
  }

  async #start(kernel: { readonly host: FakeHostNetwork; readonly kernelBootId: string }): Promise<void> {
    this.points = new FaultPoints();
    this.#now = setUp({ snapshot: this.#now.store.snapshot(), points: this.points, ...kernel });
    this.#now.reservations.reconcile();
    await this.#now.attachments.reconcile({ starting: true });
  }

  async #exec({ env }: PluginCall, { CNI_CONTAINERID = 'c1' }: Readonly<Record<string, string>>): Promise<CniOutcome> {
    const done = { exitCode: 0, stdout: '', stderr: '' };
    if (this.caller.signal.aborted) throw new Killed('the shim is gone');
    return this.points.effect(`host-local ${env.CNI_COMMAND}`, () => {
      if (env.CNI_COMMAND === 'DEL') this.held.delete(CNI_CONTAINERID);
      if (env.CNI_COMMAND !== 'ADD') return done;
      this.held.add(CNI_CONTAINERID);
      return { ...done, stdout: JSON.stringify({ cniVersion: '1.0.0', ips: [{ address: '10.33.0.7/24' }] }) };
    });
  }
}
