// Makes what announces foreign devices: the claims of all networks say which MAC may be one here.

import { ForeignDevices, type ForeignDevicesPorts } from './foreign-devices.ts';
import type { MemberOptions } from './member-options.ts';
import type { Networks } from './networks.ts';

interface Parts extends Pick<ForeignDevicesPorts, 'wake'> {
  /** Asked later, because the parts know each other. */
  presence(): ForeignDevicesPorts['claims'];
  readonly networks: Pick<Networks, 'get'>;
}

export function openForeignDevices(
  { clock, identity }: Pick<MemberOptions, 'clock' | 'identity'>,
  { presence, networks, wake }: Parts,
): ForeignDevices {
  return new ForeignDevices({
    clock,
    wake,
    claims: {
      publishClaim: (record) => presence().publishClaim(record),
      withdrawClaim: (network, mac) => presence().withdrawClaim(network, mac),
    },
    mayClaim: (id, mac) => {
      const network = networks.get(id);
      return network !== null && mac !== network.facts.gatewayMac && network.routes.mayClaimDevice(id, mac);
    },
    isHere: (id, mac) => networks.get(id)?.routes.ownerOfMac(id, mac) === identity.keys.peer,
  });
}
