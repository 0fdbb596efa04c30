// The pcap datapath on the real kernel: two hosts, each a network namespace with a bridge, a port veth and a process of its own,
// joined by an underlay; one container namespace behind each bridge, with default offloads. Keys and tables are preset, so that
// this tests the datapath alone. Needs root, ip, ethtool, ping, iperf3, socat.
//
//   container A ── bridge ── port ═ process A ═══ underlay ═══ process B ═ port ── bridge ── container B

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'tap';
import type { Clock } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import type { DatapathStats } from '../../src/router/datapath.ts';
import { PcapDatapath } from '../../src/router/pcap/pcap-datapath.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

type Side = 'a' | 'b';
const SIDES: readonly Side[] = ['a', 'b'];
const OTHER = { a: 'b', b: 'a' } as const;
const HOST = {
  a: { peer: 'a'.repeat(32) as PeerId, underlay4: '192.0.2.1', underlay6: '2001:db8::1', index: 11 },
  b: { peer: 'b'.repeat(32) as PeerId, underlay4: '192.0.2.2', underlay6: '2001:db8::2', index: 22 },
};
const CONTAINER = {
  a: { mac: '02:00:00:00:00:0a' as Mac, ip4: '10.32.0.10', ip6: 'fd00::a' },
  b: { mac: '02:00:00:00:00:0b' as Mac, ip4: '10.32.0.11', ip6: 'fd00::b' },
};
const MTU = 1398;
const PORT = 6783;
const GATEWAY_MAC = '02:fa:b1:1c:00:01' as Mac;

/** Runs in a host's namespace, driven by lines of JSON on stdin; answers each with one on stdout. */
interface Command {
  readonly stats?: true;
  readonly pathMtu?: number;
  readonly stop?: true;
}

async function runHost(side: Side, underlay: 'underlay4' | 'underlay6'): Promise<void> {
  const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
  const peer = HOST[OTHER[side]];
  const say = (line: object): void => {
    process.stdout.write(`${JSON.stringify(line)}\n`);
  };
  const datapath = new PcapDatapath(
    {
      portName: 'far0',
      network: DEFAULT_VNI,
      listen: { ip: '::', port: PORT },
      mtu: MTU,
      pathMtu: 1500,
      gatewayMac: GATEWAY_MAC,
      gatewayIps: ['10.32.0.1', 'fd00::1'],
    },
    { clock, log: new RecordingLog() },
  );
  await datapath.start({
    handshake: () => {},
    sessionWanted: () => {},
    sessionConfirmed: () => {},
    roamed: () => {},
    probeAnswered: () => {},
    sessionExhausted: () => {},
    learned: () => {},
    failed: (reason) => say({ failed: reason }),
  });
  const key = (from: Side): Uint8Array => new Uint8Array(32).fill(from === 'a' ? 1 : 2);
  datapath.addSession({
    peer: peer.peer,
    localIndex: HOST[side].index,
    remoteIndex: peer.index,
    cipher: 'aes-256-gcm',
    sendKey: key(side),
    receiveKey: key(OTHER[side]),
  });
  datapath.setEndpoint(peer.peer, { ip: peer[underlay], port: PORT });
  const remote = CONTAINER[OTHER[side]];
  datapath.applyTables([
    { kind: 'mac', network: DEFAULT_VNI, mac: CONTAINER[side].mac, to: 'local' },
    { kind: 'mac', network: DEFAULT_VNI, mac: remote.mac, to: peer.peer },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip4, mac: remote.mac },
    { kind: 'neighbour', network: DEFAULT_VNI, ip: remote.ip6, mac: remote.mac },
    { kind: 'flood', network: DEFAULT_VNI, peers: [peer.peer] },
  ]);
  datapath.useSession(HOST[side].index);
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as Command;
    if (command.pathMtu !== undefined) datapath.setPathMtu(peer.peer, command.pathMtu);
    if (command.stop === true) break;
    say(command.stats === true ? datapath.stats() : { done: true });
  }
  await datapath.stop();
  process.stdin.destroy();
  say({ done: true });
}

