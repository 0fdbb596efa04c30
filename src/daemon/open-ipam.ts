// Makes this host's leases from its identity, the address plan and what it keeps durably; their messages go over the mesh.

import { formatIp } from '../base/address.ts';
import { Ipam } from '../ipam/ipam.ts';
import { LEASE_MS_DEFAULT } from '../ipam/reclaim/voting.ts';
import type { IpamEvents, IpamOptions, VotingFacts } from '../ipam/types.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';

type IpamPorts = Pick<IpamOptions, 'identityKeyOf'> &
  Required<Pick<IpamEvents, 'recordsChanged' | 'votesChanged' | 'changed'>> & {
    /** Who is there, and how much is known of them. */
    readonly cluster: Omit<VotingFacts, 'leaseMs'>;
  };

/** Throws `state-damaged`. */
export function openIpam(
  options: MemberOptions,
  { plan }: NetworkFacts,
  { identityKeyOf, cluster, ...events }: IpamPorts,
): Ipam {
  const { identity, settings, clock, random, crypto, store, log, mesh } = options;
  const { keys } = identity;
  return new Ipam({
    self: keys.peer,
    plan,
    sign: (bytes) => crypto.ed25519Sign(keys.identitySeed, bytes),
    identityKeyOf,
    crypto,
    clock,
    random,
    store,
    log,
    send: (peer, bytes) => mesh.send(peer, 'lease', bytes),
    candidates: () => mesh.linkedPeers(),
    voting: { ...cluster, leaseMs: settings.leaseTimeMs ?? LEASE_MS_DEFAULT },
    events: {
      ...events,
      conflict: ({ ip, owner, holder }) =>
        log.error('an address of ours belongs to another host now', { ip: formatIp(ip), owner, peer: holder }),
    },
  });
}
