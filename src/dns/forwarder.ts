// Asks the host's own name servers what is not ours to answer. One question is asked once, however many wait for it; each try has a
// random id and a socket of its own (RFC 5452 §9), and only an answer to that id and question is believed. Servers are tried in
// turn, two rounds at most; what none answers in time is SERVFAIL. Bounded: questions under way, those who wait, and per asker.

import type { Cancel, Clock, Random, Timers } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { AnswerCache } from './answer-cache.ts';
import type { Query } from './query.ts';
import { encodeQuestion } from './response.ts';
import { FLAG, HEADER_BYTES, questionKey, RCODE, walkMessage } from './wire.ts';

/** A server on a far continent answers within; after this the next one is asked. */
export const TRY_MS = 1_500;
/** A stub resolver gives up after 5 s (resolv.conf(5)): later answers help nobody. */
export const ANSWER_WITHIN_MS = 4_500;
const ROUNDS_MAX = 2;
export const QUESTIONS_MAX = 512;
/** Of one asker at once: one container must not take all of the above. */
export const QUESTIONS_PER_ASKER_MAX = 64;
const WAITING_MAX = 256;

export interface Upstreams {
  /** Best first; never ourselves. */
  servers(): readonly Endpoint[];
  /**
   * Sends a message from a fresh socket. `received` may be called often: anybody can send to an open port, so the caller looks at
   * each and cancels when it has what it wants. `failed` comes at most once, and nothing after it.
   */
  exchange(request: {
    readonly server: Endpoint;
    readonly transport: 'udp' | 'tcp';
    readonly message: Uint8Array;
    received(message: Uint8Array): void;
    failed(): void;
  }): Cancel;
}

export interface ForwarderPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly upstreams: Upstreams;
}

export interface ForwarderCounters {
  cached: number;
  forwarded: number;
  /** Answers to another id or question than ours. */
  mismatched: number;
  /** No server answered in time. */
  timedOut: number;
  /** A bound was reached. */
  refusedBusy: number;
  noServer: number;
}

/** The answer with the question and id of who asked, or null: SERVFAIL. */
type Done = (answer: Uint8Array | null) => void;

interface Waiter {
  readonly asker: string;
  readonly query: Query;
  readonly done: Done;
}

interface Flight {
  readonly key: string;
  readonly query: Query;
  readonly waiters: Waiter[];
  readonly servers: readonly Endpoint[];
  readonly deadline: Cancel;
  tries: number;
  /** A server's SERVFAIL or the like: passed on when no other server does better. */
  refusal: Uint8Array | null;
  endTry: Cancel;
}

export class Forwarder {
  readonly counters: ForwarderCounters = {
    cached: 0,
    forwarded: 0,
    mismatched: 0,
    timedOut: 0,
    refusedBusy: 0,
    noServer: 0,
  };
  readonly #ports: ForwarderPorts;
  readonly #cache: AnswerCache;
  readonly #flights = new Map<string, Flight>();
  readonly #perAsker = new Map<string, number>();

  constructor(ports: ForwarderPorts) {
    this.#ports = ports;
    this.#cache = new AnswerCache(ports.clock);
  }

  /** `done` is called exactly once, unless {@link stop} comes first; also from within this call. */
  ask(asker: string, query: Query, done: Done): void {
    const key = `${query.repeatedFlags}/${query.edns === null ? '' : Number(query.edns.dnssecOk)}/${questionKey(query.question)}`;
    const cached = this.#cache.get(key);
    if (cached !== null) {
      this.counters.cached++;
      done(addressedTo(query, cached));
      return;
    }
    const flight = this.#flights.get(key);
    const underWay = this.#perAsker.get(asker) ?? 0;
    const full = flight === undefined ? this.#flights.size >= QUESTIONS_MAX : flight.waiters.length >= WAITING_MAX;
    if (full || underWay >= QUESTIONS_PER_ASKER_MAX) {
      this.counters.refusedBusy++;
      done(null);
      return;
    }
    const waiter: Waiter = { asker, query, done };
    if (flight !== undefined) {
      this.#perAsker.set(asker, underWay + 1);
      flight.waiters.push(waiter);
      return;
    }
    const servers = this.#ports.upstreams.servers();
    if (servers.length === 0) {
      this.counters.noServer++;
      done(null);
      return;
    }
    this.#perAsker.set(asker, underWay + 1);
    this.#start({ key, query, servers, waiters: [waiter] });
  }