/** A datapath process in a namespace. */
class Host {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string) => void)[] = [];
  /** Exit code or signal. */
  readonly exited: Promise<number | string | null>;

  constructor(namespace: string, side: Side, underlay: string) {
    const self = fileURLToPath(import.meta.url);
    const args = ['netns', 'exec', namespace, process.execPath, ...process.execArgv, self, 'host', side, underlay];
    this.#child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => this.#child.once('exit', (code, signal) => resolve(code ?? signal)));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#lines.push(line);
      else next(line);
    });
  }

  async line(): Promise<Record<string, unknown>> {
    const text = this.#lines.shift() ?? (await new Promise<string>((resolve) => this.#waiting.push(resolve)));
    return JSON.parse(text) as Record<string, unknown>;
  }

  async ask(command: Command): Promise<Record<string, unknown>> {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    return this.line();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

const prefix = `fpd${process.pid}`;
const namespaces = {
  a: { host: `${prefix}ha`, container: `${prefix}ca` },
  b: { host: `${prefix}hb`, container: `${prefix}cb` },
};

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function inside(namespace: string, ...command: string[]): string {
  return ip('netns', 'exec', namespace, ...command);
}

/** As {@link inside}, while this process goes on reading what other children say. */
async function run(namespace: string, ...command: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', namespace, ...command]);
  return stdout;
}

/** The port veth as the host network makes it. */
function addPort(host: string): void {
  inside(host, 'ip', 'link', 'add', 'near0', 'mtu', `${MTU}`, 'type', 'veth', 'peer', 'name', 'far0', 'mtu', `${MTU}`);
  for (const end of ['near0', 'far0']) {
    inside(host, 'sysctl', '-qw', `net.ipv6.conf.${end}.disable_ipv6=1`);
    inside(host, 'ethtool', '-K', end, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off');
  }
  inside(host, 'ip', 'link', 'set', 'near0', 'master', 'br0', 'up');
  inside(host, 'ip', 'link', 'set', 'near0', 'type', 'bridge_slave', 'learning', 'off', 'isolated', 'on');
  inside(host, 'ip', 'link', 'set', 'far0', 'arp', 'off', 'up');
}

function build(): void {
  for (const side of SIDES) {
    const { host, container } = namespaces[side];
    for (const namespace of [host, container]) {
      ip('netns', 'add', namespace);
      inside(namespace, 'ip', 'link', 'set', 'lo', 'up');
    }
    inside(
      host,
      'ip',
      'link',
      'add',
      'br0',
      'mtu',
      `${MTU}`,
      'type',
      'bridge',
      'mcast_snooping',
      '0',
      'forward_delay',
      '0',
    );
    inside(host, 'sysctl', '-qw', 'net.ipv6.conf.br0.disable_ipv6=1');
    inside(host, 'ip', 'link', 'set', 'br0', 'up');
    addPort(host);
    const { mac, ip4, ip6 } = CONTAINER[side];
    inside(host, 'ip', 'link', 'add', 'c0', 'mtu', `${MTU}`, 'type', 'veth', 'peer', 'name', 'eth0', 'mtu', `${MTU}`,
      'address', mac, 'netns', container); // biome-ignore format: one command
    inside(host, 'ip', 'link', 'set', 'c0', 'master', 'br0', 'up');
    inside(container, 'ip', 'link', 'set', 'eth0', 'up');
    inside(container, 'ip', 'address', 'add', `${ip4}/12`, 'brd', '+', 'dev', 'eth0');
    inside(container, 'ip', 'address', 'add', `${ip6}/48`, 'dev', 'eth0', 'nodad');
  }
  ip(
    'link',
    'add',
    'under0',
    'netns',
    namespaces.a.host,
    'type',
    'veth',
    'peer',
    'name',
    'under0',
    'netns',
    namespaces.b.host,
  );
  for (const side of SIDES) {
    const { host } = namespaces[side];
    inside(host, 'ip', 'link', 'set', 'under0', 'up');
    inside(host, 'ip', 'address', 'add', `${HOST[side].underlay4}/24`, 'dev', 'under0');
    inside(host, 'ip', 'address', 'add', `${HOST[side].underlay6}/64`, 'dev', 'under0', 'nodad');
  }
}

function destroy(): void {
  const existing = ip('netns', 'list');
  for (const { host, container } of Object.values(namespaces)) {
    for (const namespace of [host, container]) if (existing.includes(namespace)) ip('netns', 'delete', namespace);
  }
}

async function startHosts(underlay: 'underlay4' | 'underlay6'): Promise<Record<Side, Host>> {
  const hosts = { a: new Host(namespaces.a.host, 'a', underlay), b: new Host(namespaces.b.host, 'b', underlay) };
  for (const side of SIDES) await hosts[side].line();
  return hosts;
}

function ping(...args: string[]): { received: number; bestMs: number } {
  const text = inside(namespaces.a.container, 'ping', '-n', ...args);
  const received = Number(/(\d+) received/.exec(text)?.[1] ?? 0);
  return { received, bestMs: Number(/= ([\d.]+)\//.exec(text)?.[1] ?? Number.NaN) };
}

/** Gbit/s at the receiver. */
async function iperf(seconds: number): Promise<number> {
  const server = spawn('ip', ['netns', 'exec', namespaces.b.container, 'iperf3', '-s', '-1', '--forceflush'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((listening) => server.stdout.once('data', () => listening()));
  const client = await run(namespaces.a.container, 'iperf3', '-J', '-t', `${seconds}`, '-c', CONTAINER.b.ip4);
  const report = JSON.parse(client) as { end: { sum_received: { bits_per_second: number } } };
  return report.end.sum_received.bits_per_second / 1e9;
}

/** Sends a file over TCP from A to B; true when its hash arrives. */
async function transfer(bytes: number, family: 4 | 6): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'fabric-e2e-'));
  try {
    const file = join(directory, 'sent');
    const content = Buffer.alloc(bytes);
    for (let i = 0; i < bytes; i += 4) content.writeUInt32LE((i * 2654435761) >>> 0, i);
    writeFileSync(file, content);
    const listen = family === 4 ? 'TCP4-LISTEN:80,reuseaddr' : 'TCP6-LISTEN:80,reuseaddr';
    const receiver = spawn('ip', ['netns', 'exec', namespaces.b.container, 'socat', '-u', listen, 'STDOUT'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const hash = createHash('sha256');
    receiver.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
    const ended = new Promise<void>((resolve) => receiver.stdout.once('end', () => resolve()));
    const target = family === 4 ? `TCP4:${CONTAINER.b.ip4}:80` : `TCP6:[${CONTAINER.b.ip6}]:80`;
    await run(namespaces.a.container, 'socat', '-u', `FILE:${file}`, `${target},retry=50,interval=0.1`);
    await ended;
    return hash.digest('hex') === createHash('sha256').update(content).digest('hex');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function peerOf(stats: Record<string, unknown>): DatapathStats['peers'][number] {
  return (stats as unknown as DatapathStats).peers[0]!;
}

if (process.argv[2] === 'host') {
  await runHost(process.argv[3] as Side, process.argv[4] as 'underlay4' | 'underlay6');
} else if (process.getuid?.() !== 0) {
  test('pcap datapath', { skip: 'needs root' }, async () => {});
} else {
  test('pcap datapath', { timeout: 120_000 }, async (t) => {
    const started: Host[] = [];
    t.teardown(() => {
      for (const host of started) host.kill();
      destroy();
    });
    build();

    for (const underlay of ['underlay4', 'underlay6'] as const) {
      await t.test(`over an ${underlay === 'underlay4' ? 'IPv4' : 'IPv6'} underlay`, async (t) => {
        const hosts = await startHosts(underlay);
        started.push(hosts.a, hosts.b);

        t.equal(ping('-c', '3', '-i', '0.2', CONTAINER.b.ip4).received, 3, 'ping over IPv4');
        t.equal(ping('-c', '3', '-i', '0.2', CONTAINER.b.ip6).received, 3, 'ping over IPv6');
        t.equal(ping('-c', '3', '-i', '0.2', '-s', '10000', CONTAINER.b.ip4).received, 3, 'ping -s 10000 over IPv4');
        t.equal(ping('-c', '3', '-i', '0.2', '-s', '10000', CONTAINER.b.ip6).received, 3, 'ping -s 10000 over IPv6');
        t.equal(
          ping('-c', '1', '-M', 'do', '-s', `${MTU - 28}`, CONTAINER.b.ip4).received,
          1,
          'a packet of exactly the MTU',
        );
        const idle = ping('-c', '10', '-i', '0.2', CONTAINER.b.ip4);
        // Well below 1 ms on an idle machine; a capture that batches would take longer than this on any.
        t.ok(idle.bestMs < 5, `capture adds no delay to an idle ping: ${idle.bestMs} ms`);
        t.ok(await transfer(20_000_000, 4), '20 MB of TCP over IPv4 arrive unchanged');
        t.ok(await transfer(20_000_000, 6), '20 MB of TCP over IPv6 arrive unchanged');

        for (const side of SIDES) await hosts[side].ask({ pathMtu: 700 });
        t.equal(ping('-c', '3', '-i', '0.2', '-s', '10000', CONTAINER.b.ip4).received, 3, 'ping -s 10000 in pieces');
        t.ok(await transfer(4_000_000, 4), '4 MB of TCP in pieces');
        for (const side of SIDES) await hosts[side].ask({ pathMtu: 1500 });

        t.comment(`iperf3: ${(await iperf(2)).toFixed(2)} Gbit/s`);
        const [a, b] = [await hosts.a.ask({ stats: true }), await hosts.b.ask({ stats: true })];
        t.comment(JSON.stringify({ a, b }));
        t.notOk(peerOf(b).drops['authentication-failed'], 'every datagram was authentic');
        t.ok(peerOf(a).txFrames >= peerOf(b).rxFrames, 'no frame came from nowhere');
        for (const side of SIDES) {
          await hosts[side].ask({ stop: true });
          t.equal(await hosts[side].exited, 0, 'after stop nothing keeps the process alive');
        }
      });
    }

    await t.test('the interface goes down', async (t) => {
      const hosts = await startHosts('underlay4');
      started.push(hosts.a, hosts.b);
      inside(namespaces.a.host, 'ip', 'link', 'set', 'far0', 'down');
      t.match((await hosts.a.line()).failed, /far0/, 'failed names the interface');
      inside(namespaces.b.host, 'ip', 'link', 'delete', 'near0');
      t.match((await hosts.b.line()).failed, /far0/, 'a deleted interface too');
    });
  });
}
