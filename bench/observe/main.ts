// `npm run bench -- --observe [--rounds N] [--json FILE]`: what it costs the datapath to be looked at. Two pairs of hosts on the engine
// stand side by side: one with metrics scraped, the map open and DNS served and asked, one with none of it. Short TCP streams on one and the
// other follow each other at once, because a machine that is shared drifts within seconds; at half-time the two pairs change parts.
// Exit code 0: the goal is met; 1: it is not, or somebody got no answers; 2: usage.

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { VERSION } from '../../src/daemon/version.ts';
import { withLab } from '../../test/lab/with-lab.ts';
import { describeMachine } from '../machine.ts';
import { estimateRatio, type Ratio, T_PAIRS_MAX } from '../statistics.ts';
import { meanOf, Site, STREAM_S, type Turn } from './site.ts';

const ROUNDS = 20;
/** CPU time per byte with everything on, over that with everything off. */
const RATIO_MAX = 1.02;
/** The streams of a round while the pairs of hosts have the same parts, true: looked at. What drifts evenly meets both alike. */
const ORDER = [true, false, false, true, false, true, true, false];

/** Means over the streams of a round. */
interface Round {
  readonly lookedAt: Turn;
  readonly alone: Turn;
}

/** A half of each round with one of the two looked at, then the other halves with the other: what sets the two apart cancels in each round. */
async function measureRounds([one, other]: readonly [Site, Site], rounds: number): Promise<readonly Round[]> {
  const measured = Array.from({ length: rounds }, () => ({ lookedAt: [] as Turn[], alone: [] as Turn[] }));
  const parts = [[one, other] as const, [other, one] as const];
  for (const [half, [lookedAt, alone]] of parts.entries()) {
    say('launching anew');
    await Promise.all([lookedAt.relaunch(true), alone.relaunch(false)]);
    for (const [index, turns] of measured.entries()) {
      say(`half ${half + 1} of round ${index + 1} of ${rounds}`);
      for (const isLookedAt of ORDER) {
        const turn = await (isLookedAt ? lookedAt : alone).measure();
        turns[isLookedAt ? 'lookedAt' : 'alone'].push(turn);
      }
    }
  }
  return measured.map(({ lookedAt, alone }) => ({ lookedAt: meanOf(lookedAt), alone: meanOf(alone) }));
}

async function main({ rounds, json }: { readonly rounds: number; readonly json: string | null }): Promise<number> {
  const machine = await describeMachine(loadavg()[0]!);
  const startedAt = new Date().toISOString();
  const measured = await withLab(async (lab) => {
    const sites = [await Site.open(lab, 'one'), await Site.open(lab, 'two')] as const;
    return measureRounds(sites, rounds);
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
