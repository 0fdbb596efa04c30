// Makes this host's leases from its identity, the address plan and what it keeps durably; their messages go over the mesh.

import { formatIp } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { Gossip } from '../gossip/gossip.ts';
import { Ipam } from '../ipam/ipam.ts';
import { LEASE_MS_DEFAULT } from '../ipam/reclaim/voting.ts';
import type { IpamEvents, IpamOptions } from '../ipam/types.ts';
import type { Directory } from './directory.ts';
import type { NetworkFacts } from './genesis.ts';
import { HOST_OWNER } from './host-place.ts';
import type { MemberOptions } from './member-options.ts';

type IpamPorts = Pick<IpamOptions, 'identityKeyOf'> &
  Required<Pick<IpamEvents, 'recordsChanged' | 'votesChanged' | 'changed'>> & {
    /** The address of the host itself belongs to another host now. */
    hostAddressLost(): void;
    /** Who is there, and how much is known of them: asked later, because the parts know each other. */
    readonly member: {
      readonly directory: Pick<Directory, 'peers' | 'attachments'>;
      readonly gossip: Pick<Gossip, 'version'>;
      isAlive(peer: PeerId): boolean;
    };
  };

/** Throws `state-damaged`. */
export function openIpam(
  options: MemberOptions,
  { plan }: NetworkFacts,
  { identityKeyOf, hostAddressLost, member, ...events }: IpamPorts,
): Ipam {
  const { identity, settings, clock, random, crypto, store, log, mesh } = options;
  const { keys } = identity;
  return new Ipam({
    self: keys.peer,
    plan,
    sign: crypto.ed25519Signer(keys.identitySeed),
    identityKeyOf,
    crypto,
    clock,
    random,
    store,
    log,
    send: (peer, bytes) => mesh.send(peer, 'lease', bytes),
    candidates: () => mesh.linkedPeers(),
    voting: {
      leaseMs: settings.leaseTimeMs ?? LEASE_MS_DEFAULT,
      peers: () => [...new Set([keys.peer, ...member.directory.peers().map(([peer]) => peer)])],
      isAlive: (peer) => peer === keys.peer || member.isAlive(peer),
      versionOf: (peer) => member.gossip.version(peer),
      claimsOf: (peer) => member.directory.attachments(peer).flatMap(({ ips }) => ips),
    },
    events: {
      ...events,
      conflict: ({ ip, owner, holder }) => {
        log.error('an address of ours belongs to another host now', { ip: formatIp(ip), owner, peer: holder });
        if (owner === HOST_OWNER) hostAddressLost();
      },
    },
  });
}
