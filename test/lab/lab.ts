// A lab of hosts on one machine: each host is a network, mount and PID namespace with directories of its own, joined by an
// underlay switch (a bridge in a namespace of its own) that can lose, cut and shrink. Everything hangs on one process per
// namespace that dies with this one, so that the lab cleans up also when the test is killed.
//
//     host a ── eth0 ──┐                      ┌── eth0 ── host b
//      192.0.2.11      ├── bridge `underlay` ─┤            192.0.2.12
//     2001:db8:1::11   ┘    (switch namespace)└── …       2001:db8:1::12

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdsText } from './capture-file.ts';
import { type DatapathMix, mixOfEnvironment } from './datapath-mix.ts';
import { end, eventually, exec } from './exec.ts';
import { LabHost } from './host.ts';
import { childOf, namespaceOf, procFile } from './proc.ts';

/** PID 1 of a host: reaps orphans. */
const HOLDER = 'trap : TERM; while :; do sleep 3600 & wait $!; done';

/** To the address of pause frames, which no bridge passes on; IEEE 802 local experimental. */
const LAST_FRAME = Buffer.from('0180c200000102000000000088b5', 'hex');
const ETHERNET_PAYLOAD_MIN = 46;

const DIRECTORY_PREFIX = 'fabric-lab-';

export interface HostOptions {
  /** MTU of the underlay interface, bytes. */
  readonly mtu?: number;
  /** Give no IPv6 address on the underlay. */
  readonly ipv4Only?: boolean;
}

export interface Capture {
  /** Ends it; returns the file's path. */
  stop(): Promise<string>;
}

export class Lab {
  readonly directory: string;
  /** What its hosts run. */
  readonly mix: DatapathMix;
  readonly hosts: LabHost[] = [];
  readonly #children: ChildProcess[] = [];
  #switchPid = 0;

