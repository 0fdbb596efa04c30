// Traffic from and to a place of the lab: starts test/lab/traffic-agent.ts in the namespace of a container or a host and
// drives it. It ends with the lab.

import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CHECKOUT } from './checkout.ts';
import type { Lab } from './lab.ts';
import type { Answer, Call, Command, Datagram, Pushed } from './traffic-agent.ts';

const AGENT = join(CHECKOUT, 'dist/test/lab/traffic-agent.js');

/** A container or a host: what enters its namespaces. */
export interface Place {
  readonly name: string;
  enter(): readonly string[];
}

export class Traffic {
  readonly place: Place;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #ready: Promise<void>;
  #nextId = 1;

  private constructor(place: Place, child: ChildProcess) {
    this.place = place;
    this.#child = child;
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
    this.#ready = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const answer = JSON.parse(line) as Answer | { readonly ready: true };
        if ('ready' in answer) resolve();
        else this.#answered(answer);
      });
      child.once('close', () => {
        const error = new Error(`the traffic agent of ${place.name} ended: ${said}`);
        reject(error);
        for (const { reject: fail } of this.#waiting.values()) fail(error);
      });
    });
  }

  /** Listens when this resolves. `httpBody` is what it serves on port 80; multicast goes by `ifname`. */
  static async start(
    lab: Lab,
    place: Place,
    { httpBody, ifname = 'eth0' }: { httpBody: string; ifname?: string },
  ): Promise<Traffic> {
    const command = [...place.enter(), 'env', '-u', 'NODE_OPTIONS', process.execPath, AGENT, ifname, httpBody];
    const traffic = new Traffic(place, lab.spawn(command, { stdin: 'pipe' }));
    await traffic.#ready;
    return traffic;
  }

  async send(to: string, port: number, text: string): Promise<void> {
    await this.#call({ kind: 'send', to, port, text });
  }

  /** Datagrams of any bytes. */
  async throw(to: string, port: number, payloads: readonly Uint8Array[]): Promise<void> {
    const encoded = payloads.map((payload) => Buffer.from(payload).toString('base64'));
    await this.#call({ kind: 'throw', to, port, payloads: encoded });
  }

  received(): Promise<readonly Datagram[]> {
    return this.#call({ kind: 'received' }) as Promise<readonly Datagram[]>;
  }

  /** How many datagrams of exactly this text came. */
  async count(text: string): Promise<number> {
    return (await this.received()).filter((datagram) => datagram.text === text).length;
  }

  push(to: string, { bytes, marker }: { bytes: number; marker: string }): Promise<Pushed> {
    return this.#call({ kind: 'push', to, bytes, marker }) as Promise<Pushed>;
  }

  /** The body that port 80 of that address serves. */
  get(address: string): Promise<string> {
    const url = `http://${address.includes(':') ? `[${address}]` : address}/`;
    return this.#call({ kind: 'get', url }) as Promise<string>;
  }

  #call(command: Command): Promise<unknown> {
    const call: Call = { id: this.#nextId++, command };
    this.#child.stdin!.write(`${JSON.stringify(call)}\n`);
    return new Promise((resolve, reject) => this.#waiting.set(call.id, { resolve, reject }));
  }

  #answered({ id, value, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(`${this.place.name}: ${error}`));
  }
}
