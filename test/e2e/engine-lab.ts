// `--datapath engine` in the lab, with daemons, handshakes and containers: two hosts on the engine and one on pcap share a
// network; an engine that is killed is replaced so fast that connections of containers go on.

import { test } from 'tap';
import { end, eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

/** From the issue: the longest silence when the engine is killed. */
const SILENCE_MAX_MS = 1000;
const PING_EVERY_MS = 10;

async function enginePid(host: LabHost): Promise<number> {
  const { stdout } = await host.run(['pidof', 'fabric-engine'], { mayFail: true });
  return Number(stdout.trim() || 0);
}

test('two hosts on the engine and one on pcap', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')];
  await a.launch({ flags: ['--datapath', 'engine'] });
  const token = await a.token();
  await b.launch({ join: a, token, flags: ['--datapath', 'engine'] });
  await c.launch({ join: a, token, flags: ['--datapath', 'pcap'] });
  const [one, two, three] = [await a.container('one'), await b.container('two'), await c.container('three')];
  t.equal((await a.status()).datapath.name, 'engine', 'status says engine');
  t.equal((await c.status()).datapath.name, 'pcap', 'and pcap on the host that wants it');

  for (const [from, to] of [
    [one, two],
    [two, three],
    [three, one],
  ] as const) {
    await eventually(`${from.name} reaches ${to.name}`, () => from.pings(to.ip), { timeoutMs: 5_000 });
    t.ok(await from.pings(to.ip6), `${from.name} reaches ${to.name} over IPv6`);
    t.ok(await from.pings(to.ip, ['-s', '10000']), `${from.name} reaches ${to.name} with 10,000 bytes`);
  }

  const server = lab.spawn([...two.enter(), 'iperf3', '-s', '--forceflush']);
  await eventually('iperf3 listens', async () => (await two.run(['ss', '-Hltn', 'sport', '=', '5201'])).stdout !== '');
  const before = await enginePid(a);
  const stream = one.run(['iperf3', '-t', '4', '-c', two.ip], { mayFail: true, timeoutMs: 20_000 });
  const pings = three.run(['ping', '-n', '-i', `${PING_EVERY_MS / 1000}`, '-w', '4', one.ip], { mayFail: true });
  await eventually('the stream runs', async () => {
    return (await a.status()).tunnels.some(({ txBytes }) => txBytes > 10_000_000);
  });
  await a.run(['kill', '-KILL', String(before)]);
  const { stdout } = await pings;
  const seen = [...stdout.matchAll(/icmp_seq=(\d+)/g)].map((match) => Number(match[1]));
  const silenceMs = Math.max(...seen.slice(1).map((seq, i) => seq - seen[i]!)) * PING_EVERY_MS;
  t.comment(`engine killed: longest silence ${silenceMs} ms, ${seen.length} pings answered`);
  t.ok(silenceMs <= SILENCE_MAX_MS, 'the engine is replaced within a second');
  t.ok(seen.length > 100, 'and the network lives on');
  t.equal((await stream).status, 0, 'an established TCP connection goes on');
  await end(server, 'SIGKILL');
  const after = await enginePid(a);
  t.ok(after > 0 && after !== before, 'another engine runs');
  await eventually('the host is healthy again', async () => (await a.status()).health.ok, { timeoutMs: 5_000 });

  await a.fabric(['stop']);
  t.equal(await enginePid(a), 0, 'stop ends the engine');
  await a.launch({ flags: ['--datapath', 'pcap'] });
  await eventually('pcap takes over the port', () => one.pings(two.ip), { timeoutMs: 5_000 });
  t.equal((await a.status()).datapath.name, 'pcap', 'status says pcap');
  await a.fabric(['stop']);
  await a.launch({ flags: ['--datapath', 'engine'] });
  await eventually('and the engine again', () => one.pings(two.ip), { timeoutMs: 5_000 });
});
