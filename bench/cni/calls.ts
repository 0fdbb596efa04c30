// CNI calls on a host of the lab as its runtime makes them: namespaces, and ADDs and DELs through the launcher, each timed. A call
// that fails ends the run: figures of failed calls mean nothing.

import { join } from 'node:path';
import { CHECKOUT } from '../../test/lab/checkout.ts';
import type { LabHost } from '../../test/lab/host.ts';
import type { LaunchJob, LaunchReport } from './launcher.ts';
import { call, type Subject } from './subjects.ts';

/** Of ADDs that nobody times, so many at once. */
const FILL_AT_ONCE = 50;
const LAUNCHER = join(CHECKOUT, 'dist/bench/cni/launcher.js');

/** Milliseconds of each call, in their order. */
export type Times = Readonly<Record<'ADD' | 'DEL', readonly number[]>>;

export class CniCalls {
  readonly #host: LabHost;
  #namespaces = 0;

  constructor(host: LabHost) {
    this.#host = host;
  }

  /** ADDs of all, then DELs of all, one after the other, the subjects taking turns. */
  async inTurn(subjects: readonly Subject[], count: number): Promise<ReadonlyMap<string, Times>> {
    const names = await this.makeNamespaces(count * subjects.length);
    const subjectOf = (index: number) => subjects[index % subjects.length]!;
    const times: Record<'ADD' | 'DEL', readonly number[]> = { ADD: [], DEL: [] };
    for (const verb of ['ADD', 'DEL'] as const) {
      const starts = names.map((name, index) => call(subjectOf(index), verb, name));
      times[verb] = (await this.launch({ starts, atOnce: false })).ms;
    }
    const of = (subject: Subject, values: readonly number[]) =>
      values.filter((_, index) => subjectOf(index) === subject);
    return new Map(
      subjects.map((subject) => [subject.name, { ADD: of(subject, times.ADD), DEL: of(subject, times.DEL) }]),
    );
  }

  /** Attaches so many, which stay. */
  async fill(subject: Subject, count: number): Promise<void> {
    for (let left = count; left > 0; left -= FILL_AT_ONCE) {
      const names = await this.makeNamespaces(Math.min(left, FILL_AT_ONCE));
      await this.launch({ starts: names.map((name) => call(subject, 'ADD', name)), atOnce: true });
    }
  }

  async makeNamespaces(count: number): Promise<readonly string[]> {
    const names = Array.from({ length: count }, () => `n${this.#namespaces++}`);
    const input = names.map((name) => `netns add ${name}\n`).join('');
    await this.#host.run(['ip', '-batch', '-'], { input, timeoutMs: 60_000 });
    return names;
  }

  async launch(job: LaunchJob): Promise<LaunchReport> {
    const command = ['env', '-u', 'NODE_OPTIONS', process.execPath, LAUNCHER];
    const { stdout } = await this.#host.run(command, { input: JSON.stringify(job), timeoutMs: 120_000 });
    const report = JSON.parse(stdout) as LaunchReport;
    if (report.failures.length > 0) {
      throw new Error(`${report.failures.length} of ${job.starts.length} failed: ${report.failures[0]}`);
    }
    return report;
  }
}
