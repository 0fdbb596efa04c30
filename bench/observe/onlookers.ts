// Everybody who looks at a pair of hosts: onlooker.ts beside both daemons and in both containers.

import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CHECKOUT } from '../../test/lab/checkout.ts';
import type { LabContainer } from '../../test/lab/container.ts';
import { end } from '../../test/lab/exec.ts';
import type { Lab } from '../../test/lab/lab.ts';
import type { OnlookerReport } from './onlooker.ts';

const PROGRAM = join(CHECKOUT, 'dist/bench/observe/onlooker.js');

interface Onlooker {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

export class Onlookers {
  readonly #all: readonly Onlooker[];

  private constructor(all: readonly Onlooker[]) {
    this.#all = all;
  }

  /** `name`: what the containers ask the server at `gateway` for. Each one looks when this resolves. */
  static async start(
    lab: Lab,
    { containers, gateway, name }: { containers: readonly LabContainer[]; gateway: string; name: string },
  ): Promise<Onlookers> {
    const start = (enter: readonly string[], ...args: string[]): Onlooker => {
      const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, PROGRAM, ...args];
      const child = lab.spawn([...enter, ...node], { stdin: 'pipe' });
      return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
    };
    const onlookers = new Onlookers(
      containers.flatMap((container) => [
        start(container.host.enter(), 'http'),
        start(container.enter(), 'dns', gateway, name),
      ]),
    );
    await onlookers.look();
    return onlookers;
  }

  /** They look from now on; what all together have done since their start. */
  look(): Promise<OnlookerReport> {
    return this.#tell('look');
  }

  /** They ask nothing more for now; the same report. */
  rest(): Promise<OnlookerReport> {
    return this.#tell('rest');
  }

  async stop(): Promise<void> {
    for (const { child } of this.#all) await end(child, 'SIGKILL');
  }

  async #tell(order: 'look' | 'rest'): Promise<OnlookerReport> {
    const reports = await Promise.all(
      this.#all.map(async ({ child, lines }) => {
        child.stdin!.write(`${order}\n`);
        return JSON.parse(String((await lines.next()).value)) as OnlookerReport;
      }),
    );
    const sum = (key: keyof OnlookerReport): number => reports.reduce((total, report) => total + report[key], 0);
    return { cpuUs: sum('cpuUs'), answers: sum('answers'), failures: sum('failures') };
  }
}
