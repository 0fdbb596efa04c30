// What happens where the engine lacks something: without a feature of the machine it works, slower, and status names it; without
// what it can't do without, or dying again and again, it leaves its place to pcap; forced, it says what is wrong.

import { test } from 'tap';
import { TEST_WITHOUT_VARIABLE } from '../../src/daemon/simulated-lacks.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

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

const TRANSFER = '5M';

async function killEngine(host: LabHost): Promise<void> {
  const { stdout } = await host.run(['pidof', 'fabric-engine']);
  await host.run(['kill', '-KILL', stdout.trim()]);
}

test('an engine that lacks something', { timeout: 120_000 }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const [one, two] = [await a.container('one'), await b.container('two')];
  lab.spawn([...two.enter(), 'iperf3', '-s', '--forceflush']);
  const carries = async (): Promise<boolean> => {
    if (!(await one.pings(two.ip)) || !(await one.pings(two.ip6, ['-s', '10000']))) return false;
    for (const direction of [[], ['-R']]) {
      const { status } = await one.run(['iperf3', '-n', TRANSFER, '-c', two.ip, ...direction], { mayFail: true });
      if (status !== 0) return false;
    }
    return true;
  };
  const without = (name: string) => ({ env: { [TEST_WITHOUT_VARIABLE]: name } });

  for (const row of ROWS) {
    await t.test(`without ${row.without}`, async (t) => {
      await a.fabric(['stop']);
      await a.launch(without(row.without));
      await eventually('the containers meet', () => one.pings(two.ip), { timeoutMs: 5_000 });
      t.ok(await carries(), 'packets small and large, TCP both ways');
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
    t.ok(await carries(), 'packets small and large, TCP both ways');
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

  await t.test('dying again and again, it leaves its place to pcap, and connections go on', async (t) => {
    const stream = one.run(['iperf3', '-t', '6', '-c', two.ip], { mayFail: true, timeoutMs: 30_000 });
    for (let i = 0; i < 4; i++) {
      await eventually(
        'an engine runs',
        async () => (await a.run(['pidof', 'fabric-engine'], { mayFail: true })).status === 0,
        { everyMs: 20 },
      );
      await killEngine(a);
    }
    await eventually('pcap works', async () => (await a.status()).datapath.name === 'pcap', { timeoutMs: 8_000 });
    const { datapath } = await a.status();
    t.match(datapath.reason, /failed 4 times within a minute, last: .*SIGKILL/, 'status says why');
    t.equal((await stream).status, 0, 'an established TCP connection went on');
    await eventually('the host is healthy', async () => (await a.status()).health.ok, { timeoutMs: 5_000 });
    t.ok(await one.pings(two.ip), 'the containers meet');
  });
});
