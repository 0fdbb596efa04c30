// The simulated network under the tunnels of tunnel-harness.ts: latency, loss, duplication, reordering and NATs, from one seed and on one
// ManualClock.

import type { Crypto } from '../../src/base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../../src/base/endpoint.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import type { DataDatagram } from '../fakes/open-datagram.ts';
import { toyCrypto } from '../fakes/quick-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import type { SimNat } from './sim-nat.ts';
import type { SimHost } from './tunnel-harness.ts';

/** What happens to one handshake or data datagram on its way. */
export type Fate = (datagram: Uint8Array | DataDatagram, from: SimHost, to: Endpoint) => 'deliver' | 'drop' | 'twice';

export class SimNetwork {
  readonly clock = new ManualClock();
  readonly random: SeededRandom;
  readonly hosts = new Map<string, SimHost>();
  readonly nats = new Map<string, SimNat>();
  readonly usedNonces = new Set<string>();
  #events: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;
  minLatencyMs = 5;
  maxLatencyMs = 15;
  fate: Fate = () => 'deliver';
  /** Every handshake datagram that was sent. */
  readonly handshakes: { readonly bytes: Uint8Array; readonly from: Endpoint; readonly to: Endpoint }[] = [];
  keepHandshakes = true;
  crypto: Crypto = toyCrypto;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  after(ms: number, run: () => void): void {
    const event = { atMs: this.clock.monotonicMs() + ms, order: this.#order++, run };
    let at = this.#events.length;
    while (at > 0 && this.#events[at - 1]!.atMs > event.atMs) at--;
    this.#events.splice(at, 0, event);
  }

  /** Lets simulated time pass. */
  run(ms: number): void {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.#events.length > 0 && this.#events[0]!.atMs <= endMs) {
      const event = this.#events.shift()!;
      this.clock.advance(Math.max(0, event.atMs - this.clock.monotonicMs()));
      event.run();
    }
    this.clock.advance(endMs - this.clock.monotonicMs());
  }

  send(datagram: Uint8Array | DataDatagram, from: SimHost, to: Endpoint): void {
    if (datagram instanceof Uint8Array && this.keepHandshakes) {
      this.handshakes.push({ bytes: datagram.slice(), from: from.endpoint, to });
    }
    const fate = this.fate(datagram, from, to);
    const copies = fate === 'drop' ? 0 : fate === 'twice' ? 2 : 1;
    const isLocal = this.hosts.get(formatEndpoint(to))?.nat === from.nat;
    const mapped = isLocal ? undefined : from.nat?.outgoing(from.endpoint, to, this.clock.monotonicMs());
    const source = mapped ?? from.endpoint;
    for (let copy = 0; copy < copies; copy++) {
      const latencyMs = this.minLatencyMs + this.random.fraction() * (this.maxLatencyMs - this.minLatencyMs);
      this.after(latencyMs, () => this.#receiver(to, source, from.nat)?.receive(datagram, source));
    }
  }

  /** Behind a NAT only who answers is let in, and who sits behind the same one. */
  #receiver(to: Endpoint, source: Endpoint, site: SimNat | null): SimHost | undefined {
    const inside = this.nats.get(to.ip)?.incoming(source, to, this.clock.monotonicMs());
    const host = this.hosts.get(formatEndpoint(inside ?? to));
    return inside !== undefined || host?.nat === null || host?.nat === site ? host : undefined;
  }
}
