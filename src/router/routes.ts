// Which MAC and address lives where: merges the claims that hosts author (gossip) into the forwarding tables of the
// datapath. Deterministic: the same claims give the same routes on every host, in whatever order they arrive. A claim is
// refused and reported when it is about the gateway, on what no interface can hold, or on an address of the network that its
// author does not own. Addresses outside the network come from foreign IPAM plugins and belong to no lease: each has one live
// holder (free-claims.ts). Of two claims on one MAC what a host has attached wins over a device that a bridge has learned, then the
// higher mobility sequence (RFC 7432 §15), then the lower peer id (docs/mobility.md).

import type { Cidr, IpAddress } from '../base/address.ts';
import { isMulticastMac, type Mac, type PeerId, type Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { TableChange } from './datapath.ts';
import { FreeClaims, isHoldable } from './free-claims.ts';
import { Moves } from './moves.ts';
import { beats, type ClaimAddress, type RouteClaim, routeClaim } from './route-claim.ts';

export interface RouteNetwork {
  readonly network: Vni;
  readonly range: Cidr;
  readonly range6: Cidr | null;
  readonly gatewayMac: Mac;
  /** Canonical text. */
  readonly gatewayIps: readonly string[];
}

export interface RoutePorts {
  readonly self: PeerId;
  readonly networks: readonly RouteNetwork[];
  /** Clock.monotonicMs, to say how old an entry is. */
  nowMs(): number;
  /** Who owns the lease around an address; null when nobody is known to. */
  ownerOf(network: Vni, ip: IpAddress): PeerId | null;
  /** Dead hosts' claims are kept but leave the tables. */
  isAlive(peer: PeerId): boolean;
  /** Receives every change of the tables, in order. */
  apply(changes: readonly TableChange[]): void;
  /** A MAC or address (canonical text) that was at another host before is at this one now. */
  moved(network: Vni, what: string, at: PeerId): void;
}

/** A uint32 on the wire: who moves that often stays at the last. */
const SEQUENCE_MAX = 0xffff_ffff;

/** `active`: in the tables. `duplicate`: another claim on MAC or address won. `stale`: its author is dead. `refused`: see reason. */
export type RouteState = 'active' | 'duplicate' | 'stale' | 'refused';

export interface Route {
  readonly network: Vni;
  readonly mac: Mac;
  readonly ips: readonly string[];
  readonly peer: PeerId;
  readonly local: boolean;
  readonly sequence: number;
  readonly state: RouteState;
  /** Why it is not active, in words; null when it is. */
  readonly reason: string | null;
}

/** All claims on one MAC of one network, and what of them is in the tables now. */
interface Contest {
  readonly key: string;
  readonly network: Vni;
  readonly mac: Mac;
  readonly claims: Map<PeerId, RouteClaim>;
  installed: Installed | null;
}

interface Installed {
  readonly claim: RouteClaim;
  readonly to: PeerId | 'local';
  readonly sinceMs: number;
}

export class Routes {
  readonly #ports: RoutePorts;
  readonly #contests = new Map<string, Contest>();
  /** The MACs that each author claims, so that a change of its liveness touches only those. */
  readonly #byAuthor = new Map<PeerId, Set<string>>();
  /** The MACs whose installed claims name an address, oldest first: the last one answers for it. */
  readonly #neighbours = new Map<string, readonly Mac[]>();
  /** The MACs with a claim that is refused or lost: few, and looked at often. */
  readonly #doubted = new Set<string>();
  /** Who claims addresses that no lease covers. */
  readonly #free = new FreeClaims((author) => author === this.#ports.self || this.#ports.isAlive(author));

  /** Of MACs and of addresses, but for link-local ones: they belong to their MAC and go where that goes. */
  readonly moves: Moves;

  constructor(ports: RoutePorts) {
    this.#ports = ports;
    this.moves = new Moves(ports);
  }

  /** A claim was published or changed. */
  claim(author: PeerId, record: AttachmentRecord): void {
    const key = contestKey(record.network, record.mac);
    let contest = this.#contests.get(key);
    if (contest === undefined) {
      contest = { key, network: record.network, mac: record.mac, claims: new Map(), installed: null };
      this.#contests.set(key, contest);
    }
    const before = contest.claims.get(author);
    const claim = routeClaim(author, record, this.#networkOf(record.network));
    contest.claims.set(author, claim);
    const claimed = this.#byAuthor.get(author) ?? new Set();
    this.#byAuthor.set(author, claimed.add(key));
    const rivals = [...this.#leaveFree(before), ...this.#enterFree(claim)];
    this.#settle(contest);
    this.#settleRivals(rivals);
  }

  /** A claim was withdrawn; unknown claims are no error. */
  withdraw(author: PeerId, network: Vni, mac: Mac): void {
    const key = contestKey(network, mac);
    const contest = this.#contests.get(key);
    const before = contest?.claims.get(author);
    if (contest === undefined || !contest.claims.delete(author)) return;
    this.#byAuthor.get(author)?.delete(key);
    const rivals = this.#leaveFree(before);
    this.#settle(contest);
    if (contest.claims.size === 0) {
      this.#contests.delete(key);
      this.#doubted.delete(key);
    }
    this.#settleRivals(rivals);
  }

  /** The author's liveness or what it owns changed: its claims are judged again. */
  reconsider(author: PeerId): void {
    for (const key of this.#byAuthor.get(author) ?? []) {
      const contest = this.#contests.get(key)!;
      this.#settle(contest);
      this.#settleRivals(this.#freeRivals(contest.claims.get(author)));
    }
  }

  /** What these hosts own changed: their claims are judged again, and those that were not believed. */
  ownersChanged(hosts: Iterable<PeerId>): void {
    for (const host of hosts) this.reconsider(host);
    for (const key of [...this.#doubted]) this.#settle(this.#contests.get(key)!);
  }

  /** Ownership of addresses changed: every claim is judged again. */
  reconsiderAll(): void {
    for (const contest of this.#contests.values()) this.#settle(contest);
  }

  /** Clock.monotonicMs since which the MAC is in the tables, leading where it leads now; null: it is not. */
  installedSinceMs(network: Vni, mac: Mac): number | null {
    return this.#contests.get(contestKey(network, mac))?.installed?.sinceMs ?? null;
  }

  forget(author: PeerId): void {
    for (const key of [...(this.#byAuthor.get(author) ?? [])]) {
      const contest = this.#contests.get(key)!;
      this.withdraw(author, contest.network, contest.mac);
    }
    this.#byAuthor.delete(author);
  }

  /** The winning claim's author on a MAC; null when there is none. */
  ownerOfMac(network: Vni, mac: Mac): PeerId | null {
    const contest = this.#contests.get(contestKey(network, mac));
    return contest === undefined ? null : (this.#winner(contest)?.author ?? null);
  }

  /** The mobility sequence of a claim of ours: the one that it has, else above all that were seen on this MAC. */
  nextSequence(network: Vni, mac: Mac): number {
    const key = contestKey(network, mac);
    const claims = this.#contests.get(key)?.claims ?? new Map<PeerId, RouteClaim>();
    const own = claims.get(this.#ports.self);
    if (own !== undefined) return own.record.sequence;
    const seen = [...claims.values()].map(({ record }) => record.sequence);
    return Math.min(SEQUENCE_MAX, Math.max(this.moves.lastSequence(network, mac), ...seen) + 1);
  }

  /** True when the address is or was known by a MAC, so that containers here may remember it; its record may not be withdrawn yet. */
  isRemembered(network: Vni, ip: string): boolean {
    return this.#neighbours.has(neighbourKey(network, ip)) || this.moves.isKnown(network, ip);
  }

  /** True when a device that speaks on our bridge may be claimed: nobody has its MAC, or another bridge had learned it. */
  mayClaimDevice(network: Vni, mac: Mac): boolean {
    const contest = this.#contests.get(contestKey(network, mac));
    const winner = contest === undefined ? null : this.#winner(contest);
    if (winner !== null && (winner.record.kind !== 'foreign' || winner.author === this.#ports.self)) return false;
    return this.moves.heldElsewhere(network, mac) === null;
  }

  /** The other, live host on which a container, or that host itself, has this MAC; null: none, or a device that may move. */
  placeElsewhere(network: Vni, mac: Mac): PeerId | null {
    const contest = this.#contests.get(contestKey(network, mac));
    const winner = contest === undefined ? null : this.#winner(contest);
    if (winner === null || winner.record.kind === 'foreign') return null;
    const { self, isAlive } = this.#ports;
    return winner.author !== self && isAlive(winner.author) ? winner.author : null;
  }

  /** Which claim holds an address that no lease covers, by the live claims that this host knows; null when none does. */
  holderOfFreeAddress(network: Vni, ip: string): { readonly author: PeerId; readonly mac: Mac } | null {
    return this.#free.holder(network, ip);
  }

  /** How many MACs are claimed. */
  get size(): number {
    return this.#contests.size;
  }

  list(): readonly Route[] {
    return [...this.#contests.values()].flatMap((contest) => this.#rows(contest));
  }

  /** The claims that are not believed, or that another one beat: those of {@link list} that are `refused` or `duplicate`. */
  doubted(): readonly Route[] {
    return [...this.#doubted]
      .flatMap((key) => this.#rows(this.#contests.get(key)!))
      .filter(({ state }) => state === 'refused' || state === 'duplicate');
  }

  /** All changes that build today's tables from nothing: for a datapath that starts anew. */
  tables(): readonly TableChange[] {
    const changes: TableChange[] = [];
    for (const contest of this.#contests.values()) {
      if (contest.installed !== null) {
        changes.push({ kind: 'mac', network: contest.network, mac: contest.mac, to: contest.installed.to });
      }
    }
    for (const [key, macs] of this.#neighbours) {
      const [network, ip] = splitNeighbourKey(key);
      changes.push({ kind: 'neighbour', network, ip, mac: macs.at(-1)! });
    }
    return changes;
  }

  #rows(contest: Contest): readonly Route[] {
    const winner = this.#winner(contest);
    return [...contest.claims.values()].map((claim) => {
      const { author, record } = claim;
      const objection = this.#objection(claim);
      const state: RouteState = objection?.state ?? (winner?.author === author ? 'active' : 'duplicate');
      const lost = state === 'duplicate' ? `${winner?.author} holds this MAC with a newer claim` : null;
      return {
        network: record.network,
        mac: record.mac,
        ips: record.ips,
        peer: author,
        local: author === this.#ports.self,
        sequence: record.sequence,
        state,
        reason: objection?.reason ?? lost,
      };
    });
  }

  /** Adds the free addresses of a claim; returns the claims that now compete with it. */
  #enterFree(claim: RouteClaim): readonly string[] {
    for (const ip of claim.free) this.#free.add(claim.author, claim.record, ip);
    return this.#freeRivals(claim);
  }

  #leaveFree(claim: RouteClaim | undefined): readonly string[] {
    if (claim === undefined) return [];
    const rivals = this.#freeRivals(claim);
    for (const ip of claim.free) this.#free.remove(claim.author, claim.record, ip);
    return rivals;
  }

  /** The contests that claim one of its free addresses too. */
  #freeRivals(claim: RouteClaim | undefined): readonly string[] {
    if (claim === undefined || claim.free.length === 0) return [];
    const { network, mac: ownMac } = claim.record;
    const rivals = claim.free.flatMap((ip) => this.#free.claimants(network, ip));
    return rivals.filter(({ mac }) => mac !== ownMac).map(({ mac }) => contestKey(network, mac));
  }

  #settleRivals(keys: readonly string[]): void {
    for (const key of new Set(keys)) {
      const contest = this.#contests.get(key);
      if (contest !== undefined) this.#settle(contest);
    }
  }

  #settle(contest: Contest): void {
    const winner = this.#winner(contest);
    const { key, network, mac, installed } = contest;
    if (this.#isDoubted(contest, winner)) this.#doubted.add(key);
    else this.#doubted.delete(key);
    if (winner === (installed?.claim ?? null)) return;
    const to = winner === null ? null : winner.author === this.#ports.self ? ('local' as const) : winner.author;
    const sinceMs = installed !== null && installed.to === to ? installed.sinceMs : this.#ports.nowMs();
    const target: Installed | null = winner === null || to === null ? null : { claim: winner, to, sinceMs };
    if (installed?.to !== to) {
      if (installed !== null) {
        const { author, record } = installed.claim;
        this.moves.left(network, mac, { at: author, sequence: record.sequence });
      }
      if (winner !== null) this.moves.arrived(network, mac, winner.author);
    }
    const changes: TableChange[] = [];
    if (target === null) changes.push({ kind: 'mac-gone', network, mac });
    else if (installed?.to !== target.to) changes.push({ kind: 'mac', network, mac, to: target.to });
    const wanted = winner?.addresses ?? [];
    const had = installed?.claim.addresses ?? [];
    for (const one of had) if (!includes(wanted, one)) changes.push(...this.#unanswer(one, contest));
    contest.installed = target;
    for (const one of wanted) if (!includes(had, one)) changes.push(...this.#answer(one, contest));
    if (changes.length > 0) this.#ports.apply(changes);
  }

  #answer({ text: ip, kind }: ClaimAddress, { network, mac, installed }: Contest): readonly TableChange[] {
    const key = neighbourKey(network, ip);
    const before = this.#neighbours.get(key) ?? [];
    const [beforeMac] = before.slice(-1);
    const holder = beforeMac === undefined ? null : this.#contests.get(contestKey(network, beforeMac))?.installed;
    if (kind !== 'link-local') {
      if (holder != null) this.moves.left(network, ip, { at: holder.claim.author });
      if (installed !== null) this.moves.arrived(network, ip, installed.claim.author);
    }
    this.#neighbours.set(key, [...before, mac]);
    return [{ kind: 'neighbour', network, ip, mac }];
  }

  /** The address falls back to the newest of the claims that remain, if any does. */
  #unanswer({ text: ip, kind }: ClaimAddress, { network, mac, installed }: Contest): readonly TableChange[] {
    const key = neighbourKey(network, ip);
    if (installed !== null && kind !== 'link-local') this.moves.left(network, ip, { at: installed.claim.author });
    const before = this.#neighbours.get(key) ?? [];
    const after = before.filter((other) => other !== mac);
    if (after.length === 0) {
      this.#neighbours.delete(key);
      return [{ kind: 'neighbour-gone', network, ip }];
    }
    this.#neighbours.set(key, after);
    return before.at(-1) === after.at(-1) ? [] : [{ kind: 'neighbour', network, ip, mac: after.at(-1)! }];
  }

  /** Its only claim won, or is of a dead host: no doubt. */
  #isDoubted({ claims }: Contest, winner: RouteClaim | null): boolean {
    if (claims.size > 1) return true;
    const [only] = claims.values();
    if (only === undefined || winner !== null) return false;
    return this.#objection(only)?.state !== 'stale';
  }

  #winner(contest: Contest): RouteClaim | null {
    let best: RouteClaim | null = null;
    for (const claim of contest.claims.values()) {
      if (this.#objection(claim) === null && (best === null || beats(claim, best))) best = claim;
    }
    return best;
  }

  #objection({ author, record, addresses, free }: RouteClaim): Objection | null {
    const network = this.#networkOf(record.network);
    if (network === undefined) return { state: 'refused', reason: 'this host is not on that network' };
    if (record.mac === network.gatewayMac) return { state: 'refused', reason: "the MAC is the gateway's" };
    if (isMulticastMac(record.mac)) return { state: 'refused', reason: 'the MAC is a group address' };
    for (const address of addresses) {
      const reason = this.#addressObjection(record.network, author, address);
      if (reason !== null) return { state: 'refused', reason };
    }
    const isAlive = author === this.#ports.self || this.#ports.isAlive(author);
    const taken = free.find((ip) => !this.#free.isHolder(author, record, ip));
    if (taken !== undefined && isAlive) {
      const holder = this.#free.holder(record.network, taken);
      return { state: 'duplicate', reason: `${holder?.author} holds ${taken} already, with the MAC ${holder?.mac}` };
    }
    return isAlive ? null : { state: 'stale', reason: 'its host is dead' };
  }

  #addressObjection(network: Vni, author: PeerId, { text, ip, kind }: ClaimAddress): string | null {
    if (kind === 'gateway') return `${text} is the gateway's address`;
    if (ip === null) return `${text} is no address`;
    if (kind === 'link-local') return null;
    if (kind === 'free') return isHoldable(ip) ? null : `${text} is no address of an interface`;
    const owner = this.#ports.ownerOf(network, ip);
    return owner === author ? null : `${text} lies in a block that ${owner ?? 'nobody known'} owns`;
  }

  #networkOf(network: Vni): RouteNetwork | undefined {
    return this.#ports.networks.find((candidate) => candidate.network === network);
  }
}

interface Objection {
  readonly state: 'stale' | 'refused' | 'duplicate';
  readonly reason: string;
}

function includes(addresses: readonly ClaimAddress[], { text }: ClaimAddress): boolean {
  return addresses.some((one) => one.text === text);
}

function contestKey(network: Vni, mac: Mac): string {
  return `${network}/${mac}`;
}

function neighbourKey(network: Vni, ip: string): string {
  return `${network}/${ip}`;
}

function splitNeighbourKey(key: string): [Vni, string] {
  const slash = key.indexOf('/');
  return [Number(key.slice(0, slash)) as Vni, key.slice(slash + 1)];
}