  private constructor(mix: DatapathMix) {
    this.mix = mix;
    this.directory = mkdtempSync(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
  }

  static async create(mix = mixOfEnvironment()): Promise<Lab> {
    removeStaleDirectories();
    const lab = new Lab(mix);
    lab.#switchPid = await lab.hold(['--net']);
    await lab.inSwitch(['ip', 'link', 'add', 'underlay', 'type', 'bridge', 'mcast_snooping', '0']);
    await lab.inSwitch(['ip', 'link', 'set', 'underlay', 'up']);
    await lab.inSwitch([
      'nft',
      'add table bridge lab; add chain bridge lab forward { type filter hook forward priority 0; }',
    ]);
    return lab;
  }

  /** Adds a host; its number (1, 2, …) gives its addresses: 192.0.2.1N and 2001:db8:1::1N for N below 10. */
  async host(name: string, { mtu = 1500, ipv4Only = false }: HostOptions = {}): Promise<LabHost> {
    const number = this.hosts.length + 11;
    const pid = await this.hold(['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child']);
    const host = new LabHost({
      name,
      pid,
      directory: join(this.directory, name),
      ip: `192.0.2.${number}`,
      ip6: `2001:db8:1::${number}`,
      launchFlags: this.mix.flags[this.hosts.length % this.mix.flags.length]!,
    });
    await host.prepare();
    await this.connect(host, { ifname: 'eth0', mtu });
    await host.run(['ip', 'address', 'add', `${host.ip}/24`, 'dev', 'eth0']);
    if (!ipv4Only) await host.run(['ip', 'address', 'add', `${host.ip6}/64`, 'dev', 'eth0', 'nodad']);
    this.hosts.push(host);
    return host;
  }

  /** A cable from the host to the switch (or to another bridge in the switch's namespace, for an uplink of its own). */
  async connect(
    host: LabHost,
    { ifname, mtu = 1500, bridge = 'underlay' }: { ifname: string; mtu?: number; bridge?: string },
  ): Promise<void> {
    const port = [this.portOf(host, ifname), 'mtu', String(mtu), 'master', bridge, 'up'];
    const peer = ['name', ifname, 'mtu', String(mtu), 'netns', String(host.pid)];
    await this.inSwitch(['ip', 'link', 'add', ...port, 'type', 'veth', 'peer', ...peer]);
    await host.run(['ip', 'link', 'set', ifname, 'up']);
  }

  portOf(host: LabHost, ifname = 'eth0'): string {
    return `${host.name.slice(0, 8)}-${ifname}`;
  }

  inSwitch(command: readonly string[]): ReturnType<typeof exec> {
    return exec(['nsenter', '-t', String(this.#switchPid), '-n', '--', ...command]);
  }

  get switchPid(): number {
    return this.#switchPid;
  }

  /** Nothing passes between the two groups any more, in either direction. */
  async partition(left: readonly LabHost[], right: readonly LabHost[]): Promise<void> {
    for (const a of left) {
      for (const b of right) {
        await this.drop(a, b);
        await this.drop(b, a);
      }
    }
  }

  /** Drops what `from` sends to `to`, all of it or the nftables match given (`udp dport 6783`). */
  async drop(from: LabHost, to: LabHost, match = ''): Promise<void> {
    const rule = `iifname "${this.portOf(from)}" oifname "${this.portOf(to)}" ${match} drop`;
    await this.inSwitch(['nft', `add rule bridge lab forward ${rule}`]);
  }

  /** Loses that part (0 to 1) of all frames on the switch. */
  async lose(part: number): Promise<void> {
    await this.inSwitch([
      'nft',
      `add rule bridge lab forward numgen random mod 10000 < ${Math.round(part * 10_000)} drop`,
    ]);
  }

  /** Drops every IP packet longer than that, without an answer. Packets that a card is to cut count whole. */
  async dropLongerThan(bytes: number): Promise<void> {
    await this.inSwitch(['nft', `add rule bridge lab forward meta length > ${bytes} drop`]);
  }

  /** Takes partition, drops and loss back. */
  async heal(): Promise<void> {
    await this.inSwitch(['nft', 'flush chain bridge lab forward']);
  }

  /** Captures every frame on the switch into a pcap file until `stop`, which returns the file's path. */
  capture(name: string): Promise<Capture> {
    return this.#capture(this.#switchPid, 'underlay', name);
  }

  /** The same on an interface of a host. */
  captureIn(host: LabHost, ifname: string, name: string): Promise<Capture> {
    return this.#capture(host.pid, ifname, name);
  }

  async #capture(pid: number, ifname: string, name: string): Promise<Capture> {
    const file = join(this.directory, `${name}.pcap`);
    const tcpdump = ['tcpdump', '-i', ifname, '-U', '-s', '0', '-B', '32768', '--immediate-mode', '-w', file];
    const child = this.spawn(['nsenter', '-t', String(pid), '-n', '--', ...tcpdump]);
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    await eventually('tcpdump listens', () => said.includes('listening on'));
    return {
      stop: async () => {
        await this.#caughtUp(pid, ifname, file);
        await end(child, 'SIGINT');
        return file;
      },
    };
  }

  /** tcpdump forgets what it has not read yet when it is ended, so a last frame says that all before it is in the file. */
  async #caughtUp(pid: number, ifname: string, file: string): Promise<void> {
    const text = `the end ${randomBytes(12).toString('hex')}`;
    const frame = Buffer.concat([LAST_FRAME, Buffer.from(text.padEnd(ETHERNET_PAYLOAD_MIN))]);
    writeFileSync(`${file}.end`, frame);
    await exec(['nsenter', '-t', String(pid), '-n', '--', 'socat', '-u', `OPEN:${file}.end`, `INTERFACE:${ifname}`]);
    await eventually('tcpdump has read all', () => holdsText(file, text));
  }

  /** A process of the lab's, ended with it. Output that nobody has asked for by the next turn is thrown away: a full pipe would stop it. */
  spawn(command: readonly string[], { stdin = 'ignore' }: { stdin?: 'ignore' | 'pipe' } = {}): ChildProcess {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], { stdio: [stdin, 'pipe', 'pipe'] });
    child.stdout?.resume();
    child.stderr?.resume();
    this.#children.push(child);
    return child;
  }

  /** Starts a holder of new namespaces; returns the pid to enter them by. */
  async hold(unshareFlags: readonly string[]): Promise<number> {
    const hasInit = unshareFlags.includes('--fork');
    const command = hasInit ? ['sh', '-c', HOLDER] : ['sleep', 'infinity'];
    const child = this.spawn(['unshare', ...unshareFlags, '--', ...command]);
    if (!hasInit) {
      const own = namespaceOf('self');
      await eventually('the namespace is there', () => namespaceOf(String(child.pid)) !== own, { everyMs: 2 });
      return child.pid!;
    }
    let inner = 0;
    const hasStarted = (): boolean => {
      inner = childOf(child.pid!);
      return inner !== 0 && procFile(`${inner}/comm`).trim() === 'sh';
    };
    await eventually('the namespaces are there', hasStarted, { everyMs: 2 });
    return inner;
  }

  /** Ends every process and removes every trace; safe to call more than once. */
  async destroy(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.killAll()));
    await Promise.all(this.#children.map((child) => end(child, 'SIGKILL')));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A killed lab's namespaces and mounts are gone with it; only its directory is left. */
function removeStaleDirectories(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
