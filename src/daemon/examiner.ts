// Finds out, live and with the peer's help, whether two hosts reach each other: clocks compared, a TCP connection back, datagrams
// both ways. Each side shows the other datagrams of its tunnel (a small probe, or a handshake where there is no session) and says
// what it heard. Invariants: it dials nobody but the host that a link leads to; all that waits is bounded in number and time.
//
//   this host                                    peer
//     ── ask-clock ──▶                   ◀── tell-clock ──
//     ── ask-reach ──▶   probes both ways, TCP back; ◀── tell-reach ── what came of it

import type { Cancel, Clock, Timers } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import type { Mac, PeerId } from '../base/ids.ts';
import type { TunnelStatus } from '../router/tunnel-options.ts';
import { PROD_BYTES } from '../router/tunnels.ts';
import {
  decodeExamination,
  type ExaminationMessage,
  encodeExamination,
  type PortFacts,
} from './examination-message.ts';

/** What is found out about one peer; null: nobody knows. */
export interface Examination {
  readonly linked: boolean;
  /** Why the peer can't connect to us by TCP; null: it can. Undefined: it was not asked, or did not answer. */
  readonly tcpInFault?: string | null;
  readonly udpOut: boolean | null;
  readonly udpIn: boolean | null;
  /** The peer's wall clock less ours, and how far that may be wrong, in milliseconds. */
  readonly clockSkewMs: number | null;
  readonly clockErrorMs: number | null;
}

export interface ExaminerPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  /** False when no link leads there: then one is made, where hosts are linked to a few others only. */
  send(peer: PeerId, bytes: Uint8Array): boolean;
  /** Where the link to it leads; null: there is none. */
  linkedAt(peer: PeerId): Endpoint | null;
  /** Shows the peer a datagram of ours now. */
  prod(peer: PeerId): void;
  tunnel(peer: PeerId): Pick<TunnelStatus, 'heardMs' | 'state'> | null;
  /** Clock.monotonicMs of the last valid datagram, as the datapath counts; null: never. */
  lastReceivedMs(peer: PeerId): number | null;
  /** Null when the connection stood, else why not. */
  connect(to: Endpoint, timeoutMs: number): Promise<string | null>;
  /** May reject, when the kernel does not answer. */
  portOf(mac: Mac): Promise<PortFacts | null>;
}

/** The answers to come are there by then, or never. */
const LINK_MS_MAX = 1_500;
const CLOCK_MS_MAX = 1_000;
const PORT_MS_MAX = 1_000;
const PROBE_MS_MAX = 1_000;
const LISTEN_MS_MAX = 1_200;
const REACH_MS_MAX = LISTEN_MS_MAX + 800;
const CONNECT_MS_MAX = 1_000;
const LOOK_EVERY_MS = 25;
/** Several, because one may be lost, and an endpoint after the other is tried. */
const PROD_EVERY_MS = 300;
/** At once, asked by us and by others. */
const QUESTIONS_MAX = 256;
/** Of others, under way at once. */
const ANSWERING_MAX = 16;

interface Waiting {
  readonly peer: PeerId;
  readonly kind: ExaminationMessage['kind'];
  readonly answer: (message: ExaminationMessage | null) => void;
}

export class Examiner {
  readonly #ports: ExaminerPorts;
  readonly #waiting = new Map<number, Waiting>();
  readonly #timing = new Set<{ readonly peer: PeerId; readonly answer: () => void }>();
  readonly #timers = new Set<Cancel>();
  #nextId = 1;
  #answering = 0;
  #stopped = false;
  /** Messages that were dropped, by reason. */
  readonly drops = { malformed: 0, unexpected: 0, busy: 0, failed: 0 };

  constructor(ports: ExaminerPorts) {
    this.#ports = ports;
  }

