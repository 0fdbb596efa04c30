// The host's own name servers, from /etc/resolv.conf: read again when it changed, because DHCP clients and VPNs rewrite it at any
// time. resolv.conf(5).

import { readFileSync, statSync } from 'node:fs';
import { type Endpoint, makeEndpoint } from '../../base/endpoint.ts';

const PATH = '/etc/resolv.conf';
const NAME_PORT = 53;
/** As many as the C library asks (MAXNS). */
const SERVERS_MAX = 3;

/** What the C library asks where the file names nobody. */
const LOCAL: readonly Endpoint[] = [{ ip: '127.0.0.1', port: NAME_PORT }];

export class ResolvConf {
  readonly #path: string;
  #stamp = '';
  #servers: readonly Endpoint[] = LOCAL;
  /** Why the file could not be read the last time, in words; null when it could, or is not there. */
  fault: string | null = null;

  constructor(path: string = PATH) {
    this.#path = path;
  }

  /** Of the file as it is now, best first; without a file, the C library's default. Never throws: see {@link fault}. */
  servers(): readonly Endpoint[] {
    try {
      this.#readIfChanged();
      this.fault = null;
    } catch (error) {
      this.fault = (error as Error).message; // what it said before still holds
    }
    return this.#servers;
  }

  #readIfChanged(): void {
    const stat = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    const stamp = stat === undefined ? 'none' : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
    if (stamp === this.#stamp) return;
    this.#servers = stat === undefined ? LOCAL : parseResolvConf(readFileSync(this.#path, 'utf8'));
    this.#stamp = stamp;
  }
}

/** `nameserver` lines; addresses with a zone (`fe80::1%eth0`) are left out. */
export function parseResolvConf(text: string): readonly Endpoint[] {
  const servers = text.split('\n').flatMap((line) => {
    const address = /^nameserver\s+(\S+)/.exec(line)?.[1];
    const server = address === undefined ? null : makeEndpoint(address, NAME_PORT);
    return server === null ? [] : [server];
  });
  return servers.length === 0 ? LOCAL : servers.slice(0, SERVERS_MAX);
}
