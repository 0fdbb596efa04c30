// The Log of all simulated hosts: keeps the last lines of the whole cluster in one ring, each with its time and host, so that a
// failure can be told as a story.

import type { Log, LogFields } from '../../src/base/capabilities.ts';
import type { World } from './world.ts';

const LINES_MAX = 400;

export class SimLog implements Log {
  readonly #world: World;
  readonly #host: string;
  readonly #ring: string[];

  constructor(world: World, host = '', ring: string[] = []) {
    this.#world = world;
    this.#host = host;
    this.#ring = ring;
  }

  /** A host's own door to the ring. */
  of(host: string): SimLog {
    return new SimLog(this.#world, host, this.#ring);
  }

  get lines(): readonly string[] {
    return this.#ring;
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
    const details = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
    const seconds = (this.#world.nowMs / 1_000).toFixed(3).padStart(9);
    this.#ring.push(`${seconds} ${this.#host.padEnd(5)} ${level.padEnd(5)} ${event} ${details.join(' ')}`.trimEnd());
    if (this.#ring.length > LINES_MAX) this.#ring.shift();
  }
}
