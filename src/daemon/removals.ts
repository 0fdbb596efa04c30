// `fabric rmpeer` and `fabric revoke`: an operator's word that a host is off for good, or in wrong hands. It is published for ever;
// every host that hears of it shuts the removed one out (mesh, tunnels, routes), and the host where it was said takes over its
// addresses (docs/leases.md). A revoked host may be alive, and what it knows has to be replaced (rotations.ts).

import { formatCidr } from '../base/address.ts';
import type { Log } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { RemovalRecord } from '../base/records.ts';
import type { PeerLiveness } from '../gossip/peer-liveness.ts';
import { REVOKED_MAX } from '../gossip/token-records.ts';
import type { Refusal } from '../host/mesh/refusal.ts';
import type { Tunnels } from '../router/tunnels.ts';
import type { AddressSpaces } from './address-spaces.ts';
import type { Directory } from './directory.ts';
import { findHost } from './host-names.ts';
import type { MeshPort } from './member-options.ts';
import type { OwnRecords } from './own-records.ts';

export interface RemovalPorts {
  readonly self: PeerId;
  readonly log: Log;
  readonly mesh: Pick<MeshPort, 'linkedPeers' | 'shutOut'>;
  readonly own: Pick<OwnRecords, 'publishRemoval'>;
  /** A host was revoked: tokens that it may know have to go. Must not call back. */
  revoked(): void;
  /** What of the member a removal changes. */
  readonly parts: {
    readonly directory: Pick<Directory, 'peers' | 'peer' | 'nameOf' | 'ban'>;
    readonly spaces: Pick<AddressSpaces, 'leases' | 'peerRemoved' | 'setAllocating'>;
    readonly tunnels: Pick<Tunnels, 'removePeer'>;
    readonly neighbourhood: { readonly liveness: Pick<PeerLiveness, 'view'> };
  };
}

export interface Removed {
  readonly peer: PeerId;
  readonly nickname: string;
  /** What this host took over, CIDR text. */
  readonly blocks: readonly string[];
}

export class Removals {
  readonly #ports: RemovalPorts;
  readonly #removed = new Map<PeerId, { readonly nickname: string; readonly by: PeerId; readonly revoked: boolean }>();

  /** What a member said when it turned us away. */
  #told: Refusal | null = null;

  constructor(ports: RemovalPorts) {
    this.#ports = ports;
  }

  isRemoved(peer: PeerId): boolean {
    return this.#removed.has(peer);
  }

  isRevoked(peer: PeerId): boolean {
    return this.#removed.get(peer)?.revoked ?? false;
  }

