// A deterministic network of Gossip cores for the tests of this folder: one event heap ordered by (time, sequence), one
// seed, links that delay, lose, duplicate, reorder, cut off and push back. A failure is a seed. Loss of a message is
// harsher than what production's streams do: the digests alone must repair it.

import { toHex } from '../../src/base/bytes.ts';
import type { ClusterId, PeerId } from '../../src/base/ids.ts';
import { peerIdOf } from '../../src/gossip/author-state.ts';
import { Gossip, type GossipOptions, type RecordChange } from '../../src/gossip/gossip.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore, type StoreSnapshot } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { EventHeap } from '../sim/event-heap.ts';

export const CLUSTER = 'c1'.repeat(16) as ClusterId;

export interface Identity {
  readonly seed: Uint8Array;
  readonly identityKey: Uint8Array;
  readonly peer: PeerId;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

export function identity(number: number): Identity {
  const seed = nodeCrypto.sha256(new TextEncoder().encode(`host ${number}`));
  const identityKey = nodeCrypto.ed25519Public(seed);
  const sign = (message: Uint8Array) => nodeCrypto.ed25519Sign(seed, message);
  return { seed, identityKey, peer: peerIdOf(nodeCrypto, identityKey), sign };
}

export interface NetworkFaults {
  /** Probabilities per message. */
  loss: number;
  duplicate: number;
  /** As a stream shows loss: 200 ms more, doubling with each further one. */
  late: number;
  /** Messages of one link may overtake each other. */
  reorder: boolean;
  /** Probability that a message arrives with one byte changed. */
  corrupt: number;
  latencyMs: { min: number; max: number };
  /** True: a link holds one message at a time and refuses more until it has left. */
  slow: boolean;
}

export class SimHost {
  readonly id: Identity;
  readonly store: MemoryStore;
  readonly gossip: Gossip;
  /** The records as the change events tell them: must equal what the replica says. */
  readonly view = new Map<PeerId, Map<string, string>>();
  readonly ownNewer: number[] = [];
  readonly forgotten: string[] = [];
  up = true;

  constructor(
    id: Identity,
    store: MemoryStore,
    options: Pick<GossipOptions, 'clock' | 'random'> & Partial<GossipOptions>,
  ) {
    this.id = id;
    this.store = store;
    this.gossip = new Gossip({
      self: id,
      clusterId: CLUSTER,
      crypto: nodeCrypto,
      store,
      log: new RecordingLog(),
      acceptAuthor: () => true,
      events: {
        changed: (author, changes) => this.#changed(author, changes),
        ownStateNewer: (version) => this.ownNewer.push(version),
        ownStateForgotten: (changes) => this.forgotten.push(...changes.map(({ key }) => key)),
      },
      ...options,
    });
    for (const author of this.gossip.authors()) {
      const records = this.gossip.entries(author).map(([key, value]) => ({ key, value }));
      this.#changed(author, records);
    }
  }

  get peer(): PeerId {
    return this.id.peer;
  }

  #changed(author: PeerId, changes: readonly RecordChange[]): void {
    const records = this.view.get(author) ?? new Map<string, string>();
    this.view.set(author, records);
    for (const { key, value } of changes) {
      if (value === null) records.delete(key);
      else records.set(key, toHex(value));
    }
  }
}

export class GossipSim {
  readonly random: SeededRandom;
  readonly clock = new ManualClock();
  readonly faults: NetworkFaults = {
    loss: 0,
    duplicate: 0,
    late: 0,
    reorder: false,
    corrupt: 0,
    latencyMs: { min: 1, max: 5 },
    slow: false,
  };
  readonly hosts: SimHost[] = [];
  readonly #links = new Set<string>();
  readonly #heap = new EventHeap();
  readonly #arrivesAtMs = new Map<string, number>();
  readonly #options: Partial<GossipOptions>;
  messages = 0;
  bytes = 0;

  constructor(seed: number, options: Partial<GossipOptions> = {}) {
    this.random = new SeededRandom(seed);
    this.#options = options;
  }

  addHost(number: number, snapshot?: StoreSnapshot): SimHost {
    const host = new SimHost(identity(number), new MemoryStore(snapshot), {
      clock: this.clock,
      random: this.random.split(),
      ...this.#options,
    });
    this.hosts.push(host);
    this.#scheduleTick(host);
    return host;
  }

