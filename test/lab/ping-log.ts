// A container that pings an address every two milliseconds, and when it had answers, by the clock of this machine.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Lab } from './lab.ts';
import type { Place } from './traffic.ts';

const EVERY_S = 0.002;

export class PingLog {
  /** As Date.now(). */
  readonly answeredMs: number[] = [];
  readonly #child: ChildProcess;

  constructor(lab: Lab, from: Place, address: string) {
    this.#child = lab.spawn([...from.enter(), 'ping', '-n', '-D', '-i', String(EVERY_S), address]);
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const answered = /^\[(\d+\.\d+)\] \d+ bytes from /.exec(line);
      if (answered !== null) this.answeredMs.push(Number(answered[1]) * 1000);
    });
  }

  stop(): void {
    this.#child.kill();
  }
}
