// `npm run bench [-- --quick] [-- --json FILE]`: runs the contenders, prints the table, writes the JSON (bench/README.md).
// Exit code 0: the run counts and every goal is met; 1: it does not, or one is missed; 2: usage.

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { VERSION } from '../src/daemon/version.ts';
import type { Contender } from './contender.ts';
import { bareVeth } from './contenders/bare-veth.ts';
import { fabricEngine } from './contenders/fabric-engine.ts';
import { fabricPcap } from './contenders/fabric-pcap.ts';
import { kernelVxlan } from './contenders/kernel-vxlan.ts';
import { describeMachine } from './machine.ts';
import { describe } from './report.ts';
import { run } from './run.ts';
import { judge, ratiosToVxlan, voidReason } from './verdict.ts';

const CONTENDERS: readonly Contender[] = [bareVeth, kernelVxlan, fabricPcap, fabricEngine];

/** Four contenders take about 22 s a round in full, 11 s in a quick run. */
const FULL = { rounds: 5, idleSeconds: 5, traffic: { tcpSeconds: 3, udpSeconds: 2, pings: 200 } };
const QUICK = { rounds: 3, idleSeconds: 2, traffic: { tcpSeconds: 1, udpSeconds: 1, pings: 100 } };

interface Flags {
  readonly quick?: boolean;
  readonly json?: string;
}

async function main(flags: Flags): Promise<number> {
  const options = flags.quick ? QUICK : FULL;
  const machine = await describeMachine(loadavg()[0]!);
  const startedAt = new Date().toISOString();
  const measured = await run({
    ...options,
    contenders: CONTENDERS,
    progress: (text) => process.stderr.write(`· ${text}\n`),
  });
  process.stdout.write(`\n${describe({ machine, rounds: options.rounds, contenders: CONTENDERS, measured })}\n`);
  const reason = voidReason(measured);
  const goals = judge(measured);
  if (flags.json !== undefined) {
    const titles = Object.fromEntries(CONTENDERS.map(({ name, title }) => [name, title]));
    const { rounds } = options;
    const ratios = ratiosToVxlan(measured);
    const json = { fabric: VERSION, startedAt, machine, rounds, void: reason, titles, ...measured, ratios, goals };
    writeFileSync(flags.json, `${JSON.stringify(json, null, 2)}\n`);
    process.stdout.write(`\nwritten: ${flags.json}\n`);
  }
  return reason === null && goals.every(({ met }) => met) ? 0 : 1;
}

function readFlags(): Flags | null {
  try {
    return parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'string' } } }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nusage: npm run bench [-- --quick] [-- --json FILE]\n`);
    return null;
  }
}

const flags = readFlags();
process.exitCode = flags === null ? 2 : await main(flags);