  /** Takes up to 5 s; milliseconds where all is well. */
  async examine(peer: PeerId): Promise<Examination> {
    const { clock } = this.#ports;
    const sinceMs = clock.monotonicMs();
    const linked = await this.#link(peer);
    const time = await this.#compareClocks(peer);
    const asked = this.#ask(peer, { kind: 'ask-reach' }, 'tell-reach', REACH_MS_MAX);
    const udpIn = await this.#listen(peer, sinceMs);
    const told = await asked;
    const reach = told?.kind === 'tell-reach' ? told : null;
    return {
      linked,
      ...(reach === null ? {} : { tcpInFault: reach.tcpFault }),
      udpOut: reach?.udpHeard ?? null,
      udpIn,
      ...time,
    };
  }

  /** Round trip of a small datagram through the tunnel, in milliseconds; brings the tunnel up. Null: no answer. */
  async time(peer: PeerId): Promise<number | null> {
    const { clock, prod, tunnel } = this.#ports;
    await this.#listen(peer, clock.monotonicMs());
    for (const untilMs = clock.monotonicMs() + LISTEN_MS_MAX; tunnel(peer)?.state !== 'established'; ) {
      if (clock.monotonicMs() >= untilMs || this.#stopped) return null;
      await this.#pause(LOOK_EVERY_MS);
    }
    if (this.#timing.size >= QUESTIONS_MAX) return null;
    const startMs = clock.monotonicMs();
    return new Promise((resolve) => {
      const cancel = this.#ports.timers.after(PROBE_MS_MAX, () => end(null));
      const end = (ms: number | null): void => {
        cancel();
        this.#timing.delete(answered);
        resolve(ms);
      };
      const answered = { peer, answer: () => end(clock.monotonicMs() - startMs) };
      this.#timing.add(answered);
      prod(peer);
    });
  }

  /** The peer answered a probe of ours that made a packet of `bytes`. */
  probed(peer: PeerId, bytes: number): void {
    if (bytes !== PROD_BYTES) return;
    for (const waiting of [...this.#timing]) if (waiting.peer === peer) waiting.answer();
  }

  /** The port behind which the peer has this MAC; `unknown` when it does not answer. */
  async askPort(peer: PeerId, mac: Mac): Promise<PortFacts | null | 'unknown'> {
    await this.#link(peer);
    const told = await this.#ask(peer, { kind: 'ask-port', mac }, 'tell-port', PORT_MS_MAX);
    return told?.kind === 'tell-port' ? told.port : 'unknown';
  }

  /** From a link: anything at all. */
  receive(peer: PeerId, bytes: Uint8Array): void {
    const message = decodeExamination(bytes);
    if (message === null) {
      this.drops.malformed++;
      return;
    }
    const { id } = message;
    switch (message.kind) {
      case 'ask-clock':
        this.#tell(peer, { kind: 'tell-clock', id, wallMs: this.#ports.clock.wallMs() });
        return;
      case 'ask-port':
        void this.#answer(peer, async () => {
          return { kind: 'tell-port', id, port: await this.#ports.portOf(message.mac) };
        });
        return;
      case 'ask-reach':
        void this.#answer(peer, () => this.#reach(peer, id));
        return;
      default:
        this.#answered(peer, message);
    }
  }

  /** What waits comes to nothing. */
  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#timers) cancel();
    for (const { answer } of [...this.#waiting.values()]) answer(null);
  }

  async #compareClocks(peer: PeerId): Promise<Pick<Examination, 'clockSkewMs' | 'clockErrorMs'>> {
    const { clock } = this.#ports;
    const askedMs = clock.monotonicMs();
    const told = await this.#ask(peer, { kind: 'ask-clock' }, 'tell-clock', CLOCK_MS_MAX);
    if (told?.kind !== 'tell-clock') return { clockSkewMs: null, clockErrorMs: null };
    const roundTripMs = clock.monotonicMs() - askedMs;
    // It was half way when it said so, give or take the other half.
    return { clockSkewMs: told.wallMs - (clock.wallMs() - roundTripMs / 2), clockErrorMs: roundTripMs / 2 };
  }

  /** What takes time, for a few at once. */
  async #answer(peer: PeerId, find: () => Promise<ExaminationMessage>): Promise<void> {
    if (this.#ports.linkedAt(peer) === null || this.#answering >= ANSWERING_MAX || this.#stopped) {
      this.drops.busy++;
      return;
    }
    this.#answering++;
    try {
      this.#tell(peer, await find());
    } catch {
      this.drops.failed++; // the asker waits no longer than it would for a host that is gone
    } finally {
      this.#answering--;
    }
  }

  async #reach(peer: PeerId, id: number): Promise<ExaminationMessage> {
    const { linkedAt, connect, clock } = this.#ports;
    const [tcpFault, udpHeard] = await Promise.all([
      connect(linkedAt(peer)!, CONNECT_MS_MAX),
      this.#listen(peer, clock.monotonicMs()),
    ]);
    return { kind: 'tell-reach', id, tcpFault, udpHeard };
  }

  /** Shows the peer datagrams until one of its own comes, or time is up. */
  async #listen(peer: PeerId, sinceMs: number): Promise<boolean> {
    const { clock, prod } = this.#ports;
    const untilMs = clock.monotonicMs() + LISTEN_MS_MAX;
    let prodMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const nowMs = clock.monotonicMs();
      if (nowMs - prodMs >= PROD_EVERY_MS) {
        prod(peer);
        prodMs = nowMs;
      }
      if (this.#heardMs(peer) > sinceMs) return true;
      if (nowMs >= untilMs || this.#stopped) return false;
      await this.#pause(LOOK_EVERY_MS);
    }
  }

  /** In a large cluster hosts are linked to a few others only: one more is made for who has something to say. */
  async #link(peer: PeerId): Promise<boolean> {
    const { clock, linkedAt, send } = this.#ports;
    if (linkedAt(peer) === null) send(peer, encodeExamination({ kind: 'ask-clock', id: 0 }));
    for (const untilMs = clock.monotonicMs() + LINK_MS_MAX; linkedAt(peer) === null; ) {
      if (clock.monotonicMs() >= untilMs || this.#stopped) return false;
      await this.#pause(LOOK_EVERY_MS);
    }
    return true;
  }

  #heardMs(peer: PeerId): number {
    const { tunnel, lastReceivedMs } = this.#ports;
    return Math.max(tunnel(peer)?.heardMs ?? -1, lastReceivedMs(peer) ?? -1);
  }

