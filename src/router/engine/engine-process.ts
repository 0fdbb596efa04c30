// The native process behind the engine datapath, as this daemon's child or as one that outlived an earlier daemon: speaks the
// control protocol over its socket, ends or leaves it, and notices its end. It knows messages, not what they mean. Invariant:
// of an engine of another protocol version nothing is read but that version, and nothing is said but `stop`.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { assert } from '../../base/errors.ts';
import {
  decodeEngineMessage,
  type EngineMessage,
  encodeStop,
  LENGTH_BYTES,
  MESSAGE_MAX,
  PROTOCOL_VERSION,
  protocolOf,
} from './control-messages.ts';

/** How long an engine that was told to stop may take before it is killed. */
const STOP_MAX_MS = 2000;
/** How long a killed process may keep its descriptors; it takes the kernel milliseconds. */
const GONE_MAX_MS = 500;
const GONE_POLL_MS = 5;
/** Of what an engine wrote before it ended. */
const LAST_WORDS_MAX = 500;

export interface EngineProcessEvents {
  message(message: EngineMessage): void;
  /** The process is gone, or spoke nonsense and was killed; said once, never after `stop` or `release` was called. */
  ended(reason: string): void;
}

export interface EngineProgram {
  /** Path of the native program. */
  readonly executable: string;
  readonly args: readonly string[];
  /** Where it writes why it ended; null: where this process writes its errors. Set for an engine that may outlive us. */
  readonly logPath: string | null;
}

export class EngineProcess {
  readonly pid: number | undefined;
  readonly #socket: Socket;
  readonly #events: EngineProcessEvents;
  readonly #exited: Promise<void>;
  readonly #logPath: string | null;
  #child: ChildProcess | null = null;
  #protocol: number | null = null;
  #input: Buffer = Buffer.alloc(0);
  #over = false;
  /** What is sent in this turn of the event loop leaves at its end, in one write: each wakes the engine. */
  #holding = false;

  private constructor(
    socket: Socket,
    facts: { readonly pid: number | undefined; readonly exited: Promise<void>; readonly logPath: string | null },
    events: EngineProcessEvents,
  ) {
    this.pid = facts.pid;
    this.#socket = socket;
    this.#exited = facts.exited;
    this.#logPath = facts.logPath;
    this.#events = events;
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', () => undefined); // its end is what counts
  }

  /** As a child of this process, with descriptor 3 for the conversation; in a session of its own when it may outlive us. */
  static spawn({ executable, args, logPath }: EngineProgram, events: EngineProcessEvents): EngineProcess {
    const log = logPath === null ? ('inherit' as const) : openSync(logPath, 'w', 0o600);
    // Nothing of our environment: it may hold a token. Ctrl-C is for us, not for who outlives us.
    const child = spawn(executable, args, {
      cwd: '/',
      env: {},
      detached: logPath !== null,
      stdio: ['ignore', 'ignore', log, 'pipe'],
    });
    if (typeof log === 'number') closeSync(log);
    const control = child.stdio[3];
    assert(control !== null && control !== undefined && 'write' in control, 'descriptor 3 was asked for');
    let failed: Error | null = null;
    const exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        failed = error;
        resolve();
      });
      child.once('exit', () => resolve());
    });
    const engine = new EngineProcess(control as Socket, { pid: child.pid, exited, logPath }, events);
    engine.#child = child;
    void exited.then(() => {
      const { exitCode, signalCode } = child;
      const how = signalCode === null ? `it ended with exit code ${exitCode}` : `it was ended by ${signalCode}`;
      engine.#end(failed === null ? how : `it can't be started: ${failed.message}`);
    });
    return engine;
  }

  /** One that runs already, by its socket (paused) and process id. */
  static adopt(socket: Socket, { pid, logPath }: { pid: number; logPath: string }, events: EngineProcessEvents) {
    const exited = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const engine = new EngineProcess(socket, { pid, exited, logPath }, events);
    void exited.then(() => engine.#end('it is gone'));
    socket.resume();
    return engine;
  }

  /** `secret` messages are zeroed once the kernel has them. */
  send(message: Buffer, secret = false): void {
    if (this.#over) {
      if (secret) message.fill(0);
      return;
    }
    this.#hold();
    this.#socket.write(message, secret ? () => message.fill(0) : undefined);
  }

  /** Ends it and waits for that. No event comes after it was called. */
  async stop(): Promise<void> {
    this.send(encodeStop());
    this.#over = true;
    const killer = setTimeout(() => this.#kill(), STOP_MAX_MS);
    await this.#exited;
    clearTimeout(killer);
    this.#socket.destroy();
    await this.#gone();
  }

  /** Lets it go on alone; resolves when it has all that was sent. No event comes after it was called. */
  async release(): Promise<void> {
    this.#over = true;
    await new Promise<void>((resolve) => this.#socket.end(() => resolve()));
    this.#socket.destroy();
    this.#child?.unref();
  }

  #hold(): void {
    if (this.#holding) return;
    this.#holding = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#holding = false;
      this.#socket.uncork();
    });
  }

  #read(bytes: Buffer): void {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
    let at = 0;
    while (!this.#over && this.#input.length - at >= LENGTH_BYTES) {
      const length = this.#input.readUInt32BE(at);
      const end = at + LENGTH_BYTES + length;
      if (length <= MESSAGE_MAX && this.#input.length < end) break;
      if (!this.#take(this.#input.subarray(at + LENGTH_BYTES, end))) {
        this.#distrust();
        return;
      }
      at = end;
    }
    this.#input = this.#input.subarray(at);
  }

  /** False when it is malformed. */
  #take(payload: Buffer): boolean {
    if (this.#protocol === null) {
      this.#protocol = protocolOf(payload);
      if (this.#protocol === null) return false;
      if (this.#protocol !== PROTOCOL_VERSION) {
        this.#events.message({ kind: 'hello', protocol: this.#protocol, settings: '' });
      }
    }
    if (this.#protocol !== PROTOCOL_VERSION) return true;
    const message = decodeEngineMessage(payload);
    if (message !== null) this.#events.message(message);
    return message !== null;
  }

  #distrust(): void {
    this.#kill();
    this.#end('it sent a malformed message');
  }

  #kill(): void {
    if (this.#child !== null) this.#child.kill('SIGKILL');
    // While the socket is open the process lives, so the number is its own.
    else if (!this.#socket.destroyed && this.pid !== undefined) killProcess(this.pid, 'SIGKILL');
  }

  /** A process whose socket closed may still hold the port for a moment; a child's exit came after that. */
  async #gone(): Promise<void> {
    if (this.#child !== null || this.pid === undefined) return;
    for (let waitedMs = 0; waitedMs < GONE_MAX_MS && killProcess(this.pid, 0); waitedMs += GONE_POLL_MS) {
      await delay(GONE_POLL_MS);
    }
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    const words = this.#logPath === null ? '' : lastWords(this.#logPath);
    this.#events.ended(words === '' ? reason : `${reason}: ${words}`);
  }
}

/** What an engine wrote last, such as why it ended; empty when it wrote nothing. */
export function lastWords(logPath: string): string {
  try {
    return readFileSync(logPath, 'utf8').trim().split('\n').at(-1)!.slice(-LAST_WORDS_MAX);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    return `its log can't be read: ${(error as Error).message}`;
  }
}

/** False when there is no such process. */
function killProcess(pid: number, signal: 'SIGKILL' | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
