// Makes the parts that hold what this host attached and reserved, and its own place in the overlay, from the member's networks and
// options: whoever puts something into a network sees it in the same way, and claims go by one writer.

import { DEFAULT_VNI, type PeerId, type Vni } from '../base/ids.ts';
import type { NameService } from '../cni-plugin/backend.ts';
import { MOVES_MAX, MOVES_WINDOW_MS } from '../router/moves.ts';
import { AddressReservations } from './address-reservations.ts';
import type { AttachmentNetwork, AttachmentPorts } from './attachment-ports.ts';
import type { AttachmentStore } from './attachment-store.ts';
import { Attachments } from './attachments.ts';
import { type ClaimChange, ClaimWriter } from './claim-writer.ts';
import type { Directory } from './directory.ts';
import { HostPlace } from './host-place.ts';
import type { MemberOptions } from './member-options.ts';
import type { Network } from './network.ts';
import type { Networks } from './networks.ts';
import { reasonWithNicknames } from './nicknames.ts';

/** What the member adds to its options. */
export interface AttachmentWiring extends Pick<AttachmentPorts, 'readiness'> {
  readonly entries: AttachmentStore;
  readonly networks: Pick<Networks, 'main' | 'get' | 'named' | 'find' | 'forgetUnused'>;
  readonly presence: { enter(network: Vni): Promise<void>; left(network: Vni): void };
  readonly directory: Pick<Directory, 'nameOf'>;
  /** Resolves once this host may allocate. */
  readonly mayAllocate: Promise<void>;
  /** Into this host's records: all of them or, when it throws, none; durable when it returns. */
  changeClaims(changes: readonly ClaimChange[]): void;
  /** See Names.serviceFacts. */
  nameService(network: Vni): NameService | null;
}

export function openAttachments(options: MemberOptions, wiring: AttachmentWiring) {
  const { store, clock, timers, random, crypto, log, tell, host, genesis, kernelBootId, openNamespace } = options;
  const { entries, networks, presence, readiness } = wiring;
  const self = options.identity.keys.peer;
  const claims = new ClaimWriter({ timers, write: (changes) => wiring.changeClaims(changes) });
  const inNetwork = (network: Network): AttachmentNetwork => attachmentNetwork(network, { ...wiring, claims, clock });
  const networkNamed = (name: string): AttachmentNetwork => inNetwork(networks.named(name));
  const networkOf = (id: Vni): AttachmentNetwork | null => {
    const network = networks.get(id);
    return network === null ? null : inNetwork(network);
  };
  const finder = { networkNamed, networkOf };
  const left = (network: Vni): void => {
    presence.left(network);
    networks.forgetUnused(network);
  };
  const reservations = new AddressReservations({ ...finder, store, log, kernelBootId, readiness, left });
  const attachments = new Attachments(
    {
      ...finder,
      self,
      clock,
      timers,
      random,
      crypto,
      log,
      tell,
      entries,
      host,
      mtu: genesis.mtu,
      openNamespace,
      enter: (network) => presence.enter(network),
      left,
      readiness,
      findNetwork: (name) => {
        const network = networks.find(name);
        if (network === null) return null;
        return {
          id: network.id,
          addressObstacle: () => addressObstacle(network),
          nameService: () => wiring.nameService(network.id),
        };
      },
    },
    reservations,
  );
  const place = new HostPlace({
    ...inNetwork(networks.main),
    releaseLost: (owner) => void networks.main.ipam.release(owner, 'lost'),
    store,
    random,
    log,
    timers,
    host,
    hasIpv6: networks.main.facts.v6 !== null,
    nickname: options.settings.nickname,
  });
  return { place, reservations, attachments };
}

/** Of a network beside the default one a host leases addresses when its first container comes: having none yet is none. */
function addressObstacle({ id, ipam }: Network): string | null {
  if (id !== DEFAULT_VNI && ipam.ownLeases().length === 0) return null;
  return ipam.obstacle()?.message ?? null;
}

/** The network as those see it who put something into it. */
function attachmentNetwork(
  network: Network,
  {
    claims,
    clock,
    directory,
    mayAllocate,
  }: Pick<AttachmentWiring, 'directory' | 'mayAllocate'> &
    Pick<MemberOptions, 'clock'> & { readonly claims: ClaimWriter },
): AttachmentNetwork {
  const { id, facts, routes, ipam, bridge } = network;
  const nameOf = (peer: PeerId): string => directory.nameOf(peer);
  const { v4, v6, internal, gateway, gateway6 } = facts;
  return {
    id,
    bridge,
    addressing: {
      range: v4.range,
      range6: v6?.range ?? null,
      gateway: internal ? null : gateway,
      gateway6: internal ? null : gateway6,
    },
    allocate: async (wish) => {
      await mayAllocate;
      return network.allocate(wish).catch((error: unknown) => {
        throw reasonWithNicknames(error, nameOf);
      });
    },
    release: (owner) => void ipam.release(owner),
    publish: (record) => claims.publish(record),
    withdraw: (mac) => claims.withdraw(id, mac),
    macHolder: (mac) => {
      if (mac === facts.gatewayMac) return 'the gateway';
      const holder = routes.ownerOfMac(id, mac);
      return holder === null ? null : `the host ${nameOf(holder)}`;
    },
    macReleased: (mac) => network.macReleased(mac),
    heldMove: (what) => {
      const held = routes.moves.heldElsewhere(id, what);
      if (held === null) return null;
      const leftS = Math.ceil((held.untilMs - clock.monotonicMs()) / 1000);
      return `it moved ${MOVES_MAX} times within ${MOVES_WINDOW_MS / 1000} s and is held on ${nameOf(held.at)} for ${leftS} s`;
    },
    hasMoved: (ip) => routes.isRemembered(id, ip),
    freeAddressHolder: (ip) => {
      const holder = routes.holderOfFreeAddress(id, ip);
      return holder === null ? null : `${nameOf(holder.author)} (${holder.mac})`;
    },
  };
}
