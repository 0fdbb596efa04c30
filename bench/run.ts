// One run of the benchmark: all contenders stand at once in one lab and are measured in turn, round by round, so that whatever
// else the machine does meets all of them alike. The order rotates, so that none always follows the same other.

import { existsSync } from 'node:fs';
import type { Lab } from '../test/lab/lab.ts';
import { withLab } from '../test/lab/with-lab.ts';
import type { Contender } from './contender.ts';
import { START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import { measureStartUp, residentMiB } from './start-up.ts';
import { type Summary, summarize } from './statistics.ts';
import { measureTraffic, serve, type TrafficOptions } from './traffic.ts';
import type { Measured, Summaries } from './verdict.ts';

export interface RunOptions {
  readonly contenders: readonly Contender[];
  /** Whether a metric of metrics.ts is to be measured. */
  readonly wanted: (metric: string) => boolean;
  readonly rounds: number;
  readonly traffic: TrafficOptions;
  readonly idleSeconds: number;
  /** Called as each piece of work begins. */
  readonly progress: (text: string) => void;
}

export async function run(options: RunOptions): Promise<Measured> {
  const some = (metrics: readonly { readonly name: string }[]) => metrics.some(({ name }) => options.wanted(name));
  const startUp = some(START_UP_METRICS) ? await startUpRounds(options) : {};
  const contenders = some(TRAFFIC_METRICS) ? await trafficRounds(options) : {};
  return { startUp, contenders };
}

async function startUpRounds({ rounds, idleSeconds, progress }: RunOptions): Promise<Summaries> {
  const figures = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`start-up and idle daemon, ${round} of ${rounds}`);
    figures.push(await measureStartUp({ idleSeconds }));
  }
  return summaries(figures);
}

async function trafficRounds(options: RunOptions): Promise<Record<string, Summaries>> {
  const { contenders, rounds, traffic, wanted, progress } = options;
  return withLab(async (lab) => {
    const entries = [];
    for (const contender of contenders) {
      progress(`setting up ${contender.title}`);
      const path = await contender.open(lab);
      await serve(path.server);
      entries.push({ contender, path, figures: [] as Record<string, number>[] });
    }
    await bypassBridgeNetfilter(lab);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < entries.length; turn++) {
        const { contender, path, figures } = entries[(round + turn) % entries.length]!;
        progress(`round ${round + 1} of ${rounds}: ${contender.title}`);
        const measured: Record<string, number> = { ...(await measureTraffic(path, { ...traffic, wanted })) };
        if (path.daemons.length > 0)
          measured.residentMiB = Math.max(...(await Promise.all(path.daemons.map(residentMiB))));
        figures.push(measured);
      }
    }
    return Object.fromEntries(entries.map(({ contender, figures }) => [contender.name, summaries(figures)]));
  });
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
