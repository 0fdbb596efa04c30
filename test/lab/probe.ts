// Datagrams every few milliseconds from one container to another, and how long the network between them was silent. The programs
// (probe-agent.ts) run with real-time priority, so that a busy machine is not taken for a silent network. They end with the lab.

import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CHECKOUT } from './checkout.ts';
import type { LabContainer } from './container.ts';
import { end, eventually } from './exec.ts';
import type { Lab } from './lab.ts';
import type { ProbeReport } from './probe-agent.ts';

const AGENT = join(CHECKOUT, 'dist/test/lab/probe-agent.js');
const PORT = 9_100;
const PROBE_EVERY_MS = 10;

class Probe {
  readonly #sender: ChildProcess;
  readonly #receiver: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(sender: ChildProcess, receiver: ChildProcess, lines: AsyncIterator<string>) {
    this.#sender = sender;
    this.#receiver = receiver;
    this.#lines = lines;
  }

  /** Datagrams are on their way when this resolves. */
  static async start(lab: Lab, from: LabContainer, to: LabContainer): Promise<Probe> {
    const agent = (place: LabContainer, ...args: string[]) => {
      const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, AGENT, ...args];
      return lab.spawn([...place.enter(), 'chrt', '--rr', '10', ...node], { stdin: 'pipe' });
    };
    const receiver = agent(to, 'receive', `${PORT}`);
    const lines = createInterface({ input: receiver.stdout! })[Symbol.asyncIterator]();
    const { done } = await lines.next();
    if (done === true) throw new Error('the receiver ended at once: is cpu.rt_runtime_us of its cgroup 0?');
    return new Probe(agent(from, 'send', to.ip, `${PORT}`, `${PROBE_EVERY_MS}`), receiver, lines);
  }

  /** Of the time since the report before, or since the start. */
  async report(): Promise<ProbeReport> {
    this.#receiver.stdin!.write('\n');
    const { value } = await this.#lines.next();
    return JSON.parse(String(value)) as ProbeReport;
  }

  async stop(): Promise<void> {
    await end(this.#sender, 'SIGKILL');
    await end(this.#receiver, 'SIGKILL');
  }
}

/** Of several reports. */
export interface Silence {
  /** In all together. */
  readonly lost: number;
  readonly medianMs: number;
  readonly longestMs: number;
}

export function silenceOf(reports: readonly ProbeReport[]): Silence {
  const silences = reports.map(({ silenceMs }) => silenceMs).toSorted((x, y) => x - y);
  return {
    lost: reports.reduce((sum, { lost }) => sum + lost, 0),
    medianMs: silences[Math.floor(silences.length / 2)]!,
    longestMs: silences.at(-1)!,
  };
}

/** A network that lost nothing is as good as this between two datagrams. */
const UNNOTICED_MS = 20;
/** Where starting a daemon anywhere on the machine costs its frames more than that: so many times as much. */
const DISTURBANCE_FACTOR = 3;

/** How long a silence counts as none, on a machine where what has nothing to do with the probes makes them as late as `disturbance`. */
export function unnoticedMs(disturbance: Silence): number {
  const { longestMs } = disturbance;
  return longestMs > UNNOTICED_MS ? longestMs * DISTURBANCE_FACTOR : UNNOTICED_MS;
}

export function inWords({ lost, medianMs, longestMs }: Silence): string {
  return `silence of ${medianMs.toFixed(1)} ms in the median, ${longestMs.toFixed(1)} ms at most, ${lost} packets lost`;
}

/** Probes both ways between two containers. */
export class ProbePair {
  readonly #probes: readonly Probe[];

  private constructor(probes: readonly Probe[]) {
    this.#probes = probes;
  }

  static async start(lab: Lab, one: LabContainer, two: LabContainer): Promise<ProbePair> {
    const pair = new ProbePair([await Probe.start(lab, one, two), await Probe.start(lab, two, one)]);
    await eventually('probes arrive both ways', async () => {
      return (await pair.#reports()).every(({ received }) => received > 10);
    });
    return pair;
  }

  /** What happened to the probes during `work`: the worse of both ways. */
  async during(work: () => Promise<unknown>): Promise<ProbeReport> {
    await this.#reports();
    await work();
    const [out, back] = (await this.#reports()) as [ProbeReport, ProbeReport];
    return {
      received: Math.min(out.received, back.received),
      lost: out.lost + back.lost,
      silenceMs: Math.max(out.silenceMs, back.silenceMs),
      latestMs: Math.max(out.latestMs, back.latestMs),
    };
  }

  async stop(): Promise<void> {
    for (const probe of this.#probes) await probe.stop();
  }

  #reports(): Promise<readonly ProbeReport[]> {
    return Promise.all(this.#probes.map((probe) => probe.report()));
  }
}
