// The links of the gossip core: what each still has to say (outbox.ts), whether it takes messages now, and when its next pushes
// may leave. Invariant: pushes and prunes over one link are a pause apart (pace.ts), everything else leaves at once.

import type { Random } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { Counters } from './counters.ts';
import type { GossipLink } from './gossip-options.ts';
import type { Outbox } from './outbox.ts';
import type { Pace } from './pace.ts';

interface Neighbour {
  readonly link: GossipLink;
  readonly outbox: Outbox;
  writable: boolean;
  /** Not before this time the next push leaves. */
  pushAtMs: number;
}

export class Neighbours {
  readonly #pace: Pace;
  readonly #random: Random;
  readonly #neighbours = new Map<PeerId, Neighbour>();
  readonly #sent = new Counters();
  #bytesSent = 0;
  #pushAtMs = Number.POSITIVE_INFINITY;
  /** False: no outbox has intents. */
  #hasIntents = false;

  constructor(pace: Pace, random: Random) {
    this.#pace = pace;
    this.#random = random;
  }

  get size(): number {
    return this.#neighbours.size;
  }

  /** Messages sent, by type. */
  get sent(): Readonly<Record<string, number>> {
    return this.#sent.read();
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** When pushes that wait may leave, as of the last {@link flush}; Infinity when none waits. */
  get pushAtMs(): number {
    return this.#pushAtMs;
  }

  /** False: {@link flush} sends nothing but what `before` brings. It is asked after every message. */
  get hasIntents(): boolean {
    return this.#hasIntents;
  }

  /** One of the outboxes has something to say again. */
  intended(): void {
    this.#hasIntents = true;
  }

  add(peer: PeerId, link: GossipLink, outbox: Outbox): void {
    this.#neighbours.set(peer, { link, outbox, writable: true, pushAtMs: 0 });
  }

  /** False when there was no such link. */
  remove(peer: PeerId): boolean {
    return this.#neighbours.delete(peer);
  }

  has(peer: PeerId): boolean {
    return this.#neighbours.has(peer);
  }

  peers(): Iterable<PeerId> {
    return this.#neighbours.keys();
  }

  outboxOf(peer: PeerId): Outbox | undefined {
    return this.#neighbours.get(peer)?.outbox;
  }

  *outboxes(): Iterable<Outbox> {
    for (const { outbox } of this.#neighbours.values()) yield outbox;
  }

  /** The outbox of any neighbour. */
  randomOutbox(): Outbox | undefined {
    const skip = Math.floor(this.#random.fraction() * this.#neighbours.size);
    return [...this.#neighbours.values()][skip]?.outbox;
  }

  writable(peer: PeerId): void {
    const neighbour = this.#neighbours.get(peer);
    if (neighbour !== undefined) neighbour.writable = true;
  }

  /** What waits may leave. */
  endPauses(): void {
    for (const neighbour of this.#neighbours.values()) neighbour.pushAtMs = 0;
  }

  /** Sends what each link takes now; `before` says what else belongs into its outbox. */
  flush(nowMs: number, before: (peer: PeerId, outbox: Outbox) => void): void {
    this.#pushAtMs = Number.POSITIVE_INFINITY;
    let hasIntents = false;
    for (const [peer, neighbour] of this.#neighbours) {
      const { outbox } = neighbour;
      if (neighbour.writable) before(peer, outbox);
      if (neighbour.writable && outbox.hasIntents) this.#drain(neighbour, nowMs);
      hasIntents ||= outbox.hasIntents;
    }
    this.#hasIntents = hasIntents;
  }

  #drain(neighbour: Neighbour, nowMs: number): void {
    const { link, outbox } = neighbour;
    const pushes = nowMs >= neighbour.pushAtMs ? 'go' : 'wait';
    while (neighbour.writable) {
      const message = outbox.next(pushes);
      if (message === null) break;
      if (message.isPush === true || message.type === 'prune') neighbour.pushAtMs = nowMs + this.#pace.pushMs(nowMs);
      this.#sent.add(message.type);
      this.#bytesSent += message.bytes.length;
      neighbour.writable = link.send(message.bytes);
    }
    if (neighbour.writable && outbox.waits) this.#pushAtMs = Math.min(this.#pushAtMs, neighbour.pushAtMs);
  }
}
