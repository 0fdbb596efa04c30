// Where this host listens, where it tells peers to find it, and what it tells the operator of the next one.

import { existsSync } from 'node:fs';
import { type Endpoint, formatEndpoint, MESH_PORT_DEFAULT, makeEndpoint } from '../base/endpoint.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { Settings } from './settings.ts';

/** What the operator said: to advertise, else to listen on; else what the host's interfaces show. */
export async function ownEndpoints(
  { advertise, port, listen }: Settings,
  host: Pick<HostNetwork, 'underlayAddresses'>,
): Promise<readonly Endpoint[]> {
  const specific = listen !== null && listen !== '::' && listen !== '0.0.0.0' ? [listen] : [];
  const found = [...advertise, ...specific];
  if (found.length === 0) found.push(...(await host.underlayAddresses()).map(({ ip }) => ip));
  return found.flatMap((ip) => makeEndpoint(ip, port) ?? []);
}

/** All addresses of both families, where the kernel has both. */
export function listenAddress({ listen }: Settings): string {
  return listen ?? (existsSync('/proc/net/if_inet6') ? '::' : '0.0.0.0');
}

/** What makes the next host a member, given the address that this one advertises first; undefined: it knows none. */
export function joinLine(endpoint: Endpoint | undefined, { certificates }: Pick<Settings, 'certificates'>): string {
  const needed =
    certificates === undefined || certificates.ca === null ? '' : ' --ca CA.pem --cert HOST.pem --key HOST.key';
  return `fabric launch --join ${endpoint === undefined ? 'THIS-HOST' : shortest(endpoint)} --token-file -${needed}`;
}

function shortest(endpoint: Endpoint): string {
  return endpoint.port === MESH_PORT_DEFAULT ? endpoint.ip : formatEndpoint(endpoint);
}
