// Two datapaths on the real kernel, without daemon: two hosts, each a network namespace with a bridge, a port and a process
// (datapath-host.ts), joined by an underlay; one container namespace behind each bridge, with default offloads. Needs root, ip,
// ethtool, ping, iperf3.
//
//   container A ── bridge ── port ═ process A ═══ underlay ═══ process B ═ port ── bridge ── container B

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { DatapathStats, LastingSession } from '../../src/router/datapath.ts';
import { CHECKOUT } from './checkout.ts';
import {
  CONTAINER,
  type DatapathChoice,
  HOST,
  type HostCommand,
  OVERLAY_MTU,
  PORT_NAME,
  SIDES,
  type Side,
  type Underlay,
} from './datapath-facts.ts';

let pairs = 0;

export class DatapathPair {
  readonly #namespaces: Readonly<Record<Side, { readonly host: string; readonly container: string }>>;
  readonly #started: HostProcess[] = [];
  readonly #choices: Readonly<Record<Side, DatapathChoice>>;
  readonly #children: ChildProcess[] = [];

  /** Builds the namespaces; {@link destroy} takes them away again. */
  constructor(choices: Readonly<Record<Side, DatapathChoice>>) {
    this.#choices = choices;
    const prefix = `fdp${process.pid}n${pairs++}`;
    this.#namespaces = {
      a: { host: `${prefix}ha`, container: `${prefix}ca` },
      b: { host: `${prefix}hb`, container: `${prefix}cb` },
    };
    for (const side of SIDES) this.#buildSide(side);
    const [a, b] = [this.#namespaces.a.host, this.#namespaces.b.host];
    ip(`link add under0 netns ${a} type veth peer name under0 netns ${b}`);
    for (const side of SIDES) {
      const { host } = this.#namespaces[side];
      this.inHost(side, 'ip link set under0 up');
      this.inHost(side, `ip address add ${HOST[side].underlay4}/24 dev under0`);
      ip(`-n ${host} address add ${HOST[side].underlay6}/64 dev under0 nodad`);
    }
  }

  async start(underlay: Underlay): Promise<Record<Side, HostProcess>> {
    const hosts = { a: this.launch('a', underlay), b: this.launch('b', underlay) };
    for (const side of SIDES) await hosts[side].ready();
    return hosts;
  }

