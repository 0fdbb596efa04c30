// A TCP connection of iperf3 from one container to another, as load or as proof that it survives what happens meanwhile. It
// carries data until it is stopped, an hour at most, and ends with the lab.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { LabContainer } from './container.ts';
import { eventually } from './exec.ts';
import type { Lab } from './lab.ts';

const PORT = '5201';
const TIME_MAX_S = '3600';
/** A connection that does not carry anything for so long is broken. */
const PATIENCE_MS = 10_000;

export class TcpStream {
  readonly #client: ChildProcess;
  readonly #ends: { readonly from: LabContainer; readonly to: LabContainer };
  #pid = '';
  #said = '';

  private constructor(client: ChildProcess, ends: { from: LabContainer; to: LabContainer }) {
    this.#client = client;
    this.#ends = ends;
  }

  /** Resolves when data flows. `rate` in iperf3's words, such as 20M; absent: as fast as it gets. */
  static async start(
    lab: Lab,
    ends: { readonly from: LabContainer; readonly to: LabContainer },
    { rate = '0' }: { rate?: string } = {},
  ): Promise<TcpStream> {
    const { from, to } = ends;
    lab.spawn([...to.enter(), 'iperf3', '--server', '--one-off', '--port', PORT]);
    const listening = ['ss', '-Hltn', 'sport', '=', PORT];
    await eventually('iperf3 listens', async () => (await to.run(listening)).stdout !== '');
    const client = ['iperf3', '--client', to.ip, '--port', PORT, '--bitrate', rate, '--time', TIME_MAX_S];
    // Its process id, in the namespace of its host, comes first.
    const child = lab.spawn([...from.enter(), 'sh', '-c', 'echo $$; exec "$@"', 'sh', ...client]);
    const stream = new TcpStream(child, ends);
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (stream.#pid === '') stream.#pid = line;
      else stream.#said = line.includes('sender') ? line : stream.#said;
    });
    await eventually('iperf3 sends', async () => (await stream.#received()) > 0);
    return stream;
  }

  /** Resolves once more data has arrived, on the connection that was there from the start; throws when none does. */
  async carries(): Promise<void> {
    const before = await this.#received();
    const more = async () => before > 0 && (await this.#received()) > before;
    await eventually('the TCP connection carries data', more, { timeoutMs: PATIENCE_MS });
  }

  /** Its mean rate in Gbit/s. */
  async stop(): Promise<number> {
    const closed = new Promise((resolve) => this.#client.once('close', resolve));
    await this.#ends.from.host.run(['kill', '-INT', this.#pid]);
    await closed;
    const [, value, unit] = /([\d.]+) ([GMK]?)bits\/sec/.exec(this.#said) ?? [];
    if (value === undefined) throw new Error(`iperf3 said no rate: ${this.#said}`);
    return Number(value) * { G: 1, M: 1e-3, K: 1e-6, '': 1e-9 }[unit as 'G' | 'M' | 'K' | '']!;
  }

  /** Bytes, by the receiver's kernel; 0 when there is no connection. */
  async #received(): Promise<number> {
    const { stdout } = await this.#ends.to.run(['ss', '-Hnti', 'state', 'established', 'sport', '=', PORT]);
    return Math.max(0, ...[...stdout.matchAll(/bytes_received:(\d+)/g)].map(([, bytes]) => Number(bytes)));
  }
}