  /** The host vanishes; its links go down at the neighbours. */
  removeHost(host: SimHost): void {
    for (const other of this.hosts) this.disconnect(host, other);
    host.up = false;
    this.hosts.splice(this.hosts.indexOf(host), 1);
  }

  connect(a: SimHost, b: SimHost): void {
    if (a === b || this.#links.has(linkName(a, b))) return;
    this.#links.add(linkName(a, b));
    this.#links.add(linkName(b, a));
    this.#linkUp(a, b);
    this.#linkUp(b, a);
  }

  disconnect(a: SimHost, b: SimHost): void {
    if (!this.#links.delete(linkName(a, b))) return;
    this.#links.delete(linkName(b, a));
    a.gossip.linkDown(b.peer);
    b.gossip.linkDown(a.peer);
  }

  connectAll(hosts: readonly SimHost[] = this.hosts): void {
    for (const a of hosts) for (const b of hosts) this.connect(a, b);
  }

  connectLine(hosts: readonly SimHost[] = this.hosts): void {
    for (let i = 1; i < hosts.length; i++) this.connect(hosts[i - 1]!, hosts[i]!);
  }

  connectRing(hosts: readonly SimHost[] = this.hosts): void {
    this.connectLine(hosts);
    this.connect(hosts[hosts.length - 1]!, hosts[0]!);
  }

  run(durationMs: number): void {
    const untilMs = this.clock.monotonicMs() + durationMs;
    while (this.#heap.nextMs <= untilMs) {
      const event = this.#heap.pop()!;
      this.clock.advance(Math.max(0, event.atMs - this.clock.monotonicMs()));
      event.run?.();
    }
    this.clock.advance(untilMs - this.clock.monotonicMs());
  }

  /** Runs until all hosts agree; the ms that it took, or null when they still differ after `withinMs`. */
  runUntilConverged(withinMs: number): number | null {
    const startMs = this.clock.monotonicMs();
    while (this.clock.monotonicMs() - startMs <= withinMs) {
      if (this.converged()) return this.clock.monotonicMs() - startMs;
      this.run(10);
    }
    return null;
  }

  converged(): boolean {
    const roots = new Set(this.hosts.map((host) => toHex(host.gossip.digestRoot())));
    return roots.size <= 1;
  }

  #linkUp(at: SimHost, to: SimHost): void {
    at.gossip.linkUp(to.peer, { send: (bytes) => this.#send(at, to, bytes) });
  }

  #send(from: SimHost, to: SimHost, bytes: Uint8Array): boolean {
    this.messages++;
    this.bytes += bytes.length;
    const copies =
      this.random.fraction() < this.faults.loss ? 0 : this.random.fraction() < this.faults.duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#deliver(from, to, this.#maybeCorrupt(bytes));
    if (!this.faults.slow) return true;
    this.#schedule(this.random.below(200), () => from.up && from.gossip.writable(to.peer));
    return false;
  }

  #deliver(from: SimHost, to: SimHost, bytes: Uint8Array): void {
    const name = linkName(from, to);
    const { min, max } = this.faults.latencyMs;
    let atMs = this.clock.monotonicMs() + min + this.random.fraction() * (max - min);
    for (let moreMs = 200; this.random.fraction() < this.faults.late; moreMs *= 2) atMs += moreMs;
    if (!this.faults.reorder) atMs = Math.max(atMs, this.#arrivesAtMs.get(name) ?? 0);
    this.#arrivesAtMs.set(name, atMs);
    this.#schedule(atMs - this.clock.monotonicMs(), () => {
      if (to.up && this.#links.has(name)) to.gossip.receive(from.peer, bytes);
    });
  }

  #maybeCorrupt(bytes: Uint8Array): Uint8Array {
    const copy = bytes.slice();
    if (this.random.fraction() < this.faults.corrupt)
      copy[this.random.below(copy.length)]! ^= 1 << this.random.below(8);
    return copy;
  }

  /** Ticks when the host asked for it, at least every 20 ms as a daemon would after its other calls. */
  #scheduleTick(host: SimHost): void {
    this.#schedule(Math.max(1, Math.min(20, host.gossip.dueMs())), () => {
      if (!host.up) return;
      host.gossip.tick();
      this.#scheduleTick(host);
    });
  }

  #schedule(delayMs: number, run: () => void): void {
    this.#heap.add(this.clock.monotonicMs() + delayMs, run);
  }
}

function linkName(from: SimHost, to: SimHost): string {
  return `${from.peer}>${to.peer}`;
}
