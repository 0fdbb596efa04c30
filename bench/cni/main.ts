// `npm run bench -- --cni`: how long ADD and DEL take, ours beside Debian's bridge + host-local on one host of the lab, interleaved,
// both started by one launcher. One after the other, a hundred at once, and one after the other while many are attached.
// Exit code 0: every goal is met; 1: one is missed.

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { LabHost } from '../../test/lab/host.ts';
import { withLab } from '../../test/lab/with-lab.ts';
import { processUs } from '../cpu-time.ts';
import { describeMachine } from '../machine.ts';
import { summarize } from '../statistics.ts';
import { CniCalls } from './calls.ts';
import { call, FABRIC, REFERENCE, type Subject } from './subjects.ts';

/** In a row, of each. */
const SEQUENCE = 30;
const AT_ONCE = 100;
const AT_ONCE_ROUNDS = 3;
const MANY = 1_000;
const FEW = 10;
/** In a row while many are attached: a bridge has room for 1,021. */
const CROWDED_SEQUENCE = 20;

interface Goal {
  readonly what: string;
  readonly figure: number;
  readonly limit: number;
}

interface Figures {
  /** Medians in milliseconds. */
  readonly addMs: number;
  readonly delMs: number;
  /** Of {@link AT_ONCE}, until the last has ended. */
  readonly addAtOnceMs: number;
  readonly delAtOnceMs: number;
}

class CniBench {
  readonly #host: LabHost;
  readonly #calls: CniCalls;

  constructor(host: LabHost) {
    this.#host = host;
    this.#calls = new CniCalls(host);
  }

  /** All figures of both; they take turns, call by call and crowd by crowd. */
  async compare(subjects: readonly [Subject, Subject]): Promise<Readonly<Record<Subject['name'], Figures>>> {
    const sequence = await this.#calls.inTurn(subjects, SEQUENCE);
    const crowds = new Map(subjects.map(({ name }) => [name, { add: [] as number[], del: [] as number[] }]));
    for (let round = 0; round < AT_ONCE_ROUNDS; round++) {
      for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
        const names = await this.#calls.makeNamespaces(AT_ONCE);
        for (const [verb, into] of [
          ['ADD', 'add'],
          ['DEL', 'del'],
        ] as const) {
          const starts = names.map((name) => call(subject, verb, name));
          crowds.get(subject.name)![into].push((await this.#calls.launch({ starts, atOnce: true })).totalMs);
        }
      }
    }
    const figures = ({ name }: Subject): Figures => {
      const { add, del } = crowds.get(name)!;
      const { ADD, DEL } = sequence.get(name)!;
      return { addMs: median(ADD), delMs: median(DEL), addAtOnceMs: median(add), delAtOnceMs: median(del) };
    };
    return { fabric: figures(FABRIC), reference: figures(REFERENCE) };
  }

  /** Ours alone, with few attached and then with many; and the daemon's CPU time per ADD and DEL, in milliseconds. */
  async crowding(): Promise<{ few: Pair; many: Pair; cpuMs: number }> {
    await this.#calls.fill(FABRIC, FEW);
    const beforeUs = await this.#daemonUs();
    const few = await this.#pair();
    const cpuMs = ((await this.#daemonUs()) - beforeUs) / 1000 / (2 * CROWDED_SEQUENCE);
    await this.#calls.fill(FABRIC, MANY - FEW);
    return { few, many: await this.#pair(), cpuMs };
  }

  async #pair(): Promise<Pair> {
    const { ADD, DEL } = (await this.#calls.inTurn([FABRIC], CROWDED_SEQUENCE)).get('fabric')!;
    return { addMs: median(ADD), delMs: median(DEL) };
  }

  async #daemonUs(): Promise<number> {
    return processUs((await this.#host.run(['cat', `/proc/${await this.#host.daemonPid()}/stat`])).stdout);
  }
}

type Pair = Pick<Figures, 'addMs' | 'delMs'>;

function median(values: readonly number[]): number {
  return summarize(values).median;
}

async function main(): Promise<number> {
  const options = { cni: { type: 'boolean' }, quick: { type: 'boolean' }, json: { type: 'string' } } as const;
  const { quick = false, json } = parseArgs({ options }).values;
  const machine = await describeMachine(loadavg()[0]!);
  return withLab(async (lab) => {
    const host = await lab.host('a');
    await host.launch();
    const bench = new CniBench(host);
    const { fabric, reference } = await bench.compare([FABRIC, REFERENCE]);
    const crowding = quick ? null : await bench.crowding();
    const goals: Goal[] = [
      { what: 'ADD, of the reference', figure: fabric.addMs / reference.addMs, limit: 0.5 },
      { what: 'DEL, of the reference', figure: fabric.delMs / reference.delMs, limit: 0.2 },
      { what: `${AT_ONCE} ADDs at once, ms`, figure: fabric.addAtOnceMs, limit: 1_500 },
      {
        what: `${AT_ONCE} ADDs at once, of the reference`,
        figure: fabric.addAtOnceMs / reference.addAtOnceMs,
        limit: 0.5,
      },
    ];
    if (crowding !== null) {
      const { few, many } = crowding;
      goals.push({ what: `ADD with ${MANY}, of that with ${FEW}`, figure: many.addMs / few.addMs, limit: 1.2 });
      goals.push({ what: `DEL with ${MANY}, of that with ${FEW}`, figure: many.delMs / few.delMs, limit: 1.2 });
    }
    say(
      `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.loadBefore}`,
    );
    for (const [title, figures] of [
      [FABRIC.title, fabric],
      [REFERENCE.title, reference],
    ] as const) {
      const { addMs, delMs, addAtOnceMs, delAtOnceMs } = figures;
      say(
        `${title.padEnd(20)} ADD ${text(addMs)} ms, DEL ${text(delMs)} ms, ${AT_ONCE} at once: ADD ${text(addAtOnceMs)} ms, DEL ${text(delAtOnceMs)} ms`,
      );
    }
    if (crowding !== null) {
      const { few, many, cpuMs } = crowding;
      say(`fabric with ${FEW} attached: ADD ${text(few.addMs)} ms, DEL ${text(few.delMs)} ms`);
      say(`fabric with ${MANY} attached: ADD ${text(many.addMs)} ms, DEL ${text(many.delMs)} ms`);
      say(`CPU of the daemon per ADD or DEL: ${text(cpuMs)} ms`);
    }
    for (const { what, figure, limit } of goals) {
      say(`${figure <= limit ? 'met   ' : 'MISSED'} ${what}: ${text(figure)} (goal: at most ${limit})`);
    }
    if (json !== undefined)
      writeFileSync(json, `${JSON.stringify({ machine, fabric, reference, crowding, goals }, null, 2)}\n`);
    return goals.every(({ figure, limit }) => figure <= limit) ? 0 : 1;
  });
}

function text(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = await main();
