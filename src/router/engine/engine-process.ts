// The engine as a child process: starts it, speaks the control protocol over descriptor 3, and notices its end. It knows
// messages, not what they mean.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { assert } from '../../base/errors.ts';
import { decodeEngineMessage, type EngineMessage, LENGTH_BYTES, MESSAGE_MAX } from './control-messages.ts';

/** How long an engine that was told to stop may take before it is killed. */
const STOP_MAX_MS = 2000;

export interface EngineProcessEvents {
  message(message: EngineMessage): void;
  /** The process is gone, or spoke nonsense and was killed; said once, never after {@link EngineProcess.stop}. */
  ended(reason: string): void;
}

export class EngineProcess {
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #events: EngineProcessEvents;
  readonly #exited: Promise<void>;
  #input: Buffer = Buffer.alloc(0);
  #over = false;

  constructor(executable: string, args: readonly string[], events: EngineProcessEvents) {
    this.#events = events;
    // Nothing of our environment: it may hold a token.
    this.#child = spawn(executable, args, { cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'inherit', 'pipe'] });
    const control = this.#child.stdio[3];
    assert(control !== null && control !== undefined && 'write' in control, 'descriptor 3 was asked for');
    this.#control = control as Socket;
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#end(`it can't be started: ${error.message}`);
        resolve();
      });
      this.#child.once('exit', (code, signal) => {
        this.#end(signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`);
        resolve();
      });
    });
    this.#control.on('data', (bytes: Buffer) => this.#read(bytes));
    this.#control.on('error', () => undefined); // its end is what counts
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** `secret` messages are zeroed once the kernel has them. */
  send(message: Buffer, secret = false): void {
    if (this.#over) {
      if (secret) message.fill(0);
      return;
    }
    this.#control.write(message, secret ? () => message.fill(0) : undefined);
  }

  /** Sends a last message and waits for the end. No event comes after it was called. */
  async stop(last: Buffer): Promise<void> {
    this.send(last);
    this.#over = true;
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MAX_MS);
    await this.#exited;
    clearTimeout(killer);
    this.#control.destroy();
  }

  #read(bytes: Buffer): void {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
    let at = 0;
    while (!this.#over && this.#input.length - at >= LENGTH_BYTES) {
      const length = this.#input.readUInt32BE(at);
      const end = at + LENGTH_BYTES + length;
      if (length <= MESSAGE_MAX && this.#input.length < end) break;
      const message = decodeEngineMessage(this.#input.subarray(at + LENGTH_BYTES, end));
      if (message === null) {
        this.#distrust();
        return;
      }
      at = end;
      this.#events.message(message);
    }
    this.#input = this.#input.subarray(at);
  }

  #distrust(): void {
    this.#child.kill('SIGKILL');
    this.#end('it sent a malformed message');
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.ended(reason);
  }
}
