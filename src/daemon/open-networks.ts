// Makes the networks of a member: the default one from its facts, named ones as records bring them, the leases of all of them,
// and their places in kernel and datapath.

import { DEFAULT_VNI, NETWORK_IDS_VNI, type PeerId, type Vni } from '../base/ids.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { AddressPlan } from '../ipam/plan.ts';
import type { TableChange } from '../router/datapath.ts';
import { AddressSpaces } from './address-spaces.ts';
import type { AttachmentEntry } from './attachment-store.ts';
import type { DatapathSlot } from './datapath-slot.ts';
import { LeaseNews } from './events/lease-news.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';
import { Network } from './network.ts';
import { NetworkPresence } from './network-presence.ts';
import { Networks, type NetworksPorts } from './networks.ts';
import { type IpamPorts, openIpam, type SpaceOptions, type VotingRole } from './open-ipam.ts';
import type { OwnRecords } from './own-records.ts';
import type { Settings } from './settings.ts';

export interface NetworksWiring
  extends Pick<NetworksPorts, 'directory' | 'mayAllocate' | 'wakeLeases'>,
    Pick<IpamPorts, 'votesChanged' | 'hostAddressLost' | 'member'> {
  readonly own: Pick<OwnRecords, 'publishNetwork' | 'publishNetworkRemoval' | 'replaceLeases'>;
  readonly slot: Pick<DatapathSlot, 'applyTables' | 'settle'>;
  identityKeyOf(peer: PeerId): Uint8Array | null;
  isAlive(peer: PeerId): boolean;
  floodListOf(network: Vni): TableChange;
  /** Changes of the default network's tables. */
  applyMain(changes: readonly TableChange[]): void;
  /** Containers and reservations of this host. */
  attachments(): readonly Pick<AttachmentEntry, 'vni' | 'key'>[];
  reservations(): readonly Pick<AttachmentEntry, 'vni' | 'key'>[];
  /** The networks in which this host has members have changed; see NetworkPresencePorts. */
  membersChanged(): Promise<void>;
}

/** Names its bridge: at most 12 of the 15 bytes of an interface's name, so that ports are named after it. */
export function bridgeOf(network: Vni): string {
  return `fabn${network}`;
}

export type NetworksOptions = SpaceOptions &
  Pick<MemberOptions, 'timers' | 'genesis' | 'dockerNetworksOf' | 'tell'> & {
    readonly host: Pick<HostNetwork, 'addNetwork' | 'removeNetwork' | 'datapathPortOf' | 'overlappingRoutes'>;
    readonly settings: Pick<Settings, 'bridge' | 'nickname' | 'leaseTimeMs'>;
  };

export function openNetworks(options: NetworksOptions, facts: NetworkFacts, wiring: NetworksWiring) {
  const { identity, timers, log, host, settings, genesis } = options;
  const { own, slot, isAlive, identityKeyOf, floodListOf, wakeLeases } = wiring;
  const spaces = new AddressSpaces();
  const openSpace = (plan: AddressPlan, changed: () => void) =>
    openIpam(options, plan, {
      identityKeyOf,
      // Of other networks a host leases addresses when its first container joins; Docker waits for none.
      asksEarly: () => plan.network === DEFAULT_VNI || options.dockerNetworksOf(plan.network).length > 0,
      recordsChanged: () => own.replaceLeases(spaces.records()),
      votesChanged: (entries) => wiring.votesChanged(entries),
      hostAddressLost: () => wiring.hostAddressLost(),
      member: wiring.member,
      voting: votingRole(plan.network),
      changed,
    });
  const votingRole = (network: Vni): VotingRole => {
    if (network === DEFAULT_VNI) return 'runs';
    // A network that a cut-off host made may be known to nobody: its id is never given to another one.
    return network === NETWORK_IDS_VNI ? 'none' : { votersOf: main.ipam };
  };
  const open = (of: NetworkFacts): Network => {
    const news = new LeaseNews(options.tell, () => (of.id === DEFAULT_VNI ? null : networks.labelOf(of.id)));
    const network: Network = new Network({
      self: identity.keys.peer,
      timers,
      clock: options.clock,
      facts: of,
      bridge: of.id === DEFAULT_VNI ? settings.bridge : bridgeOf(of.id),
      openIpam: (changed) => openSpace(of.plan, changed),
      isAlive,
      apply: (changes) => {
        if (of.id === DEFAULT_VNI) wiring.applyMain(changes);
        else if (presence.isUp(of.id)) slot.applyTables(changes);
      },
      moved: (what, at) => {
        const isHere = at === identity.keys.peer;
        const place = isHere ? 'this host' : wiring.directory.nameOf(at);
        const news = { kind: 'moved', what: `${what} has moved to ${place}`, subject: what } as const;
        options.tell(isHere ? news : { ...news, peer: at });
      },
      leasesSettled: () => news.changed(network.ipam.ownLeases()),
      wakeLeases,
    });
    return network;
  };
  const main: Network = open(facts);
  const networks: Networks = new Networks({
    options,
    main,
    spaces,
    directory: wiring.directory,
    own,
    mayAllocate: wiring.mayAllocate,
    openIpam: openSpace,
    openNetwork: open,
    wakeLeases,
    useHere: (network) => {
      const isIn = ({ vni }: Pick<AttachmentEntry, 'vni'>): boolean => vni === network;
      const used = wiring.attachments().some(isIn) || wiring.reservations().some(isIn);
      return used ? `${settings.nickname}, this host` : null;
    },
    forgotten: (network) => presence.cut(network),
  });
  const presence: NetworkPresence = new NetworkPresence({
    log,
    host,
    slot,
    networks,
    mtu: genesis.mtu,
    isUsed: (network) =>
      wiring.attachments().some(({ vni }) => vni === network) || options.dockerNetworksOf(network).length > 0,
    floodListOf,
    changed: () => wiring.membersChanged(),
  });
  return { spaces, networks, presence };
}
