// One connection to a peer, from its first Hello to its end: greeting, keepalive, flow control, the queue of what waits to
// leave. It knows nothing of other connections; which one of several becomes the link is decided by LinkElection.
// Invariant: a message that can't be understood is counted and never ends the connection; a queue beyond its bound does.
//
//   greeting ──Hello──▶ greeted ──promote()──▶ up ──▶ closed
//       └──────────────────┴── deadline, refusal, goodbye ──▲

import type { Clock } from '../../base/capabilities.ts';
import { assert } from '../../base/errors.ts';
import type { PeerId } from '../../base/ids.ts';
import type { CertifiedPeer } from './certificate.ts';
import {
  type Channel,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type GoodbyeReason,
  type Hello,
} from './envelope.ts';
import type { Wire } from './wire.ts';

export interface ConnectionLimits {
  /** Who dialled sends a ping when it has heard nothing for this long; the other side a little later. Default 1.5 s. */
  readonly pingAfterMs: number;
  /** A link that heard nothing for this long is dead. Default 4 s. */
  readonly deadAfterMs: number;
  /** From the start to promotion; default 5 s. */
  readonly greetingMs: number;
  /** send() returns false from here on, until half of it has left. Default 256 KiB. */
  readonly queueBytesHigh: number;
  /** A sender that ignores that ends the link. Default 16 MiB. */
  readonly queueBytesMax: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  pingAfterMs: 1_500,
  deadAfterMs: 4_000,
  greetingMs: 5_000,
  queueBytesHigh: 256 * 1024,
  queueBytesMax: 16 * 1024 * 1024,
};

/** Larger messages are refused at both ends; the largest of gossip have 2 MiB and a head. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Who was called pings so much later, so that one ping per link and time is enough. */
const CALLED_PINGS_LATER_MS = 500;
/** The RTT is measured at least this often, also on a busy link. */
const MEASURE_MS = 10_000;
/** A pause between two ticks that means that this process did not run; they come every 200 ms. */
const STALL_MIN_MS = 1_000;

export interface ConnectionEvents {
  /** The other side's Hello; ours has been sent. */
  greeted(hello: Hello): void;
  /** The other side's Welcome. */
  welcomed(): void;
  message(channel: Channel, bytes: Uint8Array): void;
  /** The peer says that a second live host uses our identity. */
  cloned(detail: string): void;
  writable(): void;
  /** Fires once. `reason` is a goodbye's word, or what happened. */
  closed(reason: CloseReason, detail: string): void;
}

export type CloseReason = GoodbyeReason | 'lost' | 'silent' | 'greeting-timeout' | 'overrun';

export interface ConnectionOptions {
  readonly wire: Wire;
  /** The other side, as its certificate proves it. */
  readonly certified: CertifiedPeer;
  /** `HOST:PORT` as dialled, or the address that called us. */
  readonly name: string;
  /** True when we dialled. */
  readonly dialled: boolean;
  readonly clock: Clock;
  readonly limits: ConnectionLimits;
  readonly events: ConnectionEvents;
  /** Counts what is dropped, by reason. */
  readonly drop: (reason: string) => void;
}

export class Connection {
  readonly certified: CertifiedPeer;
  readonly name: string;
  readonly dialled: boolean;
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #drop: (reason: string) => void;
  readonly #startedMs: number;
  #hello: Hello | null = null;
  #up = false;
  #closed = false;
  #bytesSeen = 0;
  #heardMs: number;
  /** Unless bytes have come, {@link tick} has nothing to do before. */
  #dueMs = 0;
  #pingSequence = 0;
  #pingSentMs: number | null = null;
  #measuredMs: number;
  #rttMs: number | null = null;
  #queuedBytes = 0;
  #blocked = false;
  #farewell: { reason: GoodbyeReason; detail: string } | null = null;

  constructor(options: ConnectionOptions) {
    this.#wire = options.wire;
    this.certified = options.certified;
    this.name = options.name;
    this.dialled = options.dialled;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#events = options.events;
    this.#drop = options.drop;
    const nowMs = options.clock.monotonicMs();
    this.#startedMs = nowMs;
    this.#heardMs = nowMs;
    this.#measuredMs = nowMs;
  }

  get peer(): PeerId {
    return this.certified.peer;
  }

  /** Null before the other side has greeted. */
  get hello(): Hello | null {
    return this.#hello;
  }

