// The datapaths on the real kernel (test/lab/datapath-pair.ts), with preset keys and tables: pcap and the engine against
// themselves, the engine against one without any of the kernel's help, and against pcap, which shows that the two speak one
// wire format. Needs root.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { PeerCounters } from '../../src/router/datapath.ts';
import { overheadBytes } from '../../src/router/wire-format.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import {
  CONTAINER,
  type DatapathChoice,
  OTHER,
  OVERLAY_MTU,
  PORT_NAME,
  SIDES,
  type Side,
} from '../lab/datapath-facts.ts';
import { DatapathPair } from '../lab/datapath-pair.ts';
import { eventually } from '../lab/exec.ts';

const ENGINE: DatapathChoice = { name: 'engine' };
const BARE_ENGINE: DatapathChoice = {
  name: 'engine',
  without: ['vnet', 'udp-segment', 'udp-gro', 'ipsec-mb', 'seccomp'],
};
const PCAP: DatapathChoice = { name: 'pcap' };

const MATRIX: readonly { readonly name: string; readonly choices: Readonly<Record<Side, DatapathChoice>> }[] = [
  { name: 'pcap and pcap', choices: { a: PCAP, b: PCAP } },
  { name: 'engine and engine', choices: { a: ENGINE, b: ENGINE } },
  { name: 'an engine with every offload and one without any', choices: { a: ENGINE, b: BARE_ENGINE } },
  { name: 'engine to pcap', choices: { a: ENGINE, b: PCAP } },
  { name: 'pcap to engine', choices: { a: PCAP, b: ENGINE } },
];

const { ip4, ip6 } = CONTAINER.b;
const STREAM = join(CHECKOUT, 'dist/test/lab/datagram-stream.js');
/** What an engine has under way at most is more (kBufferBytes of native/engine/udp_socket.cc). */
const BACKLOG_BYTES = 6_000_000;

