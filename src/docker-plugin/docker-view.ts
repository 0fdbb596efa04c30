// What Docker's API says, read into plain values: its networks with all endpoints that it knows of, a container's names, and whether
// an event is one to look again for. Docker is asked in the background only, never while it waits for the driver.

import type { DockerNetwork } from './docker-networks.ts';
import { type Fields, fieldsOf, flagOf, listOf, textOf, textsOf } from './messages.ts';

/** Of both together a container may have as many as CNI gives: more are left out. */
const ALIASES_MAX = 32;

export interface EndpointView {
  readonly id: string;
  /** Null: it belongs to no container (yet). */
  readonly containerId: string | null;
}

export interface ContainerNames {
  readonly name: string;
  /** By endpoint: Docker keeps aliases per network. */
  readonly byEndpoint: ReadonlyMap<string, readonly string[]>;
}

/** Ids of the networks of `GET /networks`. Throws `usage` when it is no such list, as all functions here. */
export function readNetworkIds(value: unknown): readonly string[] {
  return listOf({ networks: value }, 'networks').map((network) => textOf(network, 'Id'));
}

/** Of `GET /networks/ID`. */
export function readNetwork(value: unknown): {
  readonly network: Omit<DockerNetwork, 'vni'>;
  readonly endpoints: EndpointView[];
} {
  const fields = fieldsOf(value, 'network');
  const pools = listOf(fieldsOf(fields.IPAM, 'IPAM'), 'Config');
  const containers = fieldsOf(fields.Containers, 'Containers');
  const endpoints = Object.entries(containers).map(([key, endpoint]) => {
    const id = textOf(fieldsOf(endpoint, key), 'EndpointID');
    return { id, containerId: key === `ep-${id}` ? null : key };
  });
  const network = {
    id: textOf(fields, 'Id'),
    network: textOf(fieldsOf(fields.Options, 'Options'), 'network'),
    isInternal: flagOf(fields, 'Internal'),
    auxiliary: pools.flatMap((pool) => textsOf(pool, 'AuxiliaryAddresses')),
  };
  return { network, endpoints };
}

/** Of `GET /containers/ID/json`. */
export function readContainer(value: unknown): ContainerNames {
  const fields = fieldsOf(value, 'container');
  const hostname = textOf(fieldsOf(fields.Config, 'Config'), 'Hostname');
  const networks = fieldsOf(fieldsOf(fields.NetworkSettings, 'NetworkSettings').Networks, 'Networks');
  const byEndpoint = new Map<string, readonly string[]>();
  for (const settings of Object.values(networks).map((entry) => fieldsOf(entry, 'network'))) {
    const aliases = namesOf(settings, 'Aliases');
    byEndpoint.set(
      textOf(settings, 'EndpointID'),
      [...new Set([...aliases, ...(hostname === '' ? [] : [hostname])])].slice(0, ALIASES_MAX),
    );
  }
  return { name: textOf(fields, 'Name').replace(/^\//, ''), byEndpoint };
}

/** What an event says of a container; null for all others. */
export function readContainerEvent(
  value: unknown,
): { readonly what: 'renamed' | 'removed'; readonly containerId: string } | null {
  const event = fieldsOf(value, 'event');
  const what = event.Action === 'rename' ? 'renamed' : event.Action === 'destroy' ? 'removed' : null;
  if (event.Type !== 'container' || what === null) return null;
  return { what, containerId: textOf(fieldsOf(event.Actor, 'Actor'), 'ID') };
}

function namesOf(fields: Fields, key: string): readonly string[] {
  const value = fields[key] ?? [];
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === 'string' && name !== '') : [];
}