  /** Ends what is under way without an answer. */
  stop(): void {
    for (const { endTry, deadline } of this.#flights.values()) {
      endTry();
      deadline();
    }
    this.#flights.clear();
    this.#perAsker.clear();
  }

  get underWay(): number {
    return this.#flights.size;
  }

  #start(facts: Pick<Flight, 'key' | 'query' | 'servers' | 'waiters'>): void {
    this.counters.forwarded++;
    const deadline = this.#ports.timers.after(ANSWER_WITHIN_MS, () => this.#finish(flight, null));
    const flight: Flight = { ...facts, deadline, tries: 0, refusal: null, endTry: () => undefined };
    this.#flights.set(facts.key, flight);
    this.#nextServer(flight);
  }

  #nextServer(flight: Flight): void {
    flight.endTry();
    if (flight.tries < flight.servers.length * ROUNDS_MAX) {
      this.#try(flight, flight.servers[flight.tries++ % flight.servers.length]!, 'udp');
    } else this.#finish(flight, null);
  }

  #try(flight: Flight, server: Endpoint, transport: 'udp' | 'tcp'): void {
    const { timers, random, upstreams } = this.#ports;
    const [high, low] = random.bytes(2);
    const id = (high! << 8) | low!;
    // The last one has the rest of the time: nobody is left to ask, and who asked waits anyway.
    const isLast = flight.tries >= flight.servers.length * ROUNDS_MAX;
    const cancelTimer = isLast ? () => undefined : timers.after(TRY_MS, () => this.#nextServer(flight));
    let cancelExchange: Cancel = () => undefined;
    let over = false;
    flight.endTry = () => {
      over = true;
      cancelTimer();
      cancelExchange();
    };
    const cancel = upstreams.exchange({
      server,
      transport,
      message: encodeQuestion(flight.query, id),
      received: (bytes) => {
        if (!over) this.#received(flight, { server, transport, id, bytes });
      },
      failed: () => {
        if (!over) this.#nextServer(flight);
      },
    });
    if (over) cancel();
    else cancelExchange = cancel;
  }

  #received(
    flight: Flight,
    { server, transport, id, bytes }: { server: Endpoint; transport: 'udp' | 'tcp'; id: number; bytes: Uint8Array },
  ): void {
    const message = walkMessage(bytes);
    const isAnswer = message !== null && (message.flags & FLAG.response) !== 0 && message.id === id;
    if (!isAnswer || questionKey(message.question) !== questionKey(flight.query.question)) {
      this.counters.mismatched++;
    } else if ((message.flags & FLAG.truncated) !== 0 && transport === 'udp') {
      flight.endTry();
      this.#try(flight, server, 'tcp');
    } else if (message.rcode === RCODE.noError || message.rcode === RCODE.nxDomain) {
      this.#cache.put(flight.key, bytes, message);
      this.#finish(flight, bytes);
    } else {
      flight.refusal = new Uint8Array(bytes);
      this.#nextServer(flight);
    }
  }

  /** With the answer that is believed, or with null: then a refusal, if there was one, is the answer. */
  #finish(flight: Flight, believed: Uint8Array | null): void {
    flight.endTry();
    flight.deadline();
    this.#flights.delete(flight.key);
    const answer = believed ?? flight.refusal;
    if (answer === null) this.counters.timedOut++;
    for (const { asker, query, done } of flight.waiters) {
      const left = this.#perAsker.get(asker)! - 1;
      if (left === 0) this.#perAsker.delete(asker);
      else this.#perAsker.set(asker, left);
      done(answer === null ? null : addressedTo(query, answer));
    }
  }
}

/** A copy with that query's id and its question as it was spelt. */
function addressedTo({ id, question }: Query, answer: Uint8Array): Uint8Array {
  const copy = new Uint8Array(answer); // slice of a Buffer would be a view
  copy[0] = id >> 8;
  copy[1] = id & 0xff;
  copy.set(question, HEADER_BYTES);
  return copy;
}