/** Value of a line in /proc/PID/status. */
function statusOf(pid: unknown, line: string): string {
  const text = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  return new RegExp(`^${line}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
}

if (process.getuid?.() !== 0) {
  test('datapaths', { skip: 'needs root' }, async () => {});
} else {
  for (const { name, choices } of MATRIX) {
    test(name, { timeout: 60_000 }, async (t) => {
      const pair = new DatapathPair(choices);
      t.teardown(() => pair.destroy());
      const hosts = await pair.start('underlay4');

      t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'ping over IPv4');
      t.equal((await pair.ping(`-c 3 -i 0.1 ${ip6}`)).received, 3, 'ping over IPv6');
      t.equal((await pair.ping(`-c 3 -i 0.1 -s 10000 ${ip4}`)).received, 3, 'ping -s 10000 over IPv4');
      t.equal((await pair.ping(`-c 3 -i 0.1 -s 10000 ${ip6}`)).received, 3, 'ping -s 10000 over IPv6');
      t.equal((await pair.ping(`-c 1 -M do -s ${OVERLAY_MTU - 28} ${ip4}`)).received, 1, 'a packet of exactly the MTU');
      const idle = await pair.ping(`-c 10 -i 0.1 ${ip4}`);
      // Well below 1 ms on an idle machine; a capture that batches would take longer than this on any.
      t.ok(idle.bestMs < 5, `an idle ping takes ${idle.bestMs} ms at best`);
      t.ok(await pair.transfer(20_000_000, ip4), '20 MB of TCP over IPv4 arrive unchanged');
      t.ok(await pair.transfer(20_000_000, ip6), '20 MB of TCP over IPv6 arrive unchanged');

      for (const side of SIDES) await hosts[side].ask({ pathMtu: 700 });
      t.equal((await pair.ping(`-c 3 -i 0.1 -s 10000 ${ip4}`)).received, 3, 'ping -s 10000 in pieces');
      t.ok(await pair.transfer(4_000_000, ip4), '4 MB of TCP in pieces');

      const stats = { a: await hosts.a.stats(), b: await hosts.b.stats() };
      t.comment(JSON.stringify(stats));
      for (const side of SIDES) t.notOk(stats[side].peers[0]!.drops['authentication-failed'], 'all was authentic');
      t.ok(stats.a.peers[0]!.txFrames >= stats.b.peers[0]!.rxFrames, 'no frame came from nowhere');
      for (const side of SIDES) {
        await hosts[side].ask({ stop: true });
        t.equal(await hosts[side].exited, 0, 'after stop nothing keeps the process alive');
      }
    });
  }

  test('an underlay of IPv6, speed, and what the process gave up', { timeout: 60_000 }, async (t) => {
    const pair = new DatapathPair({ a: ENGINE, b: ENGINE });
    t.teardown(() => pair.destroy());
    const hosts = await pair.start('underlay6');
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'ping over an IPv6 underlay');
    t.ok(await pair.transfer(20_000_000, ip4), '20 MB of TCP arrive unchanged');

    const pid = hosts.a.enginePid;
    t.match(statusOf(pid, 'Uid'), /^(\d{5})\t\1\t\1\t\1$/, 'a uid of its own');
    t.match(statusOf(pid, 'CapEff'), /^0+$/, 'no capability');
    t.match(statusOf(pid, 'CapPrm'), /^0+$/, 'and none to take');
    t.equal(statusOf(pid, 'NoNewPrivs'), '1', 'no new privileges');
    t.equal(statusOf(pid, 'Seccomp'), '2', 'a system call filter');
    const tcp = await pair.iperf(`-t 2 -c ${ip4}`);
    t.comment(`iperf3, one stream: ${tcp.gbits.toFixed(2)} Gbit/s, ${tcp.retransmits} retransmissions`);
    t.ok(tcp.gbits > 1, 'more than user space without offloads reaches');
  });

  for (const without of [[], ['udp-segment']] as const) {
    const name = `what the kernel refuses of a train is counted, ${without.length === 0 ? 'with' : 'without'} UDP_SEGMENT`;
    test(name, { timeout: 60_000 }, async (t) => {
      const pair = new DatapathPair({ a: { ...ENGINE, without }, b: ENGINE });
      t.teardown(() => pair.destroy());
      const hosts = await pair.start('underlay4');
      t.equal((await pair.ping(`-c 1 ${ip4}`)).received, 1, 'they talk');
      // In two pieces of 706 and 705 bytes, of which the uplink takes the smaller.
      await hosts.a.ask({ pathMtu: 780 });
      pair.inHost('a', `ip link set under0 mtu ${705 + overheadBytes(4)}`);
      await t.rejects(pair.ping(`-c 1 -W 1 -s ${1411 - 14 - 28} ${ip4}`), 'a frame of 1411 bytes is lost');
      const [{ drops }] = (await hosts.a.stats()).peers as [PeerCounters];
      t.same(drops, { 'send-failed': 1 }, 'with one datagram');
    });
  }

  test('an uplink that is full takes nothing from what arrives', { timeout: 60_000 }, async (t) => {
    const pair = new DatapathPair({ a: { ...ENGINE, threads: 1 }, b: ENGINE });
    t.teardown(() => pair.destroy());
    const hosts = await pair.start('underlay4');
    pair.inHost('a', 'tc qdisc add dev under0 root tbf rate 20mbit burst 64kb limit 64000000');
    const stream = (side: Side, perSecond: number, seconds: number): Promise<string> =>
      pair.inContainer(side, `${process.execPath} ${STREAM} ${CONTAINER[OTHER[side]].ip4} ${perSecond} ${seconds}`);
    const up = stream('a', 20_000, 9);
    const backlogBytes = (): number =>
      Number(/backlog (\d+)/.exec(pair.inHost('a', 'tc -s -r qdisc show dev under0'))?.[1]);
    await eventually('the uplink is full', async () => backlogBytes() >= BACKLOG_BYTES, { timeoutMs: 6_000 });
    const [arrivedBefore, sentBefore] = [
      (await hosts.a.stats()).peers[0]!.rxFrames,
      (await hosts.b.stats()).peers[0]!.txFrames,
    ];
    await stream('b', 5_000, 4);
    const sent = (await hosts.b.stats()).peers[0]!.txFrames - sentBefore;
    const arrived = (await hosts.a.stats()).peers[0]!.rxFrames - arrivedBefore;
    t.ok(arrived > 0.9 * sent, `${arrived} of ${sent} frames arrive`);
    await up;
  });

  test('pcap over an underlay of IPv6, and its interface goes', { timeout: 60_000 }, async (t) => {
    const pair = new DatapathPair({ a: PCAP, b: PCAP });
    t.teardown(() => pair.destroy());
    const hosts = await pair.start('underlay6');
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip6}`)).received, 3, 'ping over an IPv6 underlay');
    t.ok(await pair.transfer(5_000_000, ip6), '5 MB of TCP arrive unchanged');
    pair.inHost('a', `ip link set ${PORT_NAME} down`);
    t.match((await hosts.a.line()).failed, PORT_NAME, 'failed names an interface that goes down');
    pair.inHost('b', `ip link delete ${PORT_NAME}`);
    t.match((await hosts.b.line()).failed, PORT_NAME, 'and one that is deleted');
  });

  test('the engine dies, or its interface does', { timeout: 60_000 }, async (t) => {
    const pair = new DatapathPair({ a: ENGINE, b: ENGINE });
    t.teardown(() => pair.destroy());
    const hosts = await pair.start('underlay4');
    process.kill(Number(hosts.a.enginePid), 'SIGKILL');
    t.match((await hosts.a.line()).failed, /SIGKILL/, 'failed says how it ended');
    pair.inHost('b', 'ip link delete port0');
    t.match((await hosts.b.line()).failed, /interface/, 'failed says that the interface is gone');
  });
}