  #ask(
    peer: PeerId,
    question: { readonly kind: 'ask-clock' | 'ask-reach' } | { readonly kind: 'ask-port'; readonly mac: Mac },
    kind: Waiting['kind'],
    timeoutMs: number,
  ): Promise<ExaminationMessage | null> {
    if (this.#stopped || this.#waiting.size >= QUESTIONS_MAX || this.#ports.linkedAt(peer) === null) {
      return Promise.resolve(null);
    }
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0;
    return new Promise((resolve) => {
      const cancel = this.#ports.timers.after(timeoutMs, () => answer(null));
      const answer = (message: ExaminationMessage | null): void => {
        cancel();
        this.#waiting.delete(id);
        resolve(message);
      };
      this.#waiting.set(id, { peer, kind, answer });
      this.#ports.send(peer, encodeExamination({ ...question, id }));
    });
  }

  #tell(peer: PeerId, message: ExaminationMessage): void {
    if (!this.#stopped) this.#ports.send(peer, encodeExamination(message));
  }

  #answered(peer: PeerId, message: ExaminationMessage): void {
    const waiting = this.#waiting.get(message.id);
    if (waiting?.peer === peer && waiting.kind === message.kind) waiting.answer(message);
    else this.drops.unexpected++;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#timers.delete(cancel);
        resolve();
      };
      const cancel = this.#ports.timers.after(ms, done);
      this.#timers.add(cancel);
    });
  }
}
