// What the control plane told the datapath of one network: which MAC is behind which peer or on our bridge (FDB), which
// address has which MAC, who gets copies of broadcasts. Verdicts are made here, when a table changes, so that looking one up
// allocates nothing. Invariant: bounded; when full, new entries are refused and known ones stay.

import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { TableChange } from './datapath.ts';
import { macHalves } from './frame.ts';
import type { DropReason } from './frame-drops.ts';

/** Our tuning: at 10,000 hosts with 25 containers each. */
export const MACS_MAX = 262_144;
export const NEIGHBOURS_MAX = 524_288;
/** Addresses without a MAC whose last MAC is remembered, to announce a change when they return. */
const FORMER_MAX = 4096;

export type Verdict =
  | { readonly kind: 'drop'; readonly reason: DropReason }
  /** Into the local port (from the overlay only). */
  | { readonly kind: 'port' }
  | { readonly kind: 'peer'; readonly peer: PeerId }
  /** A copy to each; `unknownUnicast` copies are rate-limited. */
  | { readonly kind: 'flood'; readonly peers: readonly PeerId[]; readonly unknownUnicast: boolean }
  /** Back into the local port, instead of the frame. */
  | { readonly kind: 'answer'; readonly frame: Uint8Array }
  /** Exceeds the overlay MTU: answered with ICMP where that is allowed. */
  | { readonly kind: 'too-large' };

export interface MacEntry {
  readonly mac: Mac;
  readonly owner: PeerId | 'local';
  /** For a frame from the port to this MAC. */
  readonly verdict: Verdict;
}

export interface ForwardingTableOptions {
  readonly network: Vni;
  readonly gatewayMac: Mac;
  /** Canonical text. */
  readonly gatewayIps: readonly string[];
  readonly macsMax?: number;
  readonly neighboursMax?: number;
}

/** What {@link ForwardingTable.apply} did. `announce`: the bridge must hear that an address has another MAC now. */
export type Applied = 'done' | 'table-full' | { readonly announce: { readonly ip: string; readonly mac: Mac } };

const TO_LOCAL: Verdict = { kind: 'drop', reason: 'destination-local' };
const NO_MEMBERS: Verdict = { kind: 'drop', reason: 'no-members' };

export class ForwardingTable {
  readonly network: Vni;
  readonly gatewayHigh: number;
  readonly gatewayLow: number;
  readonly #gatewayIps: ReadonlySet<string>;
  readonly #macsMax: number;
  readonly #neighboursMax: number;
  /** By the upper, then the lower 24 bits: small integers hash without allocation. */
  readonly #macs = new Map<number, Map<number, MacEntry>>();
  #macCount = 0;
  readonly #peerVerdicts = new Map<PeerId, Verdict>();
  readonly #neighbours = new Map<string, Mac>();
  readonly #former = new Map<string, Mac>();
  #floodPeers: readonly PeerId[] = [];
  /** For group destinations. */
  flood: Verdict = NO_MEMBERS;
  /** For unicast destinations in no table. */
  unknownUnicast: Verdict = NO_MEMBERS;

  constructor(options: ForwardingTableOptions) {
    this.network = options.network;
    const gateway = macHalves(options.gatewayMac);
    this.gatewayHigh = gateway.high;
    this.gatewayLow = gateway.low;
    this.#gatewayIps = new Set(options.gatewayIps);
    this.#macsMax = options.macsMax ?? MACS_MAX;
    this.#neighboursMax = options.neighboursMax ?? NEIGHBOURS_MAX;
  }

  get macCount(): number {
    return this.#macCount;
  }

  /** The entry of a MAC given by its halves. */
  lookup(high: number, low: number): MacEntry | undefined {
    return this.#macs.get(high)?.get(low);
  }

  lookupMac(mac: Mac): MacEntry | undefined {
    const { high, low } = macHalves(mac);
    return this.lookup(high, low);
  }

  /** The MAC of an address (canonical text). */
  neighbour(ip: string): Mac | undefined {
    return this.#neighbours.get(ip);
  }

  isGatewayIp(ip: string): boolean {
    return this.#gatewayIps.has(ip);
  }

  /** Changes of other networks are none of ours; which networks there are is for the datapath. */
  apply(change: TableChange): Applied {
    if (change.network !== this.network) return 'done';
    switch (change.kind) {
      case 'mac':
        return this.#putMac(change.mac, change.to);
      case 'mac-gone':
        this.#deleteMac(change.mac);
        return 'done';
      case 'neighbour':
        return this.#putNeighbour(change.ip, change.mac);
      case 'neighbour-gone':
        this.#deleteNeighbour(change.ip);
        return 'done';
      case 'flood':
        this.#setFlood(change.peers);
        return 'done';
      case 'network':
      case 'network-gone':
        return 'done';
    }
  }

  /** Forgets the peer's MACs and its place in the flood list. */
  removePeer(peer: PeerId): void {
    for (const row of this.#macs.values()) {
      for (const entry of row.values()) if (entry.owner === peer) this.#deleteMac(entry.mac);
    }
    this.#setFlood(this.#floodPeers.filter((member) => member !== peer));
    this.#peerVerdicts.delete(peer);
  }

  #putMac(mac: Mac, owner: PeerId | 'local'): Applied {
    const { high, low } = macHalves(mac);
    const known = this.lookup(high, low) !== undefined;
    if (!known && this.#macCount >= this.#macsMax) return 'table-full';
    let row = this.#macs.get(high);
    if (row === undefined) {
      row = new Map();
      this.#macs.set(high, row);
    }
    row.set(low, { mac, owner, verdict: owner === 'local' ? TO_LOCAL : this.#toPeer(owner) });
    if (!known) this.#macCount++;
    return 'done';
  }

  #deleteMac(mac: Mac): void {
    const { high, low } = macHalves(mac);
    const row = this.#macs.get(high);
    if (row?.delete(low) !== true) return;
    this.#macCount--;
    if (row.size === 0) this.#macs.delete(high);
  }

  #putNeighbour(ip: string, mac: Mac): Applied {
    const before = this.#neighbours.get(ip) ?? this.#former.get(ip);
    if (!this.#neighbours.has(ip) && this.#neighbours.size >= this.#neighboursMax) return 'table-full';
    this.#neighbours.set(ip, mac);
    this.#former.delete(ip);
    return before === undefined || before === mac ? 'done' : { announce: { ip, mac } };
  }

  #deleteNeighbour(ip: string): void {
    const mac = this.#neighbours.get(ip);
    if (mac === undefined) return;
    this.#neighbours.delete(ip);
    this.#former.set(ip, mac);
    if (this.#former.size > FORMER_MAX) {
      for (const oldest of this.#former.keys()) {
        this.#former.delete(oldest);
        break;
      }
    }
  }

  #setFlood(members: readonly PeerId[]): void {
    const peers = [...new Set(members)];
    this.#floodPeers = peers;
    this.flood = peers.length === 0 ? NO_MEMBERS : { kind: 'flood', peers, unknownUnicast: false };
    this.unknownUnicast = peers.length === 0 ? NO_MEMBERS : { kind: 'flood', peers, unknownUnicast: true };
  }

  #toPeer(peer: PeerId): Verdict {
    const known = this.#peerVerdicts.get(peer);
    if (known !== undefined) return known;
    const verdict: Verdict = { kind: 'peer', peer };
    this.#peerVerdicts.set(peer, verdict);
    return verdict;
  }
}
