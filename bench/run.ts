// One run of the benchmark: all contenders stand at once in one lab and are measured in turn, round by round, so that whatever
// else the machine does meets all of them alike. The order rotates, so that none always follows the same other.

import { existsSync } from 'node:fs';
import { compareBalances, readBalance } from '../test/lab/frame-balance.ts';
import type { Lab } from '../test/lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS, residentMiB } from '../test/lab/processes.ts';
import { withLab } from '../test/lab/with-lab.ts';
import type { Contender, Path } from './contender.ts';
import { type IdleTunnelsOptions, measureIdleTunnels } from './idle-tunnels.ts';
import { IDLE_METRICS, START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import { measureStartUp } from './start-up.ts';
import { type Summary, summarize } from './statistics.ts';
import { measureLoss, measureTraffic, serve, type TrafficName, type TrafficOptions } from './traffic.ts';
import { type Measured, REFERENCE_PEER, type Summaries } from './verdict.ts';

export interface RunOptions {
  readonly contenders: readonly Contender[];
  /** Whether a metric of metrics.ts is to be measured. */
  readonly wanted: (metric: string) => boolean;
  readonly rounds: number;
  /** Numbers of the rounds, from 1, in which programs by others take part; null: in all. */
  readonly peerRounds: readonly number[] | null;
  /** How often the daemon's start is measured. */
  readonly startUpRounds: number;
  readonly traffic: TrafficOptions;
  readonly idleSeconds: number;
  readonly idleTunnels: IdleTunnelsOptions;
  /** Called as each piece of work begins. */
  readonly progress: (text: string) => void;
}

export async function run(options: RunOptions): Promise<Measured> {
  const some = (metrics: readonly { readonly name: string }[]) => metrics.some(({ name }) => options.wanted(name));
  const startUp = some(START_UP_METRICS) ? await startUpRounds(options) : {};
  const idle = some(IDLE_METRICS) ? await idleTunnels(options) : {};
  const contenders = some(TRAFFIC_METRICS) ? await trafficRounds(options) : {};
  return { startUp, idle, contenders };
}

async function startUpRounds({ startUpRounds: rounds, idleSeconds, progress }: RunOptions): Promise<Summaries> {
  const figures = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`start-up and idle daemon, ${round} of ${rounds}`);
    figures.push(await measureStartUp({ idleSeconds }));
  }
  return summaries(figures);
}

async function idleTunnels({ idleTunnels: options, progress }: RunOptions): Promise<Summaries> {
  progress(`idle daemon with ${options.tunnels} tunnels, ${options.seconds} s`);
  return summaries([await measureIdleTunnels(options)]);
}

interface Standing {
  readonly contender: Contender;
  readonly path: Path;
  /** One entry for each of its rounds. */
  readonly figures: Record<string, number>[];
}

async function trafficRounds(options: RunOptions): Promise<Record<string, Summaries>> {
  const { contenders, rounds, progress } = options;
  return withLab(async (lab) => {
    const standing: Standing[] = [];
    for (const contender of contenders) {
      progress(`setting up ${contender.title}`);
      const path = await contender.open(lab);
      await serve(path.server);
      standing.push({ contender, path, figures: [] });
    }
    await bypassBridgeNetfilter(lab);
    for (let round = 0; round < rounds; round++) {
      const inRound = standing.filter(({ contender }) => takesPart(contender, round, options));
      for (let turn = 0; turn < inRound.length; turn++) {
        const { contender, path, figures } = inRound[(round + turn) % inRound.length]!;
        progress(`round ${round + 1} of ${rounds}: ${contender.title}`);
        figures.push(await measureTurn(lab, { contender, path }, options));
      }
    }
    return Object.fromEntries(standing.map(({ contender, figures }) => [contender.name, summaries(figures)]));
  });
}

/** In a full run, programs by others that no goal needs five rounds of are measured in every other one. */
function takesPart({ isPeer = false, name }: Contender, round: number, { peerRounds }: RunOptions): boolean {
  return !isPeer || name === REFERENCE_PEER || (peerRounds?.includes(round + 1) ?? true);
}

async function measureTurn(
  lab: Lab,
  { contender, path }: Pick<Standing, 'contender' | 'path'>,
  options: RunOptions,
): Promise<Record<string, number>> {
  const { metrics } = contender;
  const wanted = (metric: TrafficName) => options.wanted(metric) && (metrics?.includes(metric) ?? true);
  const traffic = { ...options.traffic, wanted };
  const before = path.daemons.length > 0 ? await readBalance(path.daemons) : null;
  const figures: Record<string, number> = { ...(await measureTraffic(path, traffic)) };
  if (before !== null) {
    const after = await readBalance(path.daemons);
    const { unaccounted, lostInSockets } = compareBalances(before, after);
    if (unaccounted !== 0)
      options.progress(
        `${contender.name}: ${unaccounted} frames unaccounted for: ${JSON.stringify({ before, after })}`,
      );
    figures.unaccountedFrames = unaccounted;
    figures.lostInSocketsFrames = lostInSockets;
    figures.daemonResidentMiB = await largestMiB(path, DAEMON_PROCESS);
    if (path.carriers.includes(ENGINE_PROCESS)) figures.engineResidentMiB = await largestMiB(path, ENGINE_PROCESS);
  }
  return { ...figures, ...(await measureLoss(lab, path, traffic)) };
}

async function largestMiB({ daemons }: Path, name: string): Promise<number> {
  return Math.max(...(await Promise.all(daemons.map((host) => residentMiB(host, name)))));
}

/**
 * Where Docker (or a test) has loaded br_netfilter, every bridged frame of this machine visits iptables as well: switched off
 * here, so that runs on machines with and without it compare.
 */
async function bypassBridgeNetfilter(lab: Lab): Promise<void> {
  if (!existsSync('/proc/sys/net/bridge')) return;
  const off = ['iptables', 'ip6tables', 'arptables'].map((family) => `net.bridge.bridge-nf-call-${family}=0`);
  const command = ['sysctl', '-qw', ...off];
  await lab.inSwitch(command);
  for (const host of lab.hosts) await host.run(command);
}

/** The figures of all rounds, by metric. */
function summaries(rounds: readonly object[]): Record<string, Summary> {
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, summarize(rounds.map((figures) => (figures as Record<string, number>)[name]!))]),
  );
}
