// Where this host listens, and where it tells peers to find it.

import { existsSync } from 'node:fs';
import { type Endpoint, makeEndpoint } from '../base/endpoint.ts';
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
