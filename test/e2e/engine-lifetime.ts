// Daemon and engine outlive each other: a daemon that is killed, stopped for an upgrade or hung leaves the engine forwarding, and
// the next one takes it over; a dead engine is replaced. Probes every 10 ms, both ways, say how long the network was silent.
// `FABRIC_LONG=engine-lifetime` repeats each twenty times and waits for the true expiry of keys.

import { type Test, test } from 'tap';
import { summarize } from '../../bench/statistics.ts';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { inWords, ProbePair, silenceOf, unnoticedMs } from '../lab/probe.ts';
import type { ProbeReport } from '../lab/probe-agent.ts';
import { TcpStream } from '../lab/tcp-stream.ts';

const LONG = process.env.FABRIC_LONG === 'engine-lifetime';
const ROUNDS = LONG ? 20 : 3;
const ROUNDS_OF_REST = LONG ? 20 : 1;
/** How long the network may be silent when the engine goes, or both. */
const ENGINE_SILENCE_MAX_MS = 1_000;
const BOTH_SILENCE_MAX_MS = 3_000;
/** Where a daemon with nothing to do takes longer than a second to be launched, it may be so many times as long. */
const LAUNCHES_MAX = 3;
/** A receiver's suspicion time and more: hosts without daemon must not be called dead while frames flow. */
const ABSENCE_MS = LONG ? 20_000 : 6_500;
/** WireGuard's REJECT_AFTER_TIME. */
const KEY_LIFE_MS = 180_000;
const FLAGS = ['--datapath', 'engine'];

interface World {
  readonly lab: Lab;
  readonly a: LabHost;
  readonly b: LabHost;
  /** Of the same machine, in no cluster with them; not launched: what the machine takes for it is what all else is held to. */
  readonly bystander: LabHost;
  readonly one: LabContainer;
  readonly two: LabContainer;
}

async function makeWorld(): Promise<World> {
  const lab = await Lab.create();
  const [a, b, bystander] = [await lab.host('a'), await lab.host('b'), await lab.host('bystander')];
  await a.launch({ flags: FLAGS });
  await b.launch({ join: a, token: await a.token(), flags: FLAGS });
  const [one, two] = [await a.container('one'), await b.container('two')];
  await eventually('they talk', () => one.pings(two.ip), { timeoutMs: 5_000 });
  await a.waitReady(1);
  return { lab, a, b, bystander, one, two };
}

async function enginePid(host: LabHost): Promise<number> {
  const { stdout } = await host.run(['pidof', 'fabric-engine'], { mayFail: true });
  return Number(stdout.trim() || 0);
}

async function portIndex(host: LabHost): Promise<string> {
  const { stdout } = await host.run(['ip', '-o', 'link', 'show', 'type', 'tun'], { mayFail: true });
  return stdout.split(':')[0] ?? '';
}

async function frames(host: LabHost): Promise<number> {
  const [tunnel] = (await host.status()).tunnels;
  return (tunnel?.txFrames ?? 0) + (tunnel?.rxFrames ?? 0);
}

const describe = ({ received, lost, silenceMs, latestMs }: ProbeReport): string =>
  `${received} received, ${lost} lost, silence ${silenceMs.toFixed(1)} ms, latest ${latestMs.toFixed(1)} ms`;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Kills or terminates the daemon and launches it again. */
async function relaunch(host: LabHost, signal: 'KILL' | 'TERM', peers: number): Promise<void> {
  await host.kill(signal);
  await host.launch();
  await host.waitReady(peers);
}

/**
 * No packet is lost, and none is late: neither by more than the limit nor, on a busy machine, by much more than when the daemon
 * of `bystander` is launched, which has nothing to do with the probes. Medians: a network that were away would be away each time.
 */
