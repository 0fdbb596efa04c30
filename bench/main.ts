// `npm run bench`: runs the contenders, prints the table, writes the JSON (bench/README.md says with which flags).
// Exit code 0: the run counts and every goal is met; 1: it does not, or one is missed; 2: usage.

import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../src/daemon/version.ts';
import { CHECKOUT } from '../test/lab/checkout.ts';
import type { Contender } from './contender.ts';
import { CONTENDERS } from './contenders.ts';
import { type Flags, readFlags, USAGE } from './flags.ts';
import { describeMachine } from './machine.ts';
import { IDLE_METRICS, START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import { withTable } from './record.ts';
import { describe, peerNames } from './report.ts';
import { run } from './run.ts';
import { judge, REFERENCE_PEER, ratiosToVxlan, voidReason } from './verdict.ts';

const README = join(CHECKOUT, 'bench/README.md');

/** About nine minutes: half a minute a round for what the goals name, as much again where programs by others take part. */
const FULL = {
  rounds: 5,
  peerRounds: [1, 3, 5],
  startUpRounds: 5,
  idleSeconds: 3,
  idleTunnels: { tunnels: 100, seconds: 20 },
  traffic: { tcpSeconds: 2, udpSeconds: 1, pings: 100 },
};
/** Below two minutes: a first impression, with wireguard-go alone of the programs by others. */
const QUICK = {
  rounds: 2,
  peerRounds: [],
  startUpRounds: 1,
  idleSeconds: 2,
  idleTunnels: { tunnels: 100, seconds: 5 },
  traffic: { tcpSeconds: 1, udpSeconds: 1, pings: 50 },
};

async function main(flags: Flags): Promise<number> {
  const defaults = flags.quick ? QUICK : FULL;
  const rounds = flags.rounds ?? defaults.rounds;
  const contenders = CONTENDERS.filter((contender) => takesPart(contender, flags));
  const machine = await describeMachine(loadavg()[0]!);
  const startedAt = new Date().toISOString();
  const measured = await run({
    ...defaults,
    rounds,
    peerRounds: flags.only === null ? defaults.peerRounds : null,
    contenders,
    // A choice of contenders is about traffic: the daemon alone is measured only when asked for as well.
    wanted: (metric) => flags.metrics?.has(metric) ?? (flags.only === null || !isOfDaemonAlone(metric)),
    progress: say,
  });
  const table = describe({ machine, rounds, contenders, measured });
  process.stdout.write(`\n${table}\n`);
  const reason = voidReason(measured);
  const goals = judge(measured, peerNames(contenders));
  if (flags.json !== null) {
    const titles = Object.fromEntries(contenders.map(({ name, title }) => [name, title]));
    const ratios = ratiosToVxlan(measured);
    const json = { fabric: VERSION, startedAt, machine, rounds, void: reason, titles, ...measured, ratios, goals };
    writeFileSync(flags.json, `${JSON.stringify(json, null, 2)}\n`);
    process.stdout.write(`\nwritten: ${flags.json}\n`);
  }
  if (flags.record) {
    writeFileSync(README, withTable(readFileSync(README, 'utf8'), { table, startedAt }));
    process.stdout.write(`\nwritten: ${README}\n`);
  }
  return reason === null && goals.every(({ met }) => met) ? 0 : 1;
}

/** Chosen, or all that can stand here; a quick run takes only that program by others which a goal names. */
function takesPart({ name, title, isPeer = false, lack }: Contender, { only, quick }: Flags): boolean {
  const isWanted = only?.has(name) ?? (!isPeer || !quick || name === REFERENCE_PEER);
  const reason = isWanted ? (lack?.() ?? null) : null;
  if (reason !== null) say(`left out: ${title}: ${reason}`);
  return isWanted && reason === null;
}

function say(text: string): void {
  process.stderr.write(`· ${text}\n`);
}

function isOfDaemonAlone(metric: string): boolean {
  return [...START_UP_METRICS, ...IDLE_METRICS].some(({ name }) => name === metric);
}

function parsed(words: readonly string[]): Flags | null {
  try {
    return readFlags(words, {
      contenders: CONTENDERS.map(({ name }) => name),
      metrics: [...TRAFFIC_METRICS, ...START_UP_METRICS, ...IDLE_METRICS].map(({ name }) => name),
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nusage: ${USAGE}\n`);
    return null;
  }
}

const flags = parsed(process.argv.slice(2));
process.exitCode = flags === null ? 2 : await main(flags);
