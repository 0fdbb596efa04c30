// A rolling upgrade: three hosts get the next version one after the other, as docs/operations.md says it (new files, SIGTERM, launch),
// under probes every 10 ms and a TCP stream. No packet is lost, and hosts of both versions work together all the while.

import { test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { makeNextVersion, NEXT_VERSION, putInPlace } from '../lab/next-version.ts';
import { inWords, ProbePair, silenceOf, unnoticedMs } from '../lab/probe.ts';
import type { ProbeReport } from '../lab/probe-agent.ts';
import { TcpStream } from '../lab/tcp-stream.ts';

const FLAGS = ['--datapath', 'engine'];

async function relaunch(host: LabHost, peers: number): Promise<void> {
  await host.kill('TERM');
  await host.launch();
  await host.waitReady(peers);
}

async function upgrade(host: LabHost, folder: string, peers: number): Promise<void> {
  await putInPlace(host, folder);
  await relaunch(host, peers);
}

/** The worse of two pairs. */
async function duringBoth(pairs: readonly [ProbePair, ProbePair], work: () => Promise<void>): Promise<ProbeReport> {
  let other: ProbeReport | null = null;
  const one = await pairs[0].during(async () => {
    other = await pairs[1].during(work);
  });
  const { received, lost, silenceMs, latestMs } = other ?? one;
  return {
    received: Math.min(one.received, received),
    lost: one.lost + lost,
    silenceMs: Math.max(one.silenceMs, silenceMs),
    latestMs: Math.max(one.latestMs, latestMs),
  };
}

test('a rolling upgrade under traffic', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const next = makeNextVersion(lab.directory);
  const hosts: LabHost[] = [];
  for (const name of ['a', 'b', 'c']) hosts.push(await lab.host(name));
  const [a, b, c] = hosts as [LabHost, LabHost, LabHost];
  // Of the same machine, in no cluster with them: what its launch does to the probes, any process would.
  const bystander = await lab.host('bystander');
  await Promise.all([a.launch({ flags: FLAGS }), bystander.launch({ flags: FLAGS })]);
  const token = await a.token();
  await Promise.all([b, c].map((host) => host.launch({ join: a, token, flags: FLAGS })));
  const containers = await Promise.all([a, b, c, a].map((host, index) => host.container(`c${index}`)));
  const [one, two, three, four] = containers as [LabContainer, LabContainer, LabContainer, LabContainer];
  const pairs = [await ProbePair.start(lab, one, two), await ProbePair.start(lab, three, four)] as const;
  const stream = await TcpStream.start(lab, { from: two, to: three }, { rate: '20M' });
  await Promise.all(hosts.map((host) => host.waitReady(2)));

  const disturb = async () => silenceOf([await duringBoth([...pairs], () => relaunch(bystander, 0))]);
  const before = await disturb();

  const reports: ProbeReport[] = [];
  for (const [index, host] of [b, c, a].entries()) {
    reports.push(await duringBoth([...pairs], () => upgrade(host, next, 2)));
    const versions = await Promise.all(hosts.map(async (each) => (await each.status()).self.version));
    const upgraded = versions.filter((version) => version === NEXT_VERSION).length;
    t.equal(upgraded, index + 1, `the versions are ${versions.join(', ')}`);
    const late = await host.container('late');
    await eventually('a container that comes now is reached from all', async () => {
      return (await Promise.all([one, two, three].map((from) => from.pings(late.ip)))).every((ok) => ok);
    });
  }
  const after = await disturb();
  t.comment(`another daemon is launched: before, ${inWords(before)}; after, ${inWords(after)}`);
  const silence = silenceOf(reports);
  t.equal(silence.lost, 0, 'no packet is lost');
  t.ok(silence.medianMs <= Math.max(unnoticedMs(before), unnoticedMs(after)), `three upgrades: ${inWords(silence)}`);
  await t.resolves(stream.carries(), 'the TCP connection goes on');
  await stream.stop();
  for (const pair of pairs) await pair.stop();
});
