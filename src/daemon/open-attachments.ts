// Makes the parts that hold what this host attached and reserved, from the member's networks and options.

import type { Clock } from '../base/capabilities.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import { MOVES_MAX, MOVES_WINDOW_MS } from '../router/moves.ts';
import { AddressReservations } from './address-reservations.ts';
import type { AttachmentNetwork, AttachmentPorts } from './attachment-ports.ts';
import type { AttachmentStore } from './attachment-store.ts';
import { Attachments } from './attachments.ts';
import type { ClaimWriter } from './claim-writer.ts';
import type { Directory } from './directory.ts';
import type { MemberOptions } from './member-options.ts';
import type { Network } from './network.ts';
import type { Networks } from './networks.ts';

/** What the member adds to its options. */
export interface AttachmentWiring extends Pick<AttachmentPorts, 'addressObstacle' | 'readiness' | 'nameService'> {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly entries: AttachmentStore;
  readonly networks: Pick<Networks, 'get' | 'named' | 'forgetUnused'>;
  readonly presence: { enter(network: Vni): Promise<void>; left(network: Vni): void };
  readonly directory: Pick<Directory, 'peer'>;
  /** Resolves once this host may allocate. */
  readonly mayAllocate: Promise<void>;
  readonly claims: Pick<ClaimWriter, 'publish' | 'withdraw'>;
}

export function openAttachments(options: MemberOptions, wiring: AttachmentWiring) {
  const { store, clock, timers, random, crypto, log, tell, host, genesis, kernelBootId, openNamespace } = options;
  const { entries, networks, presence, readiness } = wiring;
  const networkNamed = (name: string): AttachmentNetwork => attachmentNetwork(networks.named(name), wiring);
  const networkOf = (id: Vni): AttachmentNetwork | null => {
    const network = networks.get(id);
    return network === null ? null : attachmentNetwork(network, wiring);
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
      self: wiring.self,
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
      addressObstacle: () => wiring.addressObstacle(),
      nameService: () => wiring.nameService(),
    },
    reservations,
  );
  return { reservations, attachments };
}

/** The network as those see it who put something into it. */
export function attachmentNetwork(
  network: Network,
  { claims, clock, directory, mayAllocate }: Pick<AttachmentWiring, 'claims' | 'clock' | 'directory' | 'mayAllocate'>,
): AttachmentNetwork {
  const { id, facts, routes, ipam, bridge } = network;
  const nameOf = (peer: PeerId): string => directory.peer(peer)?.nickname ?? peer;
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
      return network.allocate(wish);
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