  get up(): boolean {
    return this.#up;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True when the other side said goodbye first. */
  get endedByPeer(): boolean {
    return this.#farewell !== null;
  }

  /** Clock.monotonicMs of the last sign of life. */
  get heardMs(): number {
    return this.#heardMs;
  }

  get rttMs(): number | null {
    return this.#rttMs;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  start(own: Hello): void {
    this.#wire.open({
      message: (bytes) => this.#receive(bytes),
      closed: (detail) => this.#finish('lost', detail),
    });
    this.#write({ kind: 'hello', hello: own });
  }

  /** Tells the other side that its Hello is fine; what that means for the link is LinkElection's affair. */
  welcome(): void {
    if (!this.#closed) this.#write({ kind: 'welcome' });
  }

  /** This connection is the link from now on. */
  promote(): void {
    assert(this.#hello !== null && !this.#closed, 'only a greeted connection becomes a link');
    this.#up = true;
    this.ping();
  }

  /**
   * Takes the message in any case; false asks for no more until `writable`. Messages above MESSAGE_BYTES_MAX are a bug
   * of the caller.
   */
  send(channel: Channel, bytes: Uint8Array): boolean {
    assert(bytes.length < MESSAGE_BYTES_MAX - 16, 'a message fits its limit');
    if (this.#closed) return false;
    if (this.#queuedBytes + bytes.length > this.#limits.queueBytesMax) {
      this.#drop('link-overrun');
      this.#finish('overrun', 'the sender ignored that the link is full');
      return false;
    }
    this.#write({ kind: channel, bytes });
    if (this.#queuedBytes >= this.#limits.queueBytesHigh) this.#blocked = true;
    return !this.#blocked;
  }

  ping(): void {
    if (this.#closed || this.#pingSentMs !== null) return;
    this.#pingSentMs = this.#clock.monotonicMs();
    this.#write({ kind: 'ping', sequence: ++this.#pingSequence >>> 0 });
  }

  /** Tells the peer that a second live host uses its identity; `detail` says which and where. */
  tellClone(detail: string): void {
    if (!this.#closed) this.#write({ kind: 'clone', detail });
  }

  /** Says why, sends what waits, closes. */
  close(reason: GoodbyeReason, detail = ''): void {
    if (this.#closed) return;
    this.#write({ kind: 'goodbye', reason, detail });
    this.#wire.end();
    this.#finish(reason, detail);
  }

  /** Closes without a word: the other side is dead. */
  abandon(reason: CloseReason): void {
    this.#finish(reason, '');
  }

  /** To be called a few times per second; `pauseMs`: since the last time, whether or not this connection was there. */
  tick(nowMs: number, pauseMs: number): void {
    if (this.#closed) return;
    const bytes = this.#wire.bytesReceived();
    if (bytes === this.#bytesSeen && nowMs < this.#dueMs && pauseMs < STALL_MIN_MS) return;
    this.#excuseStall(nowMs, Math.min(pauseMs, nowMs - this.#startedMs));
    if (bytes !== this.#bytesSeen) {
      this.#bytesSeen = bytes;
      this.#heardMs = nowMs;
    }
    const silentMs = nowMs - this.#heardMs;
    if (!this.#up && nowMs - this.#startedMs >= this.#limits.greetingMs) this.#finish('greeting-timeout', '');
    else if (silentMs >= this.#limits.deadAfterMs)
      this.#finish('silent', `nothing heard for ${Math.round(silentMs)} ms`);
    else if (this.#up && (silentMs >= this.#pingAfterMs || nowMs - this.#measuredMs >= MEASURE_MS)) this.ping();
    this.#dueMs = this.#up ? Math.min(this.#heardMs + this.#pingAfterMs, this.#measuredMs + MEASURE_MS) - 1 : 0;
  }

  get #pingAfterMs(): number {
    return this.#limits.pingAfterMs + (this.dialled ? 0 : CALLED_PINGS_LATER_MS);
  }

  /** When it was us who did not run (a paused VM, a blocked loop), the silence is not the other side's. */
  #excuseStall(nowMs: number, pauseMs: number): void {
    if (pauseMs >= STALL_MIN_MS) this.#heardMs = Math.min(nowMs, this.#heardMs + pauseMs);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#heardMs = this.#clock.monotonicMs();
    const envelope = decodeEnvelope(bytes);
    if (envelope === null) {
      this.#drop('link-malformed');
      return;
    }
    switch (envelope.kind) {
      case 'hello':
        if (this.#hello !== null) this.#drop('link-unexpected');
        else {
          this.#hello = envelope.hello;
          this.#events.greeted(envelope.hello);
        }
        return;
      case 'welcome':
        if (this.#hello === null || this.#up) this.#drop('link-unexpected');
        else this.#events.welcomed();
        return;
      case 'ping':
        this.#pong(envelope.sequence);
        return;
      case 'pong':
        this.#measure(envelope.sequence);
        return;
      case 'goodbye':
        this.#farewell = { reason: envelope.reason, detail: envelope.detail };
        this.#wire.end();
        this.#finish('lost', '');
        return;
      case 'clone':
        if (this.#up) this.#events.cloned(envelope.detail);
        else this.#drop('link-unexpected');
        return;
      case 'gossip':
      case 'lease':
      case 'life':
      case 'examine':
        if (this.#up) this.#events.message(envelope.kind, envelope.bytes);
        else this.#drop('link-unexpected');
    }
  }

  #pong(sequence: number): void {
    if (this.#queuedBytes < this.#limits.queueBytesMax) this.#write({ kind: 'pong', sequence });
    else this.#drop('link-pong-unsent');
  }

  #measure(sequence: number): void {
    if (this.#pingSentMs === null || sequence !== this.#pingSequence >>> 0) return;
    this.#measuredMs = this.#clock.monotonicMs();
    this.#rttMs = this.#measuredMs - this.#pingSentMs;
    this.#pingSentMs = null;
  }

  #write(envelope: Envelope): void {
    const bytes = encodeEnvelope(envelope);
    this.#queuedBytes += bytes.length;
    this.#wire.write(bytes, () => this.#flushed(bytes.length));
  }

  #flushed(length: number): void {
    this.#queuedBytes -= length;
    if (!this.#blocked || this.#closed || this.#queuedBytes > this.#limits.queueBytesHigh / 2) return;
    this.#blocked = false;
    this.#events.writable();
  }

  #finish(reason: CloseReason, detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#up = false;
    const { reason: word, detail: text } = this.#farewell ?? { reason, detail };
    if (this.#farewell === null && !isGoodbye(reason)) this.#wire.destroy();
    this.#events.closed(word, text);
  }
}

function isGoodbye(reason: CloseReason): boolean {
  return reason !== 'lost' && reason !== 'silent' && reason !== 'greeting-timeout' && reason !== 'overrun';
}
