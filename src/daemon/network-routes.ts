// The calls of the local API behind `fabric network` (docs/openapi.json). Listing is a part of status.

import { type Cidr, parseCidr } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME } from '../base/ids.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Networks } from './networks.ts';

/** Of a name with an id behind it. */
const NAME_CHARS_MAX = 80;

export function networkRoutes({
  networks,
}: {
  readonly networks: Pick<Networks, 'create' | 'remove' | 'labelOf'>;
}): ApiRoutes {
  return {
    'POST /v1/network/create': async ({ body }) => {
      const { name, range, range6, leasePrefix, internal } = (body ?? {}) as Readonly<Record<string, unknown>>;
      if (typeof name !== 'string') throw malformed('the network has no name');
      const network = await networks.create({
        name,
        range: range === undefined ? null : blockOf(range, 4),
        range6: range6 === undefined ? null : range6 === 'off' ? 'off' : blockOf(range6, 6),
        leasePrefix: leasePrefix === undefined ? null : prefixOf(leasePrefix),
        internal: internal === true,
      });
      return { name: networks.labelOf(network.id), id: network.id };
    },
    'POST /v1/network/remove': ({ body }) => {
      const { name } = (body ?? {}) as Readonly<Record<string, unknown>>;
      networks.remove(networkNameOf(name));
    },
  };
}

/** The network that a call names; the default one where it names none. */
export function networkNameOf(value: unknown): string {
  if (value === undefined) return DEFAULT_NETWORK_NAME;
  if (typeof value === 'string' && value.length > 0 && value.length <= NAME_CHARS_MAX) return value;
  throw malformed('the network is malformed');
}

function blockOf(value: unknown, family: 4 | 6): Cidr {
  const block = typeof value === 'string' ? parseCidr(value) : null;
  if (block?.family === family) return block;
  throw malformed(`${String(value)} is no IPv${family} range`);
}

function prefixOf(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 32) return value;
  throw malformed(`${String(value)} is no prefix length`);
}

function malformed(what: string): FabricError {
  return new FabricError('usage', { what });
}
