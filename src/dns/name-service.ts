// The name server without its sockets: a message and who sent it to which of our addresses in, an answer out. Each network is asked at
// its own gateway. Only askers on that network are served, and only its names and those of other networks that the asking container
// is in; nobody else gets more than REFUSED, so this is no open resolver. What is not ours is asked of the host's own servers.
// Bad input is counted and never throws.

import { cidrHasIp, parseIp } from '../base/address.ts';
import type { Forwarder, ForwarderCounters } from './forwarder.ts';
import { type Query, readQuery } from './query.ts';
import { encodeAnswer, encodeError, encodeHeader, encodeMalformed } from './response.ts';
import { FLAG, RCODE } from './wire.ts';
import { answerFromAll, type ServedNetwork } from './zone-answers.ts';

export interface NameServicePorts {
  /** Whose names are served at that address, canonical text; null: nobody's. */
  networkAt(server: string): ServedNetwork | null;
  readonly forwarder: Pick<Forwarder, 'ask' | 'counters' | 'stop'>;
  /** The further networks of the container of this host that has that address in `network`; null: none has it. */
  furtherNetworks(network: ServedNetwork, ip: string): readonly ServedNetwork[] | null;
}

export interface Asker {
  /** Source address, canonical text. */
  readonly ip: string;
  /** Which of our addresses was asked, canonical text. */
  readonly server: string;
  readonly transport: 'udp' | 'tcp';
}

export interface NameCounters extends ForwarderCounters {
  queries: number;
  /** Answered from our own zones. */
  own: number;
  malformed: number;
  /** From an address that is not on the network that was asked. */
  strangers: number;
  /** Kinds of questions that are not served: transfers, updates, other classes. */
  unserved: number;
}

export class NameService {
  readonly #ports: NameServicePorts;
  readonly #counters = { queries: 0, own: 0, malformed: 0, strangers: 0, unserved: 0 };

  constructor(ports: NameServicePorts) {
    this.#ports = ports;
  }

  get counters(): NameCounters {
    return { ...this.#counters, ...this.#ports.forwarder.counters };
  }

  /** `reply` is called at most once, now or later. Neither argument is kept. */
  handle(message: Uint8Array, asker: Asker, reply: (answer: Uint8Array) => void): void {
    const read = readQuery(message, asker.transport);
    if (read.kind === 'ignored') {
      this.#counters.malformed++;
      return;
    }
    this.#counters.queries++;
    const network = this.#networkOf(asker);
    if (network === null) {
      this.#counters.strangers++;
      reply(read.kind === 'malformed' ? encodeMalformed(read.id) : encodeError(read.query, RCODE.refused));
      return;
    }
    if (read.kind === 'malformed') {
      this.#counters.malformed++;
      reply(encodeMalformed(read.id));
      return;
    }
    if (read.kind === 'error') {
      this.#counters.unserved++;
      reply(encodeError(read.query, read.rcode));
      return;
    }
    const { query } = read;
    const others = () => this.#ports.furtherNetworks(network, asker.ip) ?? [];
    const own = answerFromAll(network, others, query);
    if (own !== null) {
      this.#counters.own++;
      reply(encodeAnswer(query, own));
      return;
    }
    this.#forward(asker, query, reply);
  }

  stop(): void {
    this.#ports.forwarder.stop();
  }

  /** Without "recursion desired" the asker wants nobody else asked (RFC 1035 §4.1.1). */
  #forward(asker: Asker, query: Query, reply: (answer: Uint8Array) => void): void {
    if ((query.repeatedFlags & FLAG.recursionDesired) === 0) {
      this.#counters.unserved++;
      reply(encodeError(query, RCODE.refused));
      return;
    }
    this.#ports.forwarder.ask(asker.ip, query, (answer) => {
      reply(answer === null ? encodeError(query, RCODE.servFail) : fitted(query, answer));
    });
  }

  /** The one that was asked, if the asker is on it: in its range, or where another IPAM plugin put a container outside of that. */
  #networkOf(asker: Asker): ServedNetwork | null {
    const ip = parseIp(asker.ip);
    const network = this.#ports.networkAt(asker.server);
    if (ip === null || network === null) return null;
    const block = ip.family === 4 ? network.range : network.range6;
    const isOn = (block !== null && cidrHasIp(block, ip)) || this.#ports.furtherNetworks(network, asker.ip) !== null;
    return isOn ? network : null;
  }
}

/** Another server's answer; where it does not fit, only that it would be larger. */
function fitted(query: Query, answer: Uint8Array): Uint8Array {
  if (answer.length <= query.answerBytesMax) return answer;
  const flags = (answer[2]! << 8) | answer[3]! | FLAG.truncated;
  const header = encodeHeader(query.id, flags, [1, 0, 0, 0]);
  const short = new Uint8Array(header.length + query.question.length);
  short.set(header);
  short.set(query.question, header.length);
  return short;
}
