// Two datapaths on the real kernel, without daemon: two hosts, each a network namespace with a bridge, a port and a process
// (datapath-host.ts), joined by an underlay; one container namespace behind each bridge, with default offloads. A third host may
// relay between them. Needs root, ip, ethtool, ping, iperf3.
//
//   container A ── bridge ── port ═ process A ═══ underlay ═══ process B ═ port ── bridge ── container B
//                                       ╚═══ leg ═══ relay ═══ leg ═══╝

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
  type Place,
  PORT_NAME,
  RELAY,
  SIDES,
  type Side,
  type Underlay,
} from './datapath-facts.ts';

let pairs = 0;

export class DatapathPair {
  readonly #hosts: Readonly<Record<Place, string>>;
  readonly #containers: Readonly<Record<Side, string>>;
  readonly #started: HostProcess[] = [];
  readonly #choices: Partial<Record<Place, DatapathChoice>>;
  readonly #children: ChildProcess[] = [];

  /** Builds the namespaces; {@link destroy} takes them away again. */
  constructor(choices: Readonly<Record<Side, DatapathChoice>>) {
    this.#choices = { ...choices };
    const prefix = `fdp${process.pid}n${pairs++}`;
    this.#hosts = { a: `${prefix}ha`, b: `${prefix}hb`, relay: `${prefix}hr` };
    this.#containers = { a: `${prefix}ca`, b: `${prefix}cb` };
    for (const side of SIDES) {
      this.#buildHost(side);
      this.#buildContainer(side);
    }
    ip(`link add under0 netns ${this.#hosts.a} type veth peer name under0 netns ${this.#hosts.b}`);
    for (const side of SIDES) {
      this.inHost(side, 'ip link set under0 up');
      this.inHost(side, `ip address add ${HOST[side].underlay4}/24 dev under0`);
      this.inHost(side, `ip address add ${HOST[side].underlay6}/64 dev under0 nodad`);
    }
  }

  /** A third host with a link to each side, by which {@link HostCommand.relayed} leads. Resolves when it serves. */
  async addRelay(choice: DatapathChoice): Promise<HostProcess> {
    this.#choices.relay = choice;
    this.#buildHost('relay');
    for (const side of SIDES) {
      const { side: near, relay: far } = RELAY.legs[side];
      ip(`link add leg0 netns ${this.#hosts[side]} type veth peer name leg${side} netns ${this.#hosts.relay}`);
      this.inHost(side, 'ip link set leg0 up');
      this.inHost(side, `ip address add ${near}/24 dev leg0`);
      this.inHost('relay', `ip link set leg${side} up`);
      this.inHost('relay', `ip address add ${far}/24 dev leg${side}`);
      // A new link carries once the kernel has activated it, which waits for all else that is done to links on the machine.
      this.inHost('relay', `ping -n -c 1 -W 5 ${near}`);
    }
    const relay = this.launch('relay', 'underlay4');
    await relay.ready();
    return relay;
  }

  async start(underlay: Underlay): Promise<Record<Side, HostProcess>> {
    const hosts = { a: this.launch('a', underlay), b: this.launch('b', underlay) };
    for (const side of SIDES) await hosts[side].ready();
    return hosts;
  }

