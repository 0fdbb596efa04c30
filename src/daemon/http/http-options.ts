// Where the HTTP port listens: `--http ADDR:PORT|off`, checked and merged with what this host remembers. A wildcard is refused:
// the port shows every container of the cluster, and whoever opens it to more than this host says to whom.

import { isIP } from 'node:net';
import { type Endpoint, makeEndpoint, parseHostPort } from '../../base/endpoint.ts';
import { FabricError } from '../../base/errors.ts';

/** Weave Net's port too; with both on one host, one of them has to move. */
export const HTTP_DEFAULT: Endpoint = { ip: '127.0.0.1', port: 6784 };

export type HttpSetting = Endpoint | 'off';

/** Throws FabricError `usage`. */
export function checkHttpFlag(text: string): HttpSetting {
  if (text === 'off') return 'off';
  const wanted = parseHostPort(text, HTTP_DEFAULT.port);
  const host = wanted?.host === 'localhost' ? HTTP_DEFAULT.ip : wanted?.host;
  const endpoint = wanted === null || host === undefined || isIP(host) === 0 ? null : makeEndpoint(host, wanted.port);
  if (endpoint === null) {
    throw new FabricError('usage', {
      what: `--http ${text} is no address with a port`,
      fix: "Give for example 127.0.0.1:6784 or [::1]:6784, or 'off'",
    });
  }
  if (endpoint.ip !== '0.0.0.0' && endpoint.ip !== '::') return endpoint;
  throw new FabricError('usage', {
    what: `--http ${text} would be open to everybody`,
    why: 'it shows hosts, containers and their addresses',
    fix: 'Name one address of this host, from whose network it may be read',
  });
}