async function relaunchesUnnoticed(
  t: Test,
  { a, bystander, probes, times, when }: World & { probes: ProbePair; times: number; when: string },
): Promise<void> {
  const reports: Record<'bystander' | 'KILL' | 'TERM', ProbeReport[]> = { bystander: [], KILL: [], TERM: [] };
  for (let round = 0; round < times; round++) {
    reports.bystander.push(await probes.during(() => relaunch(bystander, 'KILL', 0)));
    reports.KILL.push(await probes.during(() => relaunch(a, 'KILL', 1)));
    reports.TERM.push(await probes.during(() => relaunch(a, 'TERM', 1)));
  }
  const disturbance = silenceOf(reports.bystander);
  const limitMs = unnoticedMs(disturbance);
  t.comment(`${when}, another daemon is launched: ${inWords(disturbance)}`);
  for (const signal of ['KILL', 'TERM'] as const) {
    const silence = silenceOf(reports[signal]);
    t.equal(silence.lost, 0, `${when}, SIG${signal} and launch: no packet is lost`);
    const said = `${when}, SIG${signal} and launch: ${inWords(silence)}`;
    if (times === 1)
      t.comment(said); // one round has no median
    else t.ok(silence.medianMs <= limitMs, said);
  }
}

test('the daemon goes and comes back', { timeout: 1_800_000 }, async (t) => {
  const world = await makeWorld();
  t.teardown(() => world.lab.destroy());
  const { lab, a, bystander, one, two } = world;
  await bystander.launch({ flags: FLAGS });
  const engine = await enginePid(a);
  const port = await portIndex(a);
  const framesBefore = await frames(a);
  const probes = await ProbePair.start(lab, one, two);

  await relaunchesUnnoticed(t, { ...world, probes, times: ROUNDS, when: 'idle' });
  t.equal(await enginePid(a), engine, 'the engine is the same process');
  t.equal(await portIndex(a), port, 'the port is the same interface');
  const framesNow = await frames(a);
  t.ok(framesNow > framesBefore + ROUNDS * 200, `counters go on: ${framesBefore}, then ${framesNow}`);

  const load = await TcpStream.start(lab, { from: one, to: two });
  await relaunchesUnnoticed(t, { ...world, probes, times: ROUNDS_OF_REST, when: 'under full load of TCP' });
  await load.carries();
  t.comment(`the load: ${(await load.stop()).toFixed(2)} Gbit/s`);
  t.equal(await enginePid(a), engine, 'the engine is the same process still');

  const away = await probes.during(async () => {
    await a.kill('TERM');
    await wait(ABSENCE_MS);
    await a.launch();
  });
  t.equal(away.lost, 0, `no daemon for ${ABSENCE_MS} ms, so long that others would call it dead: ${describe(away)}`);

  const pid = await a.daemonPid();
  const hung = await probes.during(async () => {
    await a.run(['kill', '-STOP', String(pid)]);
    await wait(ABSENCE_MS);
    await a.run(['kill', '-CONT', String(pid)]);
  });
  t.equal(hung.lost, 0, `a daemon that hangs for ${ABSENCE_MS} ms: ${describe(hung)}`);
  await a.waitReady(1);
  for (const host of [a, world.b]) {
    const { datapath, tunnels } = await host.status();
    const port = (await host.run(['ip', '-s', '-o', 'link', 'show', 'type', 'tun'])).stdout.replaceAll(/\s+/g, ' ');
    t.comment(`drops of ${host.name}: ${JSON.stringify([datapath.drops, tunnels[0]?.drops])}; its port: ${port}`);
  }
  await probes.stop();
});