  /** A process at that place, also beside or after another; not awaited. */
  launch(place: Place, underlay: Underlay, changes: Partial<DatapathChoice> = {}): HostProcess {
    const choice = JSON.stringify({ ...this.#choices[place], ...changes });
    // ThreadSanitizer wants its addresses free: no randomisation of the layout.
    const before = this.#choices[place]?.build === 'tsan' ? ['setarch', '-R'] : [];
    const host = new HostProcess(this.#hosts[place], before, [place, underlay, choice]);
    this.#started.push(host);
    return host;
  }

  inHost(place: Place, command: string): string {
    return ip(`netns exec ${this.#hosts[place]} ${command}`);
  }

  /** While this process goes on reading what its children say. */
  async inContainer(side: Side, command: string): Promise<string> {
    const { stdout } = await promisify(execFile)('ip', words(`netns exec ${this.#containers[side]} ${command}`));
    return stdout;
  }

  /** From A; the count of answers and the best round trip. */
  async ping(options: string): Promise<{ readonly received: number; readonly bestMs: number }> {
    const text = await this.inContainer('a', `ping -n ${options}`);
    const received = Number(/(\d+) received/.exec(text)?.[1] ?? 0);
    return { received, bestMs: Number(/= ([\d.]+)\//.exec(text)?.[1] ?? Number.NaN) };
  }

  /** The median round trip of a ping from A. */
  async medianPingMs(options: string): Promise<number> {
    const text = await this.inContainer('a', `ping -n ${options}`);
    const trips = [...text.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms)).sort((a, b) => a - b);
    return trips[trips.length >> 1] ?? Number.NaN;
  }

  /** A to B over TCP or as told by `options`; Gbit/s at the receiver and TCP's retransmissions. */
  async iperf(options: string): Promise<{ readonly gbits: number; readonly retransmits: number | null }> {
    const server = spawn('ip', words(`netns exec ${this.#containers.b} iperf3 -s -1 --forceflush`), {
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
    const args = ['netns', 'exec', this.#containers.b, process.execPath, program, 'receive', '9000'];
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
    for (const namespace of [...Object.values(this.#hosts), ...Object.values(this.#containers)]) {
      if (existing.includes(namespace)) ip(`netns delete ${namespace}`);
    }
  }

  #buildHost(place: Place): void {
    addNamespace(this.#hosts[place]);
    this.inHost(place, `ip link add br0 mtu ${OVERLAY_MTU} type bridge mcast_snooping 0 forward_delay 0`);
    this.#silence(place, 'br0');
    this.inHost(place, 'ip link set br0 up');
    if (this.#choices[place]?.name === 'pcap') this.#addVeth(place);
    else this.#addTap(place);
  }

  #buildContainer(side: Side): void {
    const container = this.#containers[side];
    addNamespace(container);
    const { mac, ip4, ip6 } = CONTAINER[side];
    const peer = `peer name eth0 mtu ${OVERLAY_MTU} address ${mac} netns ${container}`;
    this.inHost(side, `ip link add c0 mtu ${OVERLAY_MTU} type veth ${peer}`);
    this.inHost(side, 'ip link set c0 master br0 up');
    ip(`-n ${container} link set eth0 up`);
    ip(`-n ${container} address add ${ip4}/12 brd + dev eth0`);
    ip(`-n ${container} address add ${ip6}/48 dev eth0 nodad`);
  }

  /** As the host network makes them, see src/host/linux/port-veths.ts. */
  #addVeth(place: Place): void {
    const mtu = `mtu ${OVERLAY_MTU}`;
    this.inHost(place, `ip link add near0 ${mtu} type veth peer name ${PORT_NAME} ${mtu}`);
    for (const end of ['near0', PORT_NAME]) {
      this.#silence(place, end);
      this.inHost(place, `ethtool -K ${end} tx off tso off gso off gro off`);
    }
    this.#join(place, 'near0');
    this.inHost(place, `ip link set ${PORT_NAME} arp off up`);
  }

  #addTap(place: Place): void {
    this.inHost(place, `ip tuntap add dev ${PORT_NAME} mode tap vnet_hdr`);
    this.#silence(place, PORT_NAME);
    this.inHost(place, `ip link set ${PORT_NAME} mtu ${OVERLAY_MTU}`);
    this.#join(place, PORT_NAME);
  }

  #join(place: Place, port: string): void {
    this.inHost(place, `ip link set ${port} master br0 up`);
    this.inHost(place, `ip link set ${port} type bridge_slave learning off isolated on`);
  }

  /** The host's own IPv6 says nothing there. */
  #silence(place: Place, name: string): void {
    this.inHost(place, `sysctl -qw net.ipv6.conf.${name}.disable_ipv6=1`);
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

function addNamespace(name: string): void {
  ip(`netns add ${name}`);
  ip(`-n ${name} link set lo up`);
}

function words(text: string): string[] {
  return text.split(' ');
}

function ip(command: string): string {
  return execFileSync('ip', words(command), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
