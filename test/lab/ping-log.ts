// A container that pings an address all the time, and when it had answers, by the clock of this machine: of the program that
// pings, so that a test which is slow to look sees the same.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { end } from './exec.ts';
import type { Lab } from './lab.ts';
import type { Place } from './traffic.ts';

export class PingLog {
  /** As Date.now(). */
  readonly answeredMs: number[] = [];
  readonly #child: ChildProcess;

  constructor(lab: Lab, from: Place, address: string, { everyMs }: { readonly everyMs: number }) {
    this.#child = lab.spawn([...from.enter(), 'ping', '-n', '-D', '-i', String(everyMs / 1_000), address]);
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const answered = /^\[(\d+\.\d+)\] \d+ bytes from /.exec(line);
      if (answered !== null) this.answeredMs.push(Number(answered[1]) * 1000);
    });
  }

  /** The longest time from one answer to the next. */
  get silenceMs(): number {
    return this.answeredMs.reduce(
      (longest, atMs, index) => Math.max(longest, atMs - (this.answeredMs[index - 1] ?? atMs)),
      0,
    );
  }

  stop(): Promise<void> {
    return end(this.#child);
  }
}