  /** In the order of their ids. */
  revoked(): readonly PeerId[] {
    return [...this.#removed].flatMap(([peer, { revoked }]) => (revoked ? [peer] : [])).sort();
  }

  /** Why a host that proved its identity is not let in; null: it is welcome. */
  refusalOf(peer: PeerId): Refusal | null {
    const removal = this.#removed.get(peer);
    if (removal === undefined) return null;
    return {
      code: 'peer-removed',
      what: `refused peer ${peer}${removal.nickname === '' ? '' : ` (${removal.nickname})`}`,
      why: `an operator ${removal.revoked ? 'revoked it' : 'removed it from the cluster'} at ${this.#ports.parts.directory.nameOf(removal.by)}: its addresses belong to others`,
      fix: "To let that machine in again, run 'fabric reset --force' on it and join anew",
    };
  }

  /** Set when we are the one that was removed. */
  get ownFault(): Refusal | null {
    const refusal = this.#told ?? this.refusalOf(this.#ports.self);
    return refusal === null ? null : { ...refusal, what: 'this host was removed from its cluster' };
  }

  /**
   * Removes a host, named by id, the beginning of one, or nickname; durable when it returns. Again for one that is removed
   * already takes over what another operator's host has not. Throws `usage`, `peer-unknown` or `peer-alive`.
   */
  remove(name: string): Removed {
    const peer = this.#find(name);
    this.#refuseLiving(peer);
    return this.#publish(peer, this.isRevoked(peer));
  }

  /**
   * The same for a host in wrong hands, alive or not. The caller replaces the token then. Throws `usage`, `peer-unknown`, or
   * `limit` when as many are revoked as a record can name.
   */
  revoke(name: string): Removed {
    const peer = this.#find(name);
    if (!this.isRevoked(peer) && this.revoked().length >= REVOKED_MAX) {
      throw new FabricError('limit', {
        what: `${this.#ports.parts.directory.nameOf(peer)} can't be revoked`,
        why: `${REVOKED_MAX} hosts of this cluster were revoked already`,
        fix: 'Create a new cluster',
      });
    }
    return this.#publish(peer, true);
  }

  #publish(peer: PeerId, revoked: boolean): Removed {
    const { self, own, log, parts } = this.#ports;
    const nickname = parts.directory.peer(peer)?.nickname ?? this.#removed.get(peer)?.nickname ?? '';
    const record: RemovalRecord = { peer, nickname, revoked };
    own.publishRemoval(record);
    const before = this.#blocksOf(peer);
    this.heard(self, record);
    const left = new Set(this.#blocksOf(peer));
    const blocks = before.filter((block) => !left.has(block));
    log.warn(`a host was ${revoked ? 'revoked' : 'removed'} by an operator`, {
      peer,
      nickname,
      blocks: blocks.join(' '),
    });
    return { peer, nickname, blocks };
  }

  /** Host `by` says that a host was removed there; repeats change nothing. */
  heard(by: PeerId, { peer, nickname, revoked }: RemovalRecord): void {
    const { self, mesh, log } = this.#ports;
    const { spaces, directory, tunnels } = this.#ports.parts;
    const before = this.#removed.get(peer);
    const isNews = before === undefined;
    if (isNews) this.#removed.set(peer, { nickname, by, revoked });
    else if (revoked && !before.revoked) this.#removed.set(peer, { ...before, revoked });
    if (revoked && !before?.revoked) this.#ports.revoked();
    if (peer === self) {
      if (isNews) this.#shutDown();
      return;
    }
    if (isNews) {
      log.info('host removed', { peer, nickname, by });
      directory.ban(peer);
      tunnels.removePeer(peer);
      mesh.shutOut(peer, 'this host was removed from the cluster');
    }
    spaces.peerRemoved(peer, by); // has to write, which a full disk keeps it from
  }

  /** A member turned us away, because an operator has removed us while we were off. */
  toldByPeer(refusal: Refusal): void {
    if (this.ownFault !== null) return;
    this.#told = refusal;
    this.#shutDown();
  }

  /** Our addresses are others' now: nothing is given out any more. What runs here is cut off by everyone else. */
  #shutDown(): void {
    const { what, why, fix } = this.ownFault!;
    this.#ports.log.error(what, { why, fix });
    this.#ports.parts.spaces.setAllocating(new FabricError('peer-removed', { what, why, fix }));
  }

  #find(name: string): PeerId {
    const { self, mesh } = this.#ports;
    const { directory, spaces } = this.#ports.parts;
    const owners = spaces.leases().map(({ peer }) => peer);
    const members = directory.peers().map(([peer]) => peer);
    // Who is linked and says nothing of itself can be shut out, too.
    const known = new Set([...members, ...owners, ...mesh.linkedPeers(), ...this.#removed.keys()]);
    const nicknames = directory.peers().map(([peer, { nickname }]) => [peer, nickname] as const);
    const peer = findHost(name, { ids: known, nicknames });
    if (peer === self) {
      throw new FabricError('usage', {
        what: 'a host does not remove itself',
        fix: "Leave with 'fabric reset', or say it on another host",
      });
    }
    return peer;
  }

  #refuseLiving(peer: PeerId): void {
    const { mesh, parts } = this.#ports;
    if (mesh.linkedPeers().includes(peer) || (parts.neighbourhood.liveness.view(peer)?.state ?? 'alive') === 'alive') {
      throw new FabricError('peer-alive', {
        what: `${parts.directory.nameOf(peer)} is alive`,
        why: 'its addresses are in use; given to others, they would be in use twice',
        fix: "Run 'fabric reset' on it, or switch it off first; if it is in wrong hands: fabric revoke",
      });
    }
  }

  #blocksOf(peer: PeerId): readonly string[] {
    return this.#ports.parts.spaces.leases().flatMap((row) => (row.peer === peer ? [formatCidr(row.cidr)] : []));
  }
}