test('the engine goes, and both', { timeout: 1_800_000 }, async (t) => {
  const world = await makeWorld();
  t.teardown(() => world.lab.destroy());
  const { lab, a, bystander, one, two } = world;
  const probes = await ProbePair.start(lab, one, two);
  const stream = await TcpStream.start(lab, { from: one, to: two }, { rate: '20M' });
  const reports: ProbeReport[] = [];
  for (let round = 0; round < ROUNDS_OF_REST; round++) {
    const report = await probes.during(async () => {
      await a.run(['kill', '-KILL', String(await enginePid(a))]);
      await wait(1_500);
    });
    reports.push(report);
  }
  const silence = silenceOf(reports);
  t.ok(silence.longestMs <= ENGINE_SILENCE_MAX_MS, `engine killed: ${inWords(silence)}`);
  await t.resolves(stream.carries(), 'a TCP connection goes on');
  await stream.stop();
  t.match((await a.run(['cat', '/var/lib/fabric/fabric.log'])).stdout, /ended by SIGKILL/, 'the log says how it ended');

  await bystander.launch({ flags: FLAGS });
  const launches: number[] = [];
  const times: number[] = [];
  for (let round = 0; round < ROUNDS_OF_REST; round++) {
    await a.run(['kill', '-KILL', String(await enginePid(a))]);
    await a.kill('KILL');
    const startMs = performance.now();
    const launched = a.launch();
    while (!(await one.pings(two.ip, ['-W', '1', '-i', '0.1']))) await wait(10);
    times.push(performance.now() - startMs);
    await launched;
    await a.waitReady(1);
    await bystander.kill('KILL');
    const aloneMs = performance.now();
    await bystander.launch();
    launches.push(performance.now() - aloneMs);
  }
  t.comment(`both killed, from launch to talking: ${times.map((ms) => `${ms.toFixed(0)} ms`).join(' ')}`);
  const [medianMs, launchMs] = [summarize(times).median, summarize(launches).median];
  const said = `they talk after ${medianMs.toFixed(0)} ms, where a launch takes ${launchMs.toFixed(0)} ms`;
  t.ok(medianMs <= Math.max(BOTH_SILENCE_MAX_MS, launchMs * LAUNCHES_MAX), `both killed: ${said}`);
  await probes.stop();
});

test('who ends the engine, and who does not', { timeout: 300_000 }, async (t) => {
  const world = await makeWorld();
  t.teardown(() => world.lab.destroy());
  const { a, one, two } = world;
  await a.kill('INT');
  t.equal(await enginePid(a), 0, 'Ctrl-C ends it');
  await a.launch();
  await a.fabric(['stop']);
  t.equal(await enginePid(a), 0, 'fabric stop ends it');
  await a.launch();

  const modes = await a.run(['stat', '-c', '%a %U', '/run/fabric/engine.sock']);
  t.equal(modes.stdout.trim(), '600 root', 'its socket is for root alone');
  await a.kill('KILL');
  t.ok((await enginePid(a)) > 0, 'without daemon it goes on');
  t.equal((await a.fabric(['stop'])).status, 0, 'fabric stop without daemon');
  t.equal(await enginePid(a), 0, 'ends it, too');
  t.equal((await a.fabric(['stop'], { mayFail: true })).status, 3, 'and when there is neither, says so');

  await a.launch();
  await a.kill('KILL');
  await a.launch({ flags: ['--datapath', 'pcap'] });
  t.equal(await enginePid(a), 0, 'a launch with pcap ends it');
  await eventually('and pcap takes over', () => one.pings(two.ip), { timeoutMs: 5_000 });
  await a.fabric(['stop']);

  await a.launch({ flags: FLAGS });
  const before = await enginePid(a);
  await a.kill('KILL');
  await a.launch({ flags: ['--port', '6799'] });
  const after = await enginePid(a);
  t.ok(after > 0 && after !== before, 'an engine of other settings is replaced');

  await a.kill('KILL');
  await a.fabric(['reset', '--yes', '--force']);
  t.equal(await enginePid(a), 0, 'reset without daemon ends it');
  t.equal(await portIndex(a), '', 'and removes its port');
});

if (LONG) {
  test('the daemon is gone for ever', { timeout: 400_000 }, async (t) => {
    const { lab, a, one, two } = await makeWorld();
    t.teardown(() => lab.destroy());
    await a.kill('KILL');
    const startMs = performance.now();
    await wait(60_000);
    t.ok(await one.pings(two.ip), 'after a minute the old keys still serve');
    const limit = { timeoutMs: KEY_LIFE_MS };
    await eventually('the engine ends itself', async () => (await enginePid(a)) === 0, limit);
    const aliveS = (performance.now() - startMs) / 1000;
    t.comment(`the engine ended itself ${aliveS.toFixed(1)} s after its daemon`);
    t.ok(Math.abs(aliveS - KEY_LIFE_MS / 1000) < 3, 'when the last key is over');
    await a.launch();
    const log = (await a.run(['cat', '/var/lib/fabric/fabric.log'])).stdout;
    const lines = log.split('\n').filter((line) => line.includes('the engine of before is gone'));
    t.match(lines.at(-1), /no daemon came back/, 'the log of the next daemon says why');
    await eventually('a launch makes a new one', () => one.pings(two.ip), { timeoutMs: 5_000 });
  });
}
