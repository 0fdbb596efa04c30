// An underlay that drops every packet above 700 bytes without a word: before hosts meet, and in the middle of a transfer. The
// tunnels find out and carry what is larger in pieces, so that containers notice a pause at most. On each datapath.

import { test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';

const PATH_BYTES = 700;
const IP_AND_ICMP_BYTES = 28;

/** The engine moves so much that a transfer is under way when the underlay changes. */
const DATAPATHS = [
  { datapath: 'engine', streamBytes: 40_000_000 },
  { datapath: 'pcap', streamBytes: 5_000_000 },
];

for (const { datapath, streamBytes } of DATAPATHS) {
  test(`${datapath}: an underlay that drops what is above ${PATH_BYTES} bytes`, async (t) => {
    const lab = await Lab.create();
    t.teardown(() => lab.destroy());
    const [a, b] = [await lab.host('a'), await lab.host('b')];
    // The switch is to see packets as they would be on a wire.
    const whole = ['tso', 'off', 'gso', 'off', 'tx-udp-segmentation', 'off'];
    for (const host of [a, b]) await host.run(['ethtool', '-K', 'eth0', ...whole]);
    const mtuOf = async (host: LabHost): Promise<number> => (await host.status()).tunnels[0]?.mtu ?? 0;
    const narrow = async (): Promise<void> => {
      for (const host of [a, b]) {
        const known = async (): Promise<boolean> => {
          const bytes = await mtuOf(host);
          return bytes > PATH_BYTES - 50 && bytes <= PATH_BYTES;
        };
        await eventually(`${host.name} knows its path`, known, { timeoutMs: 15_000 });
      }
    };

    await a.launch({ flags: ['--datapath', datapath] });
    await b.launch({ join: a, token: await a.token(), flags: ['--datapath', datapath] });
    const [one, two] = [await a.container('one'), await b.container('two')];
    const agents = await Promise.all([one, two].map((place) => Traffic.start(lab, place, { httpBody: place.name })));
    t.ok(await one.pings(two.ip), 'the containers meet');
    t.equal(await mtuOf(a), 1500, 'all that the hosts take');

    await t.test('that begins in the middle of a transfer', async (t) => {
      const stream = agents[0]!.push(two.ip, { bytes: streamBytes * 4, marker: 'before' });
      await lab.dropLongerThan(PATH_BYTES);
      const bytes = (size: number) => [
        'ping',
        '-M',
        'do',
        '-c',
        '1',
        '-W',
        '1',
        '-s',
        String(size - IP_AND_ICMP_BYTES),
      ];
      const reaches = async (size: number) => (await a.run([...bytes(size), b.ip], { mayFail: true })).status === 0;
      t.same([await reaches(PATH_BYTES), await reaches(PATH_BYTES + 1)], [true, false], 'it does');
      const { sent, received } = await stream;
      t.equal(received, sent, 'which ends, unchanged');
      await narrow();
      for (const address of [two.ip, two.ip6])
        t.ok(await one.pings(address, ['-s', '10000']), `ping -s 10000 ${address}`);
      const { tunnels, health } = await a.status();
      t.comment(`the tunnel uses ${tunnels[0]!.mtu} bytes`);
      t.match(tunnels[0]!.reason, /the path carries \d+ of 1500 bytes: larger frames go in pieces/, 'and says so');
      t.same(health.problems, [], 'which is no problem');
    });

    await t.test('that was there before the hosts meet', async (t) => {
      await b.fabric(['stop']);
      await b.launch({ flags: ['--datapath', datapath] });
      await b.waitReady(1);
      await narrow();
      t.ok(await two.pings(one.ip, ['-s', '10000']), 'large packets pass');
      for (const [from, to] of [
        [agents[0]!, two.ip6],
        [agents[1]!, one.ip],
      ] as const) {
        const { sent, received } = await from.push(to, { bytes: streamBytes, marker: 'after' });
        t.equal(received, sent, `TCP from ${from.place.name} arrives unchanged`);
      }
    });
  });
}
