// The calls of the local API behind `fabric dns` (docs/openapi.json). Listing is a part of status.

import { FabricError } from '../base/errors.ts';
import { NAME_TARGETS_MAX } from '../gossip/record-codec.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Names } from './names.ts';

export function dnsRoutes(names: Pick<Names, 'add' | 'remove' | 'lookup'>): ApiRoutes {
  return {
    'POST /v1/dns/add': ({ body }) => {
      const { name, ips } = nameAndAddresses(body);
      if (ips.length === 0) throw malformed('no address is given');
      names.add(name, ips);
    },
    'POST /v1/dns/remove': ({ body }) => {
      const { name, ips } = nameAndAddresses(body);
      names.remove(name, ips);
    },
    'POST /v1/dns/lookup': ({ body }) => ({ found: names.lookup(nameAndAddresses(body).name) }),
  };
}

function nameAndAddresses(body: unknown): { readonly name: string; readonly ips: readonly string[] } {
  const { name, ips = [] } = (body ?? {}) as Readonly<Record<string, unknown>>;
  const isList = Array.isArray(ips) && ips.length <= NAME_TARGETS_MAX && ips.every((ip) => typeof ip === 'string');
  if (typeof name !== 'string' || !isList) throw malformed('the request is malformed');
  return { name, ips };
}

function malformed(what: string): FabricError {
  return new FabricError('usage', { what });
}
