// The underlay of a simulation: machines with one address each, latency by pair, jitter, loss, duplication, bandwidth, and
// paths that are cut in one or both directions. Datagrams get lost, doubled and reordered; streams (sim-stream.ts) suffer
// loss as delay. Randomness decides only what a fault schedule leaves open, never when a fault begins or ends.

import type { Endpoint } from '../../src/base/endpoint.ts';
import type { ClusterId, PeerId } from '../../src/base/ids.ts';
import type { CertifiedPeer } from '../../src/host/mesh/certificate.ts';
import type { SeededRandom } from '../fakes/seeded-random.ts';
import type { SimProcess } from './process.ts';
import type { StreamEnd } from './sim-stream.ts';
import type { World } from './world.ts';

export interface NetworkConditions {
  /** Probability that a packet is lost. */
  loss: number;
  /** Probability that a datagram arrives twice. */
  duplicate: number;
  /** One-way delay between two machines, milliseconds: fixed per pair within these bounds. */
  latencyMinMs: number;
  latencyMaxMs: number;
  /** What one machine can send. */
  bytesPerMs: number;
}

export const CONDITIONS: NetworkConditions = {
  loss: 0.01,
  duplicate: 0.005,
  latencyMinMs: 1,
  latencyMaxMs: 50,
  bytesPerMs: 125_000,
};

/** Share of the latency by which single packets vary. */
const JITTER = 0.1;
const SEGMENT_BYTES = 1_448;
/** Linux' least retransmission time-out; it doubles with each loss in a row. */
export const RETRANSMIT_MS = 200;
const RETRANSMIT_DOUBLINGS_MAX = 6;
/** Counted per message on top of its bytes, as docs/simulator.md says. */
export const MESSAGE_OVERHEAD_BYTES = 100;

/** What TLS would prove of one side, by the latest token that both sides hold. */
export interface StreamIdentity {
  readonly peer: PeerId;
  readonly identityKey: Uint8Array;
  readonly clusterId: ClusterId;
  /** Tokens that are held now, newest first. */
  readonly tokens: () => readonly Pick<CertifiedPeer, 'id' | 'generation'>[];
}

/** Who takes calls on a machine. */
export interface StreamListener {
  readonly process: SimProcess;
  readonly identity: StreamIdentity;
  accept(end: StreamEnd, from: Endpoint, caller: StreamIdentity): void;
}

/** One machine on the underlay. */
export class Nic {
  readonly machine: number;
  ip: string;
  /** False while the machine has no power: packets to it vanish without an answer. */
  up = true;
  listener: StreamListener | null = null;
  onDatagram: ((datagram: unknown, from: Endpoint) => void) | null = null;
  /** Streams of the process that runs on the machine, in order of their birth. */
  readonly streams = new Set<StreamEnd>();
  bytesPerMs = Number.POSITIVE_INFINITY;
  sentBytes = 0;
  receivedBytes = 0;
  sentMessages = 0;
  /** When the wire is free again. */
  freeMs = 0;

  constructor(machine: number, ip: string) {
    this.machine = machine;
    this.ip = ip;
  }
}

export class SimNetwork {
  readonly world: World;
  readonly conditions: NetworkConditions;
  readonly #random: SeededRandom;
  readonly #nics = new Map<string, Nic>();
  readonly #cuts = new Map<number, Set<number>>();
  /** In which part of a partition a machine is; who is in none reaches all. */
  readonly #parts = new Map<number, number>();
  lost = 0;

  constructor(world: World, conditions: NetworkConditions) {
    this.world = world;
    this.conditions = { ...conditions };
    this.#random = world.random.split();
  }

  plug(nic: Nic): void {
    this.#nics.set(nic.ip, nic);
  }

  /** The machine gets another address; streams of the old one break in silence. */
  renumber(nic: Nic, ip: string): void {
    this.#nics.delete(nic.ip);
    nic.ip = ip;
    this.#nics.set(ip, nic);
  }

