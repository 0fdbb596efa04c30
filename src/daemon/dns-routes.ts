// The calls of the local API behind `fabric dns` (docs/openapi.json). Listing is a part of status.

import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME } from '../base/ids.ts';
import { NAME_TARGETS_MAX } from '../gossip/record-codec.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Names } from './names.ts';

export function dnsRoutes(names: Pick<Names, 'add' | 'remove' | 'lookup'>): ApiRoutes {
  return {
    'POST /v1/dns/add': ({ body }) => {
      const { network, name, ips } = nameAndAddresses(body);
      if (ips.length === 0) throw malformed('no address is given');
      names.add(network, name, ips);
    },
    'POST /v1/dns/remove': ({ body }) => {
      const { network, name, ips } = nameAndAddresses(body);
      names.remove(network, name, ips);
    },
    'POST /v1/dns/lookup': ({ body }) => {
      const { network, name } = nameAndAddresses(body);
      return { found: names.lookup(network, name) };
    },
  };
}

function nameAndAddresses(body: unknown): {
  readonly network: string;
  readonly name: string;
  readonly ips: readonly string[];
} {
  const { network = DEFAULT_NETWORK_NAME, name, ips = [] } = (body ?? {}) as Readonly<Record<string, unknown>>;
  const isList = Array.isArray(ips) && ips.length <= NAME_TARGETS_MAX && ips.every((ip) => typeof ip === 'string');
  if (typeof network !== 'string' || typeof name !== 'string' || !isList) throw malformed('the request is malformed');
  return { network, name, ips };
}

function malformed(what: string): FabricError {
  return new FabricError('usage', { what });
}