  /** A process on that side, also beside or after another; not awaited. */
  launch(side: Side, underlay: Underlay, changes: Partial<DatapathChoice> = {}): HostProcess {
    const choice = JSON.stringify({ ...this.#choices[side], ...changes });
    // ThreadSanitizer wants its addresses free: no randomisation of the layout.
    const before = this.#choices[side].build === 'tsan' ? ['setarch', '-R'] : [];
    const host = new HostProcess(this.#namespaces[side].host, before, [side, underlay, choice]);
    this.#started.push(host);
    return host;
  }

  inHost(side: Side, command: string): string {
    return ip(`netns exec ${this.#namespaces[side].host} ${command}`);
  }

  /** While this process goes on reading what its children say. */
  async inContainer(side: Side, command: string): Promise<string> {
    const { stdout } = await promisify(execFile)(
      'ip',
      words(`netns exec ${this.#namespaces[side].container} ${command}`),
    );
    return stdout;
  }

  /** From A; the count of answers and the best round trip. */
  async ping(options: string): Promise<{ readonly received: number; readonly bestMs: number }> {
    const text = await this.inContainer('a', `ping -n ${options}`);
    const received = Number(/(\d+) received/.exec(text)?.[1] ?? 0);
    return { received, bestMs: Number(/= ([\d.]+)\//.exec(text)?.[1] ?? Number.NaN) };
  }

  /** A to B over TCP or as told by `options`; Gbit/s at the receiver and TCP's retransmissions. */
  async iperf(options: string): Promise<{ readonly gbits: number; readonly retransmits: number | null }> {
    const { container } = this.#namespaces.b;
    const server = spawn('ip', words(`netns exec ${container} iperf3 -s -1 --forceflush`), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(server);
    await new Promise<void>((listening) => server.stdout.once('data', () => listening()));
    const ended = new Promise((resolve) => server.once('exit', resolve));
    const report = JSON.parse(await this.inContainer('a', `iperf3 -J ${options}`)) as {
      readonly end: {
        readonly sum_received: { readonly bits_per_second: number };
        readonly sum_sent: { readonly retransmits?: number };
      };
    };
    await ended;
    const { sum_received, sum_sent } = report.end;
    return { gbits: sum_received.bits_per_second / 1e9, retransmits: sum_sent.retransmits ?? null };
  }

  /** Sends random bytes from A to B over TCP; true when they arrive unchanged. */
  async transfer(bytes: number, to: string): Promise<boolean> {
    const program = join(CHECKOUT, 'dist/test/lab/tcp-transfer.js');
    const args = ['netns', 'exec', this.#namespaces.b.container, process.execPath, program, 'receive', '9000'];
    const receiver = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children.push(receiver);
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    await lines.next();
    const sent = await this.inContainer('a', `${process.execPath} ${program} send ${to} 9000 ${bytes}`);
    return (await lines.next()).value === sent.trim();
  }

  destroy(): void {
    for (const host of this.#started) host.kill();
    for (const child of this.#children) child.kill('SIGKILL');
    const existing = ip('netns list');
    for (const { host, container } of Object.values(this.#namespaces)) {
      for (const namespace of [host, container]) {
        if (existing.includes(namespace)) ip(`netns delete ${namespace}`);
      }
    }
  }

  #buildSide(side: Side): void {
    const { host, container } = this.#namespaces[side];
    for (const namespace of [host, container]) {
      ip(`netns add ${namespace}`);
      ip(`-n ${namespace} link set lo up`);
    }
    this.inHost(side, `ip link add br0 mtu ${OVERLAY_MTU} type bridge mcast_snooping 0 forward_delay 0`);
    this.#silence(side, 'br0');
    this.inHost(side, 'ip link set br0 up');
    if (this.#choices[side].name === 'pcap') this.#addVeth(side);
    else this.#addTap(side);
    const { mac, ip4, ip6 } = CONTAINER[side];
    const peer = `peer name eth0 mtu ${OVERLAY_MTU} address ${mac} netns ${container}`;
    this.inHost(side, `ip link add c0 mtu ${OVERLAY_MTU} type veth ${peer}`);
    this.inHost(side, 'ip link set c0 master br0 up');
    ip(`-n ${container} link set eth0 up`);
    ip(`-n ${container} address add ${ip4}/12 brd + dev eth0`);
    ip(`-n ${container} address add ${ip6}/48 dev eth0 nodad`);
  }

  /** As the host network makes them, see src/host/linux/port-veths.ts. */
  #addVeth(side: Side): void {
    const mtu = `mtu ${OVERLAY_MTU}`;
    this.inHost(side, `ip link add near0 ${mtu} type veth peer name ${PORT_NAME} ${mtu}`);
    for (const end of ['near0', PORT_NAME]) {
      this.#silence(side, end);
      this.inHost(side, `ethtool -K ${end} tx off tso off gso off gro off`);
    }
    this.#join(side, 'near0');
    this.inHost(side, `ip link set ${PORT_NAME} arp off up`);
  }

  #addTap(side: Side): void {
    this.inHost(side, `ip tuntap add dev ${PORT_NAME} mode tap vnet_hdr`);
    this.#silence(side, PORT_NAME);
    this.inHost(side, `ip link set ${PORT_NAME} mtu ${OVERLAY_MTU}`);
    this.#join(side, PORT_NAME);
  }

  #join(side: Side, port: string): void {
    this.inHost(side, `ip link set ${port} master br0 up`);
    this.inHost(side, `ip link set ${port} type bridge_slave learning off isolated on`);
  }

  /** The host's own IPv6 says nothing there. */
  #silence(side: Side, name: string): void {
    this.inHost(side, `sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
  }
}

/** One datapath-host.ts. */
export class HostProcess {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string) => void)[] = [];
  /** Of the engine's own process, 0 for pcap. */
  enginePid = 0;
  /** Sessions that an engine had kept. */
  adopted: readonly LastingSession[] = [];
  /** All that it and its engine said on standard error. */
  complaints = '';
  /** Exit code or signal. */
  readonly exited: Promise<number | string | null>;

  constructor(namespace: string, before: readonly string[], args: readonly string[]) {
    const program = join(CHECKOUT, 'dist/test/lab/datapath-host.js');
    this.#child = spawn('ip', ['netns', 'exec', namespace, ...before, process.execPath, program, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr!.on('data', (bytes: Buffer) => {
      this.complaints += bytes.toString('utf8');
      process.stderr.write(bytes);
    });
    this.exited = new Promise((resolve) => this.#child.once('exit', (code, signal) => resolve(code ?? signal)));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#lines.push(line);
      else next(line);
    });
  }

  async ready(): Promise<void> {
    const { enginePid, adopted } = await this.line();
    this.enginePid = Number(enginePid);
    this.adopted = adopted as readonly LastingSession[];
  }

  async line(): Promise<Record<string, unknown>> {
    const text = this.#lines.shift() ?? (await new Promise<string>((resolve) => this.#waiting.push(resolve)));
    return JSON.parse(text) as Record<string, unknown>;
  }

  async ask(command: HostCommand): Promise<Record<string, unknown>> {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    return this.line();
  }

  async stats(): Promise<DatapathStats> {
    return (await this.ask({ stats: true })) as unknown as DatapathStats;
  }

  kill(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' = 'SIGKILL'): void {
    this.#child.kill(signal);
  }
}

function words(text: string): string[] {
  return text.split(' ');
}

function ip(command: string): string {
  return execFileSync('ip', words(command), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
