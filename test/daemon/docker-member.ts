// What Docker is served from on a host in memory that is in two fabric networks: the default one and `blue`.

import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import { type NetworkFacts, namedNetworkFacts } from '../../src/daemon/genesis.ts';
import { BLUE_VNI, setUp } from './attachments-world.ts';

const CREATOR = { creator: 'aa'.repeat(16) as PeerId, gatewayMac: '02:00:00:00:00:fe' as Mac };
const LEASES = { range6: null, leasePrefix: 24, leasePrefix6: 64 };

export function factsOf(network: Vni, range: string, internal = false): NetworkFacts {
  const facts = namedNetworkFacts({ network, name: 'any', range, internal, ...LEASES }, CREATOR);
  if (facts === null) throw new Error(`${range} is no range of a network`);
  return facts;
}

/** `facts`: networks by name, which a test changes; `seen`: what was asked of networks. */
export function dockerMember(world = setUp()) {
  const { attachments, entries: attachmentEntries, reservations, store } = world;
  const facts = new Map([
    ['fabric', factsOf(DEFAULT_VNI, '10.32.0.0/12')],
    ['blue', factsOf(BLUE_VNI, '10.128.0.0/16')],
  ]);
  const seen = { woken: 0, up: new Set<Vni>(), refusal: null as Error | null };
  const find = (name: string): { readonly facts: NetworkFacts } | null => {
    const found = facts.get(name);
    return found === undefined ? null : { facts: found };
  };
  const networks = {
    find,
    named: (name: string) => {
      const found = find(name);
      if (found !== null) return found;
      throw new FabricError('network-unknown', { what: `there is no network ${name}` });
    },
    maintainLeases: () => void seen.woken++,
  };
  const networkPresence = {
    enter: async (vni: Vni) => {
      if (seen.refusal !== null) throw seen.refusal;
      seen.up.add(vni);
    },
    left: (vni: Vni) => void seen.up.delete(vni),
  };
  return { member: { networkPresence, networks, attachments, attachmentEntries, reservations, store }, facts, seen };
}