  nicAt(ip: string): Nic | null {
    return this.#nics.get(ip) ?? null;
  }

  /** One direction; `passes` heals it. */
  setPath(from: number, to: number, passes: boolean): void {
    const cut = this.#cuts.get(from) ?? new Set<number>();
    if (passes) cut.delete(to);
    else cut.add(to);
    this.#cuts.set(from, cut);
  }

  /** Machines of different groups can't reach each other; replaces an earlier partition. */
  partition(groups: readonly (readonly number[])[]): void {
    this.#parts.clear();
    for (const [part, group] of groups.entries()) for (const machine of group) this.#parts.set(machine, part);
  }

  /** All paths work again. */
  heal(): void {
    this.#cuts.clear();
    this.#parts.clear();
  }

  passes(from: Nic, to: Nic): boolean {
    if (!from.up || !to.up || this.#cuts.get(from.machine)?.has(to.machine) === true) return false;
    if (this.#parts.size === 0) return true;
    const part = this.#parts.get(from.machine);
    const other = this.#parts.get(to.machine);
    return part === undefined || other === undefined || part === other;
  }

  fraction(): number {
    return this.#random.fraction();
  }

  /** One-way delay of a packet between two machines. */
  latencyMs(from: Nic, to: Nic): number {
    const { latencyMinMs, latencyMaxMs } = this.conditions;
    const low = Math.min(from.machine, to.machine);
    const high = Math.max(from.machine, to.machine);
    const pair = Math.imul(low * 0x9e3779b1 + high, 0x85ebca6b) >>> 0;
    const fixed = latencyMinMs + (((pair ^ (pair >>> 15)) >>> 0) / 2 ** 32) * (latencyMaxMs - latencyMinMs);
    return fixed * (1 + JITTER * this.#random.fraction());
  }

  /** When the last byte of a message has left the machine. */
  departure(from: Nic, bytes: number): number {
    const rate = Math.min(from.bytesPerMs, this.conditions.bytesPerMs);
    from.sentBytes += bytes + MESSAGE_OVERHEAD_BYTES;
    from.sentMessages++;
    from.freeMs = Math.max(from.freeMs, this.world.nowMs) + bytes / rate;
    return from.freeMs;
  }

  /** What losses add to the time that a message takes on a stream. */
  retransmissionMs(bytes: number): number {
    const clean = (1 - this.conditions.loss) ** Math.ceil((bytes + 1) / SEGMENT_BYTES);
    let waitMs = 0;
    for (let i = 0; i < RETRANSMIT_DOUBLINGS_MAX && this.#random.fraction() >= clean; i++) {
      waitMs += RETRANSMIT_MS * 2 ** i;
    }
    return waitMs;
  }

  arrived(to: Nic, bytes: number): void {
    to.receivedBytes += bytes + MESSAGE_OVERHEAD_BYTES;
  }

  /** UDP: may be lost, doubled and overtaken. `bytes` is its size on the wire. */
  sendDatagram(from: Nic, to: Endpoint, datagram: unknown, bytes: number): void {
    const source: Endpoint = { ip: from.ip, port: to.port };
    const departureMs = this.departure(from, bytes);
    const { loss, duplicate } = this.conditions;
    const copies = this.#random.fraction() < loss ? 0 : this.#random.fraction() < duplicate ? 2 : 1;
    if (copies === 0) this.lost++;
    for (let copy = 0; copy < copies; copy++) {
      const target = this.nicAt(to.ip);
      if (target === null) return;
      const lateMs = this.#random.fraction() < JITTER ? this.#random.fraction() * RETRANSMIT_MS : 0;
      this.world.at(departureMs + this.latencyMs(from, target) + lateMs, () => {
        if (this.nicAt(to.ip) !== target || !this.passes(from, target)) return;
        this.arrived(target, bytes);
        this.world.note(this.world.nowMs, from.machine, target.machine, bytes);
        target.onDatagram?.(datagram, source);
      });
    }
  }
}
