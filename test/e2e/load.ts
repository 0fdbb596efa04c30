// Full load on the engine between two daemons: eight TCP streams both ways, UDP of two sizes above what the path carries, and
// pings that come in pieces. Every frame is delivered or stands under a drop reason, and resident memory stays flat.
// 6 s; with FABRIC_LONG=load most of an hour, in which keys are replaced every two minutes.

import { test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import { compareBalances, readBalance } from '../lab/frame-balance.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS, residentMiB } from '../lab/processes.ts';

const IS_LONG = process.env.FABRIC_LONG === 'load';
/** `npm run test:long` ends a part after an hour, with set-up and end. */
const LOAD_S = IS_LONG ? 56 * 60 : 6;
/** Until buffers and heaps have the size that this load takes. */
const WARM_UP_S = IS_LONG ? 120 : 2;
const SAMPLE_EVERY_S = IS_LONG ? 60 : 1;
/** Growth from the first to the last sample. An engine allocates nothing per frame; a heap breathes. */
const ENGINE_GROWTH_MAX_MIB = 1;
const DAEMON_GROWTH_MAX_MIB = IS_LONG ? 10 : 30;
/** Above what the path carries, so that queues are full. */
const BLAST_BITRATE = '3G';

const PROCESSES = [
  { name: ENGINE_PROCESS, growthMaxMiB: ENGINE_GROWTH_MAX_MIB },
  { name: DAEMON_PROCESS, growthMaxMiB: DAEMON_GROWTH_MAX_MIB },
] as const;

/**
 * A load of its own each, as iperf3 serves one client at a time: from whom, and with which flags. Datagrams above what the path
 * carries leave TCP what they please, at times nothing: iperf3's patience of two minutes for it is lifted.
 */
const LOADS: readonly { readonly port: number; readonly reverse: boolean; readonly flags: readonly string[] }[] = [
  { port: 5201, reverse: false, flags: ['-P', '8', '--bidir', '--rcv-timeout', `${(LOAD_S + 60) * 1000}`] },
  { port: 5202, reverse: false, flags: ['-u', '-b', BLAST_BITRATE, '-l', '1300'] },
  { port: 5203, reverse: true, flags: ['-u', '-b', BLAST_BITRATE, '-l', '64'] },
];

async function fullLoad(lab: Lab, one: LabContainer, two: LabContainer): Promise<void> {
  for (const { port, reverse } of LOADS) {
    const server = reverse ? one : two;
    lab.spawn([...server.enter(), 'iperf3', '-s', '-1', '-p', `${port}`]);
    const listens = async (): Promise<boolean> =>
      (await server.run(['ss', '-Hltn', 'sport', '=', `${port}`])).stdout !== '';
    await eventually('iperf3 listens', listens);
  }
  const timeoutMs = (LOAD_S + 60) * 1000;
  await Promise.all([
    ...LOADS.map(({ port, reverse, flags }) => {
      const [client, server] = reverse ? [two, one] : [one, two];
      return client.run(['iperf3', '-c', server.ip, '-p', `${port}`, '-t', `${LOAD_S}`, ...flags], { timeoutMs });
    }),
    one.run(['ping', '-q', '-i', '0.01', '-s', '9000', '-w', `${LOAD_S}`, two.ip], { timeoutMs }),
  ]);
}

async function settle(seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** Resident MiB of each process on both hosts, host by host. */
async function sample(hosts: readonly LabHost[], name: string): Promise<readonly number[]> {
  return Promise.all(hosts.map((host) => residentMiB(host, name)));
}

test(`${LOAD_S} s of full load`, { timeout: (LOAD_S + 240) * 1000 }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const hosts = [await lab.host('a'), await lab.host('b')] as const;
  const [a, b] = hosts;
  await a.launch({ flags: ['--datapath', 'engine'] });
  await b.launch({ join: a, token: await a.token(), flags: ['--datapath', 'engine'] });
  const [one, two] = [await a.container('one'), await b.container('two')];
  await eventually('the containers talk', () => one.pings(two.ip));
  const before = await readBalance(hosts);

  let isOver = false;
  const load = fullLoad(lab, one, two).finally(() => {
    isOver = true;
  });
  const memory = new Map<string, (readonly number[])[]>(PROCESSES.map(({ name }) => [name, []]));
  await settle(WARM_UP_S);
  while (!isOver) {
    for (const [name, samples] of memory) samples.push(await sample(hosts, name));
    await Promise.race([load, settle(SAMPLE_EVERY_S)]);
  }
  await load;

  const after = await readBalance(hosts);
  const { unaccounted, lostInSockets } = compareBalances(before, after);
  t.comment(
    `${after.framesIn} frames entered, ${after.framesOut} were delivered, ${after.frameDrops} frames and ` +
      `${after.datagramDrops} datagrams were dropped with a reason, at most ${lostInSockets} in full socket buffers`,
  );
  t.ok(after.rxFrames - before.rxFrames > LOAD_S * 10_000, 'there was load');
  t.equal(unaccounted, 0, 'every frame is accounted for');
  for (const { name, growthMaxMiB } of PROCESSES) {
    const samples = memory.get(name)!;
    hosts.forEach((host, at) => {
      const [first, last] = [samples[0]![at]!, samples.at(-1)![at]!];
      const most = Math.max(...samples.map((figures) => figures[at]!));
      t.comment(
        `${name} on ${host.name}: first ${first.toFixed(1)} MiB, last ${last.toFixed(1)}, most ${most.toFixed(1)}`,
      );
      t.ok(first > 0 && last - first <= growthMaxMiB, `${name} on ${host.name} stays within ${growthMaxMiB} MiB`);
    });
  }
  for (const host of hosts) {
    t.ok((await host.status()).health.ok, `${host.name} is healthy after it`);
    const silences = (await host.events()).filter(({ kind }) => kind === 'tunnel-silent');
    t.same(silences, [], 'and never took a full tunnel for a dead one');
  }
});
