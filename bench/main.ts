// `npm run bench`: runs the contenders, prints the table, writes the JSON (bench/README.md says with which flags).
// Exit code 0: the run counts and every goal is met; 1: it does not, or one is missed; 2: usage.

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { VERSION } from '../src/daemon/version.ts';
import type { Contender } from './contender.ts';
import { bareVeth } from './contenders/bare-veth.ts';
import { fabricEngine } from './contenders/fabric-engine.ts';
import { fabricPcap } from './contenders/fabric-pcap.ts';
import { kernelVxlan } from './contenders/kernel-vxlan.ts';
import { type Flags, readFlags, USAGE } from './flags.ts';
import { describeMachine } from './machine.ts';
import { START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import { describe } from './report.ts';
import { run } from './run.ts';
import { judge, ratiosToVxlan, voidReason } from './verdict.ts';

const CONTENDERS: readonly Contender[] = [bareVeth, kernelVxlan, fabricPcap, fabricEngine];

/** Four contenders take about 22 s a round in full, 11 s in a quick run. */
const FULL = { rounds: 5, idleSeconds: 5, traffic: { tcpSeconds: 3, udpSeconds: 2, pings: 200 } };
const QUICK = { rounds: 3, idleSeconds: 2, traffic: { tcpSeconds: 1, udpSeconds: 1, pings: 100 } };

async function main(flags: Flags): Promise<number> {
  const defaults = flags.quick ? QUICK : FULL;
  const options = { ...defaults, rounds: flags.rounds ?? defaults.rounds };
  const contenders = CONTENDERS.filter(({ name }) => flags.only?.has(name) ?? true);
  const machine = await describeMachine(loadavg()[0]!);
  const startedAt = new Date().toISOString();
  const measured = await run({
    ...options,
    contenders,
    // A choice of contenders is about traffic: start-up is measured only when asked for as well.
    wanted: (metric) => flags.metrics?.has(metric) ?? (flags.only === null || !isStartUp(metric)),
    progress: (text) => process.stderr.write(`· ${text}\n`),
  });
  process.stdout.write(`\n${describe({ machine, rounds: options.rounds, contenders, measured })}\n`);
  const reason = voidReason(measured);
  const goals = judge(measured);
  if (flags.json !== null) {
    const titles = Object.fromEntries(contenders.map(({ name, title }) => [name, title]));
    const { rounds } = options;
    const ratios = ratiosToVxlan(measured);
    const json = { fabric: VERSION, startedAt, machine, rounds, void: reason, titles, ...measured, ratios, goals };
    writeFileSync(flags.json, `${JSON.stringify(json, null, 2)}\n`);
    process.stdout.write(`\nwritten: ${flags.json}\n`);
  }
  return reason === null && goals.every(({ met }) => met) ? 0 : 1;
}

function isStartUp(metric: string): boolean {
  return START_UP_METRICS.some(({ name }) => name === metric);
}

function parsed(words: readonly string[]): Flags | null {
  try {
    return readFlags(words, {
      contenders: CONTENDERS.map(({ name }) => name),
      metrics: [...TRAFFIC_METRICS, ...START_UP_METRICS].map(({ name }) => name),
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nusage: ${USAGE}\n`);
    return null;
  }
}

const flags = parsed(process.argv.slice(2));
process.exitCode = flags === null ? 2 : await main(flags);
