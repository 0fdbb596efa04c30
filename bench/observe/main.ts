// `npm run bench -- --observe [--rounds N] [--json FILE]`: what it costs the datapath to be looked at. One pair of hosts on the engine; in
// each round a TCP stream with metrics scraped, the map open and DNS served and asked, and one with none of it, in turns of
// changing order. Between them the daemons are launched anew, the engines and their sessions stay the same.
// Exit code 0: the goal is met; 1: it is not, or somebody got no answers; 2: usage.

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { VERSION } from '../../src/daemon/version.ts';
import type { LabContainer } from '../../test/lab/container.ts';
import { eventually } from '../../test/lab/exec.ts';
import type { Lab } from '../../test/lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS } from '../../test/lab/processes.ts';
import { withLab } from '../../test/lab/with-lab.ts';
import type { Path } from '../contender.ts';
import { describeMachine } from '../machine.ts';
import { estimateRatio, type Ratio, T_PAIRS_MAX } from '../statistics.ts';
import { measureTraffic, serve } from '../traffic.ts';
import { Onlookers } from './onlookers.ts';

const ROUNDS = 20;
/** CPU time per byte with everything on, over that with everything off. */
const RATIO_MAX = 1.02;
const STREAM_S = 4;
const PIECE_BYTES = 65_536;
/** The daemon has read its state, and what its start compiled is compiled. */
const SETTLE_MS = 3_000;
const NAME = 'server.fabric.internal';
const LOOKED_AT = ['--http', '127.0.0.1:6784', '--dns'];
const ALONE = ['--http', 'off', '--no-dns'];

interface Turn {
  /** Of the machine, without iperf3's share taken out and without the onlookers', per 64 KiB that arrived. */
  readonly cpuUsPer64KiB: number;
  /** Of daemons and engines alone, which sees less, and less of what else the machine does. */
  readonly carriersSecondsPerGbit: number;
  readonly daemonsMsPerGB: number;
  readonly tcpGbps: number;
  readonly answers: number;
  readonly failures: number;
}

interface Round {
  readonly lookedAt: Turn;
  readonly alone: Turn;
}

interface World {
  readonly lab: Lab;
  readonly path: Path;
  readonly containers: readonly [LabContainer, LabContainer];
  readonly gateway: string;
}

async function makeWorld(lab: Lab): Promise<World> {
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch({ flags: ['--datapath', 'engine'] });
  await b.launch({ join: a, token: await a.token(), flags: ['--datapath', 'engine'] });
  const containers = [await a.container('server'), await b.container('client')] as const;
  const [server, client] = containers;
  await a.fabric(['dns', 'add', 'server', server.ip]);
  await eventually('they talk', () => client.pings(server.ip), { timeoutMs: 10_000 });
  await serve(server);
  const { gateway } = (await a.status()).networks[0]!;
  if (gateway === null) throw new Error('the default network has no gateway');
  const hosts = [a, b];
  const carriers = [DAEMON_PROCESS, ENGINE_PROCESS];
  return { lab, path: { client, server, serverIp: server.ip, hosts, daemons: hosts, carriers }, containers, gateway };
}

async function measureTurn({ lab, path, containers, gateway }: World, isLookedAt: boolean): Promise<Turn> {
  await Promise.all(
    path.hosts.map(async (host) => {
      await host.kill('TERM');
      await host.launch({ flags: isLookedAt ? LOOKED_AT : ALONE });
      await host.waitReady(1);
    }),
  );
  const onlookers = isLookedAt ? await Onlookers.start(lab, { containers, gateway, name: NAME }) : null;
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const before = await onlookers?.report();
  const startMs = performance.now();
  const wanted = (name: string) => ['tcpGbps', 'cpuUsPer64KiB', 'cpuSecondsPerGbit', 'daemonMsPerGB'].includes(name);
  const figures = await measureTraffic(path, { tcpSeconds: STREAM_S, udpSeconds: 0, pings: 0, wanted });
  const seconds = (performance.now() - startMs) / 1_000;
  const after = await onlookers?.report();
  await onlookers?.stop();
  const { tcpGbps = 0, cpuUsPer64KiB = 0, cpuSecondsPerGbit = 0, daemonMsPerGB = 0 } = figures;
  const pieces = (tcpGbps * 1e9 * STREAM_S) / 8 / PIECE_BYTES;
  // The stream is shorter than the time between the two reports; onlookers are as busy in both.
  const theirsUs = (((after?.cpuUs ?? 0) - (before?.cpuUs ?? 0)) * STREAM_S) / seconds;
  return {
    cpuUsPer64KiB: cpuUsPer64KiB - theirsUs / pieces,
    carriersSecondsPerGbit: cpuSecondsPerGbit,
    daemonsMsPerGB: daemonMsPerGB,
    tcpGbps,
    answers: (after?.answers ?? 0) - (before?.answers ?? 0),
    failures: (after?.failures ?? 0) - (before?.failures ?? 0),
  };
}

