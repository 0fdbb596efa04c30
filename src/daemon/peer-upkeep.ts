// What news of a peer mean for the rest of this host: its record (new, changed, gone) and its liveness become tunnels, flood
// lists, valid routes and targets of the dialler. Keeps no state of its own but what is due.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import { NOT_BEHIND_NAT } from '../base/nat-facts.ts';
import { throughNat } from '../base/nat-place.ts';
import type { PeerRecord } from '../base/records.ts';
import type { LivenessReason, PeerState, PeerView } from '../gossip/peer-liveness.ts';
import type { PeerCounters, TableChange } from '../router/datapath.ts';
import type { Routes } from '../router/routes.ts';
import type { TunnelTurn } from '../router/tunnel-options.ts';
import type { Tunnels } from '../router/tunnels.ts';
import type { DatapathSlot } from './datapath-slot.ts';
import type { Directory } from './directory.ts';
import type { EventKind, Tell } from './events/event-kinds.ts';
import type { MeshPort } from './member-options.ts';
import type { Neighbourhood } from './neighbourhood.ts';
import type { VxlanTunnels } from './vxlan-tunnels.ts';

const WORDS: Readonly<Record<LivenessReason, string>> = {
  'link-up': 'answers',
  'link-lost': 'is not linked any more',
  vouched: 'lives, as others say',
  silent: 'is silent: dead',
  goodbye: 'was stopped',
  'known-only': 'is known',
};

const TURNS: Readonly<Record<'established' | 'silent' | 'answering', string>> = {
  established: 'is up',
  silent: 'has fallen silent',
  answering: 'answers again',
};

export interface PeerUpkeepPorts {
  readonly self: PeerId;
  readonly log: Log;
  readonly tell: Tell;
  readonly timers: Timers;
  readonly directory: Pick<Directory, 'peer' | 'peers' | 'nameOf'>;
  readonly neighbourhood: Pick<Neighbourhood, 'met'> & {
    readonly rumours: Pick<Neighbourhood['rumours'], 'forget'>;
    readonly liveness: Pick<Neighbourhood['liveness'], 'view' | 'heard'>;
  };
  readonly tunnels: Pick<Tunnels, 'renew' | 'setPeer' | 'removePeer'>;
  /** Of all networks. */
  routes(): Iterable<Pick<Routes, 'reconsider'>>;
  /** Of all networks that this host has a part in. */
  floodLists(): readonly TableChange[];
  readonly slot: Pick<DatapathSlot, 'applyTables'>;
  /** Null: this host sends nothing in the clear. */
  readonly vxlan: Pick<VxlanTunnels, 'learn' | 'restarted' | 'forget'> | null;
  readonly mesh: Pick<MeshPort, 'setKnownPeers'>;
}

export class PeerUpkeep {
  readonly #ports: PeerUpkeepPorts;
  #knownPeersDue: Cancel | null = null;

  constructor(ports: PeerUpkeepPorts) {
    this.#ports = ports;
  }

