// A log file of bounded size for --detach: when it would grow past its limit it becomes `NAME.1`, that one `NAME.2`, and so
// on; the oldest goes. Writes are synchronous, so that the last line before a crash is there.

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

  constructor({ path, sizeMax = 10 * 1024 * 1024, keptMax = 3 }: RotatingFileOptions) {
    this.#path = path;
    this.#sizeMax = sizeMax;
    this.#keptMax = keptMax;
    this.#descriptor = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#descriptor).size;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#size > 0 && this.#size + bytes.length > this.#sizeMax) this.#rotate();
    writeSync(this.#descriptor, bytes);
    this.#size += bytes.length;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #rotate(): void {
    closeSync(this.#descriptor);
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
    this.#descriptor = openSync(this.#path, 'a', 0o600);
    this.#size = 0;
  }
}
