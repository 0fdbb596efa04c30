// Makes the table of claims of one network: its ranges and gateway, and whom its addresses belong to.

import type { IpAddress } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import { type RoutePorts, Routes } from '../router/routes.ts';
import { type NetworkFacts, routeNetwork } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';

/** `ownerOf`: the host that owns an address, as far as proven; null outside the network. */
export function openRoutes(
  { clock }: Pick<MemberOptions, 'clock'>,
  facts: NetworkFacts,
  ports: Pick<RoutePorts, 'self' | 'isAlive' | 'apply' | 'moved'> & { ownerOf(ip: IpAddress): PeerId | null },
): Routes {
  return new Routes({
    ...ports,
    networks: [routeNetwork(facts)],
    nowMs: () => clock.monotonicMs(),
    ownerOf: (_network, ip) => ports.ownerOf(ip),
  });
}
