// systemd's part, as far as a unit of ours needs it: runs its ExecStart with its capabilities and without new privileges, and hears by
// NOTIFY_SOCKET what the service says of itself. A name in the abstract space, in the host's network namespace.

import type { ChildProcess } from 'node:child_process';
import { end, eventually } from './exec.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

const SOCKET = 'fabric-fake-systemd';
const WATCHDOG_USEC = 500_000;

export class FakeSystemd {
  readonly #lab: Lab;
  readonly #host: LabHost;
  #said = '';

  private constructor(lab: Lab, host: LabHost) {
    this.#lab = lab;
    this.#host = host;
  }

  /** It listens when this resolves. */
  static async start(lab: Lab, host: LabHost): Promise<FakeSystemd> {
    const systemd = new FakeSystemd(lab, host);
    // Node has no unix datagram sockets.
    const listener = lab.spawn([...host.enter(), 'socat', '-u', `ABSTRACT-RECV:${SOCKET}`, 'STDOUT']);
    listener.stdout!.on('data', (chunk: Buffer) => {
      systemd.#said += chunk.toString('utf8');
    });
    await eventually('socat listens', async () => {
      return (await host.run(['ss', '-Hxl'])).stdout.includes(`@${SOCKET}`);
    });
    return systemd;
  }

  /** Starts what the text of a unit describes, with `more` arguments. `stop` is SIGTERM to the main process alone (KillMode=process). */
  run(unit: string, more: readonly string[] = []): { stop(): Promise<void> } {
    const child = this.#lab.spawn([
      ...this.#host.enter(),
      ...['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
      ...[`NOTIFY_SOCKET=@${SOCKET}`, `WATCHDOG_USEC=${WATCHDOG_USEC}`],
      ...['setpriv', '--no-new-privs', `--bounding-set=${boundingSet(unit)}`],
      ...setting(unit, 'ExecStart').split(' '),
      ...more,
    ]);
    return { stop: () => this.#stop(child) };
  }

  /** Whether a line was said since the start, or since `forget`. */
  has(line: string): boolean {
    return this.#said.split('\n').includes(line);
  }

  forget(): void {
    this.#said = '';
  }

  async #stop(child: ChildProcess): Promise<void> {
    await this.#host.kill('TERM');
    await end(child, 'SIGTERM');
  }
}

function setting(unit: string, name: string): string {
  const value = new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
  if (value === undefined) throw new Error(`the unit has no ${name}`);
  return value;
}

/** In setpriv's words. */
function boundingSet(unit: string): string {
  const names = setting(unit, 'CapabilityBoundingSet').split(' ');
  return ['-all', ...names.map((name) => `+${name.replace('CAP_', '').toLowerCase()}`)].join(',');
}
