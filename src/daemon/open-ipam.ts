// Makes this host's leases of one space from its identity, the address plan and what it keeps durably; their messages go over the mesh.

import { formatIp } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { Gossip } from '../gossip/gossip.ts';
import type { PeerLiveness } from '../gossip/peer-liveness.ts';
import type { HostKeys } from '../host/identity-file.ts';
import { Ipam } from '../ipam/ipam.ts';
import type { AddressPlan } from '../ipam/plan.ts';
import { LEASE_MS_DEFAULT } from '../ipam/reclaim/voting.ts';
import type { IpamEvents, IpamOptions, VotingFacts } from '../ipam/types.ts';
import type { Directory } from './directory.ts';
import { HOST_OWNER } from './host-place.ts';
import type { MemberOptions, MeshPort } from './member-options.ts';
import type { Settings } from './settings.ts';

export type SpaceOptions = Pick<MemberOptions, 'clock' | 'random' | 'crypto' | 'store' | 'log'> & {
  readonly identity: { readonly keys: Pick<HostKeys, 'peer' | 'identitySeed'> };
  readonly mesh: Pick<MeshPort, 'send' | 'linkedPeers'>;
  readonly settings: Pick<Settings, 'leaseTimeMs'>;
};

/** The default network's leases run the voting about hosts that are gone, named networks take part, the space of ids does not. */
export type VotingRole = 'runs' | 'none' | { readonly votersOf: Ipam };

export type IpamPorts = Pick<IpamOptions, 'identityKeyOf' | 'asksEarly'> &
  Required<Pick<IpamEvents, 'recordsChanged' | 'votesChanged' | 'changed'>> & {
    readonly voting: VotingRole;
    /** The address of the host itself belongs to another host now. */
    hostAddressLost(): void;
    /** Who is there, and how much is known of them: asked later, because the parts know each other. */
    readonly member: {
      readonly directory: Pick<Directory, 'peers' | 'attachments'>;
      readonly gossip: Pick<Gossip, 'version'>;
      readonly neighbourhood: { readonly liveness: Pick<PeerLiveness, 'lastSeenMs'> };
      isAlive(peer: PeerId): boolean;
      /** See OwnPresence. */
      isPublished(): boolean;
    };
  };

/** Throws `state-damaged`. */
export function openIpam(
  options: SpaceOptions,
  plan: AddressPlan,
  { identityKeyOf, asksEarly, voting, hostAddressLost, member, votesChanged, ...events }: IpamPorts,
): Ipam {
  const { identity, clock, random, crypto, store, log, mesh } = options;
  const { keys } = identity;
  return new Ipam({
    self: keys.peer,
    plan,
    sign: crypto.ed25519Signer(keys.identitySeed),
    identityKeyOf,
    asksEarly,
    crypto,
    clock,
    random,
    store,
    log,
    send: (peer, bytes) => mesh.send(peer, 'lease', bytes),
    candidates: () => mesh.linkedPeers(),
    isAlive: (peer) => member.isAlive(peer),
    ...(voting === 'runs' ? { voting: votingFacts(options, member) } : voting === 'none' ? {} : voting),
    events: {
      ...events,
      votesChanged,
      conflict: ({ ip, owner, holder }) => {
        log.error('an address of ours belongs to another host now', { ip: formatIp(ip), owner, peer: holder });
        if (owner === HOST_OWNER) hostAddressLost();
      },
    },
  });
}

function votingFacts({ identity, settings, clock }: SpaceOptions, member: IpamPorts['member']): VotingFacts {
  const self = identity.keys.peer;
  const startedMs = clock.monotonicMs();
  return {
    leaseMs: settings.leaseTimeMs ?? LEASE_MS_DEFAULT,
    peers: () => [...new Set([self, ...member.directory.peers().map(([peer]) => peer)])],
    isAlive: (peer) => peer === self || member.isAlive(peer),
    unseenMs: (peer) => member.neighbourhood.liveness.lastSeenMs(peer) ?? clock.monotonicMs() - startedMs,
    versionOf: (peer) => member.gossip.version(peer),
    isPublished: () => member.isPublished(),
    claimsOf: (peer, network) =>
      member.directory.attachments(peer).flatMap((claim) => (claim.network === network ? claim.ips : [])),
  };
}
