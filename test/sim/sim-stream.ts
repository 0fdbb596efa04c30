// A TCP connection of the simulated underlay as two Wires. Messages arrive whole, in order and once; loss is delay; a cut path
// holds everything back and retransmits with back-off; a machine without power never answers; a process that is gone
// answers with a reset. Contract: src/host/mesh/wire.ts.

import type { Wire, WireEvents } from '../../src/host/mesh/wire.ts';
import type { SimProcess } from './process.ts';
import { type Nic, RETRANSMIT_MS, type SimNetwork } from './sim-network.ts';

/** What the kernel of the sender takes over before the other side has it. */
const SEND_BUFFER_BYTES = 512 * 1024;
const BACKOFF_MAX_MS = 60_000;
const END_GRACE_MS = 500;

interface InFlight {
  /** Null is the end of the stream (FIN). */
  readonly bytes: Uint8Array | null;
  readonly flushed: () => void;
  readonly arrivesMs: number;
  isFlushed: boolean;
}

export class StreamEnd implements Wire {
  readonly nic: Nic;
  readonly #network: SimNetwork;
  readonly #process: SimProcess;
  readonly #finished: Promise<void>;
  #resolveFinished: () => void = () => {};
  #other: StreamEnd | null = null;
  #events: WireEvents | null = null;
  /** Came before `open`. */
  #early: Uint8Array[] = [];
  readonly #inFlight: InFlight[] = [];
  #inFlightBytes = 0;
  #pumping = false;
  #backoffMs = RETRANSMIT_MS;
  #lastArrivalMs = 0;
  #received = 0;
  #ended = false;
  #closed: string | null = null;

  constructor(network: SimNetwork, nic: Nic, process: SimProcess) {
    this.nic = nic;
    this.#network = network;
    this.#process = process;
    this.#finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
    nic.streams.add(this);
  }

  static pair(network: SimNetwork, a: StreamEnd, b: StreamEnd): void {
    a.#other = b;
    b.#other = a;
    a.#lastArrivalMs = network.world.nowMs;
    b.#lastArrivalMs = network.world.nowMs;
  }

  open(events: WireEvents): void {
    this.#events = events;
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) this.#process.run(() => this.#hand(bytes));
    if (this.#closed !== null) this.#tellClosed(this.#closed);
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    if (!this.#ended && this.#closed === null) this.#send(bytes, flushed);
  }

  end(): void {
    if (this.#ended || this.#closed !== null) return;
    this.#ended = true;
    this.#send(null, () => {});
    this.#network.world.after(END_GRACE_MS, () => this.destroy());
  }

  destroy(): void {
    this.#ended = true;
    if (this.#closed !== null) return;
    this.#close('');
    this.#reset();
  }

  finished(): Promise<void> {
    return this.#finished;
  }

  bytesReceived(): number {
    return this.#received;
  }

  /** The machine lost its power: nobody is told. */
  vanish(): void {
    this.#ended = true;
    this.#closed = 'power';
    this.#inFlight.length = 0;
    this.nic.streams.delete(this);
  }

  #send(bytes: Uint8Array | null, flushed: () => void): void {
    const network = this.#network;
    const size = bytes?.length ?? 0;
    const to = this.#other!.nic;
    const departureMs = network.departure(this.nic, size);
    const wayMs = network.latencyMs(this.nic, to) + network.retransmissionMs(size);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, departureMs + wayMs);
    const message: InFlight = { bytes, flushed, arrivesMs: this.#lastArrivalMs, isFlushed: false };
    this.#inFlight.push(message);
    this.#inFlightBytes += size;
    if (this.#inFlightBytes <= SEND_BUFFER_BYTES) network.world.at(departureMs, () => this.#flush(message));
    if (!this.#pumping) this.#pumpAt(message.arrivesMs);
  }

  #flush(message: InFlight): void {
    if (message.isFlushed) return;
    message.isFlushed = true;
    if (this.#closed === null) this.#process.run(message.flushed);
  }

  #pumpAt(atMs: number): void {
    this.#pumping = true;
    this.#network.world.at(atMs, () => this.#pump());
  }

  /** Delivers what is due, or tries again later when the path is cut. */
  #pump(): void {
    this.#pumping = false;
    const { world } = this.#network;
    const other = this.#other!;
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.arrivesMs <= world.nowMs) {
      if (!this.#network.passes(this.nic, other.nic)) {
        if (!this.nic.up) return;
        this.#pumpAt(world.nowMs + this.#backoffMs * (0.5 + this.#network.fraction() / 2));
        this.#backoffMs = Math.min(BACKOFF_MAX_MS, this.#backoffMs * 2);
        return;
      }
      this.#backoffMs = RETRANSMIT_MS;
      const message = this.#inFlight.shift()!;
      this.#inFlightBytes -= message.bytes?.length ?? 0;
      this.#flush(message);
      world.note(world.nowMs, this.nic.machine, other.nic.machine, message.bytes?.length ?? -1);
      this.#network.arrived(other.nic, message.bytes?.length ?? 0);
      other.#take(message.bytes);
    }
    if (this.#inFlight.length > 0) this.#pumpAt(this.#inFlight[0]!.arrivesMs);
  }

  #take(bytes: Uint8Array | null): void {
    if (this.#closed !== null) {
      this.#reset();
      return;
    }
    if (bytes === null) {
      this.#close('');
      this.#other!.#closeSoon('');
      return;
    }
    this.#received += bytes.length;
    if (this.#events === null) this.#early.push(bytes);
    else this.#process.run(() => this.#hand(bytes));
  }

  #hand(bytes: Uint8Array): void {
    if (this.#closed === null) this.#events?.message(bytes);
  }

  /** A RST to the other side, lost when the path is cut. */
  #reset(): void {
    const other = this.#other;
    if (other === null || other.#closed !== null) return;
    const network = this.#network;
    network.world.after(network.latencyMs(this.nic, other.nic), () => {
      if (network.passes(this.nic, other.nic)) other.#close('connection reset');
    });
  }

  #closeSoon(detail: string): void {
    this.#network.world.after(0, () => this.#close(detail));
  }

  #close(detail: string): void {
    if (this.#closed !== null) return;
    this.#closed = detail;
    this.nic.streams.delete(this);
    this.#inFlight.length = 0;
    this.#resolveFinished();
    if (this.#events !== null) this.#tellClosed(detail);
  }

  #tellClosed(detail: string): void {
    const events = this.#events!;
    this.#network.world.after(0, () => this.#process.run(() => events.closed(detail)));
  }
}
