// A TCP connection of iperf3 from one container to another that carries data for a given time, as load or as proof that the
// connection survives what happens meanwhile. Both ends stop with the lab.

import type { LabContainer } from './container.ts';
import { eventually, type Result } from './exec.ts';
import type { Lab } from './lab.ts';

const PORT = '5201';
/** A connection that stalls may go on so long after its time. */
const PATIENCE_MS = 20_000;

export interface TcpStreamOptions {
  readonly seconds: number;
  /** Bits per second in iperf3's words, such as 20M; absent: as fast as it gets. */
  readonly rate?: string;
}

export class TcpStream {
  readonly #ended: Promise<Result>;
  /** False once its time is over. */
  running = true;

  private constructor(ended: Promise<Result>) {
    this.#ended = ended.finally(() => {
      this.running = false;
    });
    this.#ended.catch(() => undefined); // whoever awaits gigabits() hears of it
  }

  /** Resolves when data flows. */
  static async start(
    lab: Lab,
    { from, to }: { from: LabContainer; to: LabContainer },
    { seconds, rate = '0' }: TcpStreamOptions,
  ): Promise<TcpStream> {
    lab.spawn([...to.enter(), 'iperf3', '--server', '--one-off', '--port', PORT]);
    const sockets = (state: string) => async () =>
      (await to.run(['ss', '-Hnt', 'state', state, 'sport', '=', PORT])).stdout.trim().split('\n');
    await eventually('iperf3 listens', async () => (await sockets('listening')())[0] !== '');
    const client = ['iperf3', '--client', to.ip, '--port', PORT, '--bitrate', rate, '--time', `${seconds}`];
    const stream = new TcpStream(from.run(client, { timeoutMs: seconds * 1_000 + PATIENCE_MS }));
    // One connection of data and one of control.
    await eventually('iperf3 sends', async () => (await sockets('established')()).length === 2);
    return stream;
  }

  /** What arrived, in Gbit/s, once its time is over; rejects when the connection broke. */
  async gigabits(): Promise<number> {
    const { stdout } = await this.#ended;
    const [, value, unit] = /([\d.]+) ([GMK]?)bits\/sec +receiver/.exec(stdout) ?? [];
    if (value === undefined) throw new Error(`iperf3 did not come to its end\n${stdout}`);
    return Number(value) * { G: 1, M: 1e-3, K: 1e-6, '': 1e-9 }[unit as 'G' | 'M' | 'K' | '']!;
  }
}
