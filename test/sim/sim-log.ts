// The Log of all simulated hosts: keeps the last lines of the whole cluster in one ring, each with its time and host, so that a
// failure can be told as a story.

import type { Log, LogFields } from '../../src/base/capabilities.ts';
import type { World } from './world.ts';

const LINES_MAX = 400;

interface Line {
  readonly atMs: number;
  readonly host: string;
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

export class SimLog implements Log {
  readonly #world: World;
  readonly #host: string;
  /** Twice as many as are told, at most: the older half goes at once. */
  readonly #ring: Line[];

  constructor(world: World, host = '', ring: Line[] = []) {
    this.#world = world;
    this.#host = host;
    this.#ring = ring;
  }

  /** A host's own door to the ring. */
  of(host: string): SimLog {
    return new SimLog(this.#world, host, this.#ring);
  }

  get lines(): readonly string[] {
    return this.#ring.slice(-LINES_MAX).map(textOf);
  }

  debug(_event: string, _fields?: LogFields): void {}

  info(event: string, fields: LogFields = {}): void {
    this.#keep('info', event, fields);
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#keep('warn', event, fields);
  }

  error(event: string, fields: LogFields = {}): void {
    this.#keep('error', event, fields);
  }

  #keep(level: string, event: string, fields: LogFields): void {
    if (this.#ring.length >= 2 * LINES_MAX) this.#ring.splice(0, LINES_MAX);
    this.#ring.push({ atMs: this.#world.nowMs, host: this.#host, level, event, fields });
  }
}

function textOf({ atMs, host, level, event, fields }: Line): string {
  const details = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  const seconds = (atMs / 1_000).toFixed(3).padStart(9);
  return `${seconds} ${host.padEnd(5)} ${level.padEnd(5)} ${event} ${details.join(' ')}`.trimEnd();
}
