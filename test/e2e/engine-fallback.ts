// What happens where the engine lacks something: without a feature of the machine it works, slower, and status names it; without
// what it can't do without, or dying again and again, it leaves its place to pcap; forced, it says what is wrong.

import { type Test, test } from 'tap';
import { TEST_WITHOUT_VARIABLE } from '../../src/daemon/simulated-lacks.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';

/** What is taken away from one host, what its status then says, and the cipher of its tunnel. */
const ROWS = [
  { without: 'vnet', lacks: ['vnet', 'checksum', 'tso', 'uso'] },
  { without: 'udp-segment', lacks: ['udp-segment'] },
  { without: 'udp-segment-later', lacks: ['udp-segment'] },
  { without: 'udp-gro', lacks: ['udp-gro'] },
  { without: 'ipsec-mb', lacks: ['ipsec-mb'] },
  { without: 'seccomp', lacks: ['seccomp'] },
  { without: 'aes', lacks: [], cipher: 'chacha20-poly1305' },
] as const;

const STREAM_BYTES = 5_000_000;

/** Null while none runs. */
async function enginePid(host: LabHost): Promise<string | null> {
  const { stdout } = await host.run(['pidof', 'fabric-engine'], { mayFail: true });
  return stdout.trim() || null;
}

test('an engine that lacks something', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const [one, two] = [await a.container('one'), await b.container('two')];
  const start = (place: LabContainer) => Traffic.start(lab, place, { httpBody: place.name });
  const [agentOne, agentTwo] = [await start(one), await start(two)];
  const carries = async (t: Test): Promise<void> => {
    t.ok(await one.pings(two.ip6, ['-s', '10000']), 'packets in pieces');
    for (const [from, to] of [
      [agentOne, two],
      [agentTwo, one],
    ] as const) {
      const { sent, received } = await from.push(to.ip, { bytes: STREAM_BYTES, marker: 'marker' });
      t.equal(received, sent, `TCP to ${to.name}: what was sent arrives`);
    }
  };
  const without = (name: string) => ({ env: { [TEST_WITHOUT_VARIABLE]: name } });

  for (const row of ROWS) {
    await t.test(`without ${row.without}`, async (t) => {
      await a.fabric(['stop']);
      await a.launch(without(row.without));
      await eventually('the containers meet', () => one.pings(two.ip), { timeoutMs: 5_000 });
      await a.waitReady(1);
      await carries(t);
      const { datapath, tunnels, health } = await a.status();
      t.equal(datapath.name, 'engine', 'it is the engine all the same');
      t.same(
        row.lacks.filter((lack) => !datapath.lacks.includes(lack)),
        [],
        `status names it: ${datapath.lacks.join(' ')}`,
      );
      t.equal(tunnels[0]!.cipher, 'cipher' in row ? row.cipher : 'aes-256-gcm', 'the cipher');
      t.same(health.problems, [], 'and it is no problem');
    });
  }

  await t.test('without TAP pcap takes its place', async (t) => {
    await a.fabric(['stop']);
    await a.launch(without('tap'));
    await eventually('the containers meet', () => one.pings(two.ip), { timeoutMs: 5_000 });
    await a.waitReady(1);
    await carries(t);
    const { datapath, tunnels, health } = await a.status();
    t.equal(datapath.name, 'pcap', 'status says pcap');
    t.match(datapath.reason, /the engine does not start: .*took it away/, 'and why');
    t.equal(tunnels[0]!.reason, datapath.reason, 'with each tunnel, too');
    t.same(health.problems, [], 'frames cross: it is no problem');
  });

  await t.test('forced, it does not start, and says so', async (t) => {
    await a.fabric(['stop']);
    const { status, stderr } = await a.fabric(['launch', '--detach', '--datapath', 'engine'], {
      ...without('tap'),
      mayFail: true,
    });
    t.equal(status, 1, 'exit code 1');
    t.match(stderr, /can't make a TAP/, 'what');
    await a.launch({ flags: ['--datapath', 'auto'] });
    await eventually('the containers meet', () => one.pings(two.ip), { timeoutMs: 5_000 });
    t.equal((await a.status()).datapath.name, 'engine', 'the next launch tries the engine again');
  });

  await t.test('whose UDP port somebody has is told so, a newcomer before anybody admits it', async (t) => {
    const c = await lab.host('c');
    await a.fabric(['stop']);
    for (const [host, args, input] of [
      [a, ['--datapath', 'engine'], ''],
      [c, ['--join', b.ip, '--token-file', '-'], await b.token()],
    ] as const) {
      const enter = ['nsenter', '-t', String(host.pid), '-n', '--'];
      const holder = lab.spawn([...enter, 'socat', '-u', 'UDP6-LISTEN:6783', 'STDOUT']);
      await eventually('the port is taken', async () => {
        return (await host.run(['ss', '-Hlnu', 'sport', '=', ':6783'])).stdout !== '';
      });
      const { status, stderr } = await host.fabric(['launch', '--detach', ...args], { input, mayFail: true });
      t.equal(status, 1, 'exit code 1');
      t.match(
        stderr,
        /can't listen on UDP .*6783\n +why: the port is in use\n +do: .*ss -lunp/,
        'what, and what to do',
      );
      const gone = new Promise((resolve) => holder.once('close', resolve));
      holder.kill();
      await gone;
    }
    const names = (await b.status()).peers.map(({ nickname }) => nickname);
    t.same(names, ['a'], 'no member was made');
    await a.launch({ flags: ['--datapath', 'auto'] });
  });

  await t.test('dying again and again, it leaves its place to pcap, and connections go on', async (t) => {
    const server = lab.spawn([...two.enter(), 'iperf3', '-s', '-1', '--forceflush']);
    await new Promise<void>((listening) => server.stdout!.once('data', () => listening()));
    const stream = one.run(['iperf3', '-t', '6', '-c', two.ip], { mayFail: true, timeoutMs: 30_000 });
    let killed: string | null = null;
    for (let i = 0; i < 4; i++) {
      let pid: string | null = null;
      const another = async (): Promise<boolean> => {
        pid = await enginePid(a);
        return pid !== null && pid !== killed && (await a.status()).datapath.name === 'engine';
      };
      await eventually('an engine works that was not killed yet', another, { everyMs: 20 });
      killed = pid!;
      await a.run(['kill', '-KILL', killed]);
      await eventually('it is gone', async () => (await enginePid(a)) !== killed, { everyMs: 20 });
    }
    await eventually('pcap works', async () => (await a.status()).datapath.name === 'pcap', { timeoutMs: 8_000 });
    const { datapath } = await a.status();
    t.match(datapath.reason, /failed 4 times within a minute, last: .*SIGKILL/, 'status says why');
    t.equal((await stream).status, 0, 'an established TCP connection went on');
    await eventually('the host is healthy', async () => (await a.status()).health.ok, { timeoutMs: 5_000 });
    t.ok(await one.pings(two.ip), 'the containers meet');
  });
});
