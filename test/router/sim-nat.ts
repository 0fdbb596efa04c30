// A NAT on the simulated network, as RFC 4787 describes them: it lets in only answers (address- and port-dependent filtering) and forgets
// what was idle for 30 s. A cone keeps one port per host, a symmetric one gives each destination another.

import { type Endpoint, formatEndpoint } from '../../src/base/endpoint.ts';

export const MAPPING_MS = 30_000;

interface Mapping {
  readonly inside: Endpoint;
  readonly outside: Endpoint;
  readonly remote: string;
  usedMs: number;
}

export class SimNat {
  readonly ip: string;
  readonly #symmetric: boolean;
  #mappings: Mapping[] = [];
  #nextPort = 40_001;

  constructor(ip: string, { symmetric = false } = {}) {
    this.ip = ip;
    this.#symmetric = symmetric;
  }

  /** What the other side sees as the source. */
  outgoing(inside: Endpoint, remote: Endpoint, nowMs: number): Endpoint {
    this.#forget(nowMs);
    const ofHost = this.#mappings.filter((one) => formatEndpoint(one.inside) === formatEndpoint(inside));
    const known = ofHost.find((one) => one.remote === formatEndpoint(remote));
    if (known !== undefined) {
      known.usedMs = nowMs;
      return known.outside;
    }
    const kept = this.#symmetric ? undefined : ofHost[0]?.outside;
    const outside = kept ?? { ip: this.ip, port: this.#nextPort++ };
    this.#mappings.push({ inside, outside, remote: formatEndpoint(remote), usedMs: nowMs });
    return outside;
  }

  /** Where it goes on to; undefined: it is dropped. */
  incoming(remote: Endpoint, outside: Endpoint, nowMs: number): Endpoint | undefined {
    this.#forget(nowMs);
    return this.#mappings.find(
      (one) => one.remote === formatEndpoint(remote) && formatEndpoint(one.outside) === formatEndpoint(outside),
    )?.inside;
  }

  /** It was restarted: other ports from now on. */
  reset(): void {
    this.#mappings = [];
    this.#nextPort += 1_000;
  }

  #forget(nowMs: number): void {
    this.#mappings = this.#mappings.filter(({ usedMs }) => nowMs - usedMs < MAPPING_MS);
  }
}