async function main({ rounds, json }: { readonly rounds: number; readonly json: string | null }): Promise<number> {
  const machine = await describeMachine(loadavg()[0]!);
  const startedAt = new Date().toISOString();
  const measured = await withLab(async (lab) => {
    const world = await makeWorld(lab);
    const done: Round[] = [];
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`);
      const turns = new Map<boolean, Turn>();
      for (const isLookedAt of round % 2 === 0 ? [true, false] : [false, true]) {
        turns.set(isLookedAt, await measureTurn(world, isLookedAt));
      }
      done.push({ lookedAt: turns.get(true)!, alone: turns.get(false)! });
    }
    return done;
  });
  const ratioOf = (figure: 'cpuUsPer64KiB' | 'carriersSecondsPerGbit') =>
    estimateRatio(measured.map(({ lookedAt, alone }) => [lookedAt[figure], alone[figure]]));
  const ratio = ratioOf('cpuUsPer64KiB');
  const carriersRatio = ratioOf('carriersSecondsPerGbit');
  const failures = measured.reduce((sum, { lookedAt }) => sum + lookedAt.failures, 0);
  const answers = measured.reduce((sum, { lookedAt }) => sum + lookedAt.answers, 0);
  const met = ratio.estimate <= RATIO_MAX && failures === 0 && answers > 0;
  process.stdout.write(
    `CPU per byte, looked at over alone, ${rounds} pairs\n  the machine: ${inWords(ratio)}\n  daemons and engines: ` +
      `${inWords(carriersRatio)}\ngoal for the machine ${RATIO_MAX}: ${met ? 'met' : 'MISSED'}\n` +
      `answers ${answers}, failures ${failures}\n`,
  );
  if (json !== null) {
    const result = {
      fabric: VERSION,
      startedAt,
      machine,
      streamSeconds: STREAM_S,
      ratio,
      carriersRatio,
      goal: RATIO_MAX,
      met,
    };
    writeFileSync(json, `${JSON.stringify({ ...result, answers, failures, rounds: measured }, null, 2)}\n`);
    process.stdout.write(`written: ${json}\n`);
  }
  return met ? 0 : 1;
}

function inWords({ estimate, low, high }: Ratio): string {
  return `${estimate.toFixed(4)}, 95 % interval ${low.toFixed(4)} to ${high.toFixed(4)}`;
}

function say(text: string): void {
  process.stderr.write(`· ${text}\n`);
}

function readFlags(): Parameters<typeof main>[0] | null {
  const options = { observe: { type: 'boolean' }, rounds: { type: 'string' }, json: { type: 'string' } } as const;
  try {
    const { values } = parseArgs({ options });
    const rounds = Number(values.rounds ?? ROUNDS);
    if (!Number.isInteger(rounds) || rounds < 2 || rounds > T_PAIRS_MAX) {
      throw new Error(`--rounds: ${values.rounds} is no whole number from 2 to ${T_PAIRS_MAX}`);
    }
    return { rounds, json: values.json ?? null };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nusage: npm run bench -- --observe [--rounds N] [--json FILE]\n`);
    return null;
  }
}

const flags = readFlags();
process.exitCode = flags === null ? 2 : await main(flags);
