// The Log capability on pino: readable lines on a terminal, JSON elsewhere. At info and above at most one line per event, kind
// and peer passes per minute; how many were held back is said in the next line or when the minute is over. Fields are
// plain scalars (LogFields) and secrets are byte arrays everywhere in fabric, so that none can get in here.

import pino from 'pino';
import type { Clock, Log, LogFields } from '../base/capabilities.ts';

/** Takes whole lines, each with its newline. */
export interface LogSink {
  write(line: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogOptions {
  readonly clock: Clock;
  readonly sink: LogSink;
  /** Default `info`. With `debug` nothing is held back. */
  readonly level?: LogLevel;
}

const WINDOW_MS = 60_000;
/** Different (event, kind, peer) that are remembered at once; beyond it the oldest window ends early. */
const WINDOWS_MAX = 4_096;

interface Window {
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
  readonly endsMs: number;
  suppressed: number;
}

export class PinoLog implements Log {
  readonly #pino: pino.Logger;
  readonly #clock: Clock;
  readonly #limited: boolean;
  /** In order of their end, because all are equally long. */
  readonly #windows = new Map<string, Window>();

  constructor({ clock, sink, level = 'info' }: LogOptions) {
    this.#clock = clock;
    this.#limited = level !== 'debug';
    const timestamp = (): string => `,"time":"${new Date(clock.wallMs()).toISOString()}"`;
    const formatters = { level: (label: string) => ({ level: label }) };
    this.#pino = pino({ level, base: null, timestamp, formatters, messageKey: 'event' }, sink);
  }

  debug(event: string, fields: LogFields = {}): void {
    this.#pino.debug(fields, event);
  }

  info(event: string, fields: LogFields = {}): void {
    this.#limit('info', event, fields);
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#limit('warn', event, fields);
  }

  error(event: string, fields: LogFields = {}): void {
    this.#limit('error', event, fields);
  }

  /** Says what is still held back, e.g. before the end of the process. */
  flush(): void {
    for (const key of [...this.#windows.keys()]) this.#endWindow(key);
  }

  #limit(level: LogLevel, event: string, fields: LogFields): void {
    if (!this.#limited) {
      this.#pino[level](fields, event);
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    this.#endWindows(nowMs);
    const key = `${event}\n${fields.kind ?? fields.code ?? ''}\n${fields.peer ?? fields.host ?? ''}`;
    const open = this.#windows.get(key);
    if (open !== undefined) {
      open.suppressed++;
      return;
    }
    if (this.#windows.size >= WINDOWS_MAX) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#endWindow(oldest);
    }
    this.#windows.set(key, { level, event, fields, endsMs: nowMs + WINDOW_MS, suppressed: 0 });
    this.#pino[level](fields, event);
  }

  #endWindows(nowMs: number): void {
    for (const [key, window] of this.#windows) {
      if (window.endsMs > nowMs) return;
      this.#endWindow(key);
    }
  }

  #endWindow(key: string): void {
    const window = this.#windows.get(key);
    this.#windows.delete(key);
    if (window === undefined || window.suppressed === 0) return;
    this.#pino[window.level]({ ...window.fields, suppressed: window.suppressed }, window.event);
  }
}

/** Standard error: pretty when it is a terminal, JSON lines otherwise. The pretty printer is loaded only where it is used. */
export async function openConsoleSink(): Promise<LogSink> {
  const stderr: LogSink = { write: (line) => void process.stderr.write(line) };
  if (!process.stderr.isTTY) return stderr;
  const { prettyFactory } = await import('pino-pretty');
  const pretty = prettyFactory({ colorize: true, messageKey: 'event', translateTime: 'SYS:HH:MM:ss' });
  return { write: (line) => stderr.write(pretty(line)) };
}