  /** `before` is null for a host that is new or was gone. */
  recordChanged(author: PeerId, before: PeerRecord | null): void {
    const { self, directory, tunnels, neighbourhood, slot, vxlan } = this.#ports;
    if (author === self) return;
    const { staticKey, endpoints, nat = NOT_BEHIND_NAT, bootId, nickname, networks } = directory.peer(author)!;
    if (before === null) this.#tell('peer-new', author, `host ${nickname} belongs to the cluster`);
    if (before !== null && before.bootId !== bootId) {
      tunnels.renew(author); // it restarted: its sessions are gone
      vxlan?.restarted(author);
    }
    if (before === null) neighbourhood.met(author);
    tunnels.setPeer(author, { staticKey, endpoints, nat });
    vxlan?.learn(author, { staticKey, alive: this.isAlive(author) });
    // Its link may have come up before its record said what networks it has.
    if (before === null || !equalNetworks(before.networks, networks)) slot.applyTables(this.#ports.floodLists());
    this.#tellMesh();
  }

  recordGone(author: PeerId, { nickname }: PeerRecord): void {
    const { tunnels, neighbourhood, slot, vxlan } = this.#ports;
    this.#tell('peer-gone', author, `host ${nickname} belongs to the cluster no more`);
    tunnels.removePeer(author);
    vxlan?.forget(author);
    neighbourhood.rumours.forget(author);
    this.#tellMesh();
    slot.applyTables(this.#ports.floodLists());
  }

  livenessChanged(peer: PeerId, { state, reason }: PeerView, before: PeerState): void {
    const { directory, log, slot, vxlan } = this.#ports;
    const nickname = directory.peer(peer)?.nickname ?? null;
    log.info(`peer ${state}`, { peer, nickname, reason });
    // Of a host that gossip has just named nothing is known: that is no news.
    if (reason !== 'known-only') this.#tell(`peer-${state}`, peer, `host ${nickname ?? peer} ${WORDS[reason]}`);
    if ((state === 'dead') === (before === 'dead')) return; // a suspect keeps its routes and gets its frames
    vxlan?.learn(peer, { alive: state !== 'dead' });
    for (const routes of this.#ports.routes()) routes.reconsider(peer);
    slot.applyTables(this.#ports.floodLists());
  }

  /** Its tunnel came up, fell silent or answers again, takes another path, or could not be made. */
  tunnelTurned(peer: PeerId, turn: TunnelTurn): void {
    const { directory } = this.#ports;
    const nickname = directory.nameOf(peer);
    if (turn.to === 'failed') this.#tell('tunnel-failed', peer, `no tunnel to ${nickname}: ${turn.reason}`);
    else if (turn.to === 'relayed') {
      this.#tell('tunnel-relayed', peer, `the tunnel to ${nickname} goes by ${directory.nameOf(turn.relay)}`);
    } else if (turn.to === 'direct') {
      const way = throughNat(turn.nat);
      const what = `the tunnel to ${nickname} needs no relay any more`;
      this.#tell('tunnel-direct', peer, way === null ? what : `${what}: ${way}`);
    } else this.#tell(`tunnel-${turn.to}`, peer, `the tunnel to ${nickname} ${TURNS[turn.to]}`);
  }

  /** Who is heard through its tunnel lives, though its daemon may be restarting. */
  heardThroughTunnels(stats: readonly PeerCounters[]): void {
    for (const { peer, lastReceivedMs } of stats) {
      if (lastReceivedMs !== null) this.#ports.neighbourhood.liveness.heard(peer, lastReceivedMs);
    }
  }

  isAlive(peer: PeerId): boolean {
    return this.#ports.neighbourhood.liveness.view(peer)?.state !== 'dead';
  }

  /** Who gets a copy of each broadcast frame of the network now: live peers with members in it. */
  floodListOf(network: Vni): TableChange {
    const { self, directory } = this.#ports;
    const peers = directory
      .peers()
      .filter(([peer, { networks }]) => peer !== self && networks.includes(network) && this.isAlive(peer))
      .map(([peer]) => peer);
    return { kind: 'flood', network, peers };
  }

  stop(): void {
    this.#knownPeersDue?.();
  }

  #tell(kind: EventKind, peer: PeerId, what: string): void {
    this.#ports.tell({ kind, what, peer });
  }

  /** Many records arrive at once: the dialler is told once. */
  #tellMesh(): void {
    this.#knownPeersDue ??= this.#ports.timers.soon(() => {
      this.#knownPeersDue = null;
      const { self, directory, mesh } = this.#ports;
      const peers = directory.peers().filter(([peer]) => peer !== self);
      mesh.setKnownPeers(peers.map(([peer, { endpoints }]) => ({ peer, endpoints })));
    });
  }
}

function equalNetworks(one: readonly Vni[], other: readonly Vni[]): boolean {
  return one.length === other.length && one.every((network, i) => network === other[i]);
}
