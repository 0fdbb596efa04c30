// A log file of bounded size for --detach: when it would grow past its limit it becomes `NAME.1`, that one `NAME.2`, and so
// on; the oldest goes. Writes are synchronous, so that the last line before a crash is there. A disk that is full or broken costs lines,
// which are counted, and nothing else: whoever logs goes on.

import { closeSync, fstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { LogSink } from './log.ts';

export interface RotatingFileOptions {
  readonly path: string;
  /** Size at which the file is rotated, in bytes; default 10 MiB. */
  readonly sizeMax?: number;
  /** Rotated files that are kept beside the current one; default 3. */
  readonly keptMax?: number;
}

export class RotatingFile implements LogSink {
  readonly #path: string;
  readonly #sizeMax: number;
  readonly #keptMax: number;
  #descriptor: number;
  #size: number;
  /** Lines that could not be written since the last one that could. */
  #lost = 0;

  constructor({ path, sizeMax = 10 * 1024 * 1024, keptMax = 3 }: RotatingFileOptions) {
    this.#path = path;
    this.#sizeMax = sizeMax;
    this.#keptMax = keptMax;
    this.#descriptor = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#descriptor).size;
  }

  write(line: string): void {
    const note = { level: 'warn', event: 'lines of this log could not be written', count: this.#lost };
    const bytes = Buffer.from(this.#lost === 0 ? line : `${JSON.stringify(note)}\n${line}`);
    try {
      if (this.#size > 0 && this.#size + bytes.length > this.#sizeMax) this.#rotate();
      this.#size += writeSync(this.#descriptor, bytes);
      this.#lost = 0;
    } catch {
      this.#lost++;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** Throws with the current file as it was: a descriptor that is closed may be another file's soon. */
  #rotate(): void {
    const next = openSync(`${this.#path}.new`, 'a', 0o600);
    try {
      this.#shift();
    } catch (error) {
      closeSync(next);
      throw error;
    }
    closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#size = 0;
  }

  #shift(): void {
    rmSync(`${this.#path}.${this.#keptMax}`, { force: true });
    for (let age = this.#keptMax - 1; age >= 0; age--) {
      const from = age === 0 ? this.#path : `${this.#path}.${age}`;
      try {
        renameSync(from, `${this.#path}.${age + 1}`);
      } catch (error) {
        const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
        if (!absent) throw error; // fewer than keptMax rotations so far
      }
    }
    renameSync(`${this.#path}.new`, this.#path);
  }
}
