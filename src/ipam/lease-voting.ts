// Joins the voting about hosts that are gone to the leases of one network: what the voting has to know of estate and view, and which
// blocks wait until voters have heard of them. Without it (a network that has no automatic reclaim) nothing waits and nothing expires.

import { type Cidr, cidrHasIp, type Family, parseIp } from '../base/address.ts';
import type { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { Claim } from './claims.ts';
import type { Estate } from './estate.ts';
import type { LeaseView } from './lease-view.ts';
import { type Reclaimed, Voting } from './reclaim/voting.ts';
import type { IpamOptions } from './types.ts';

export interface LeaseVotingPorts {
  readonly options: IpamOptions;
  readonly estate: Estate;
  readonly view: LeaseView;
  /** What this host knows may be old: it neither votes nor proposes. */
  readonly isPaused: () => boolean;
  /** The voters gave blocks of a host that is gone to another one. */
  readonly reclaimed: (value: Reclaimed) => void;
  /** What may be handed out may have changed. */
  readonly changed: () => void;
  readonly drop: (reason: string) => void;
}

export class LeaseVoting {
  readonly #self: PeerId;
  readonly #estate: Estate;
  readonly #voting: Voting | null;
  readonly #claimsOf: (peer: PeerId) => readonly string[];
  #unconfirmed: readonly Cidr[] = [];
  /** What the voters gave to us. */
  #inherited: readonly Reclaimed[] = [];

  /** Throws FabricError `state-damaged`. */
  constructor(ports: LeaseVotingPorts) {
    const { options, estate, view } = ports;
    const { self, voting } = options;
    this.#self = self;
    this.#estate = estate;
    this.#claimsOf = voting?.claimsOf ?? (() => []);
    if (voting === undefined) {
      this.#voting = null;
      return;
    }
    this.#voting = new Voting({
      ...options,
      ...voting,
      isRemoved: (peer) => view.isRemoved(peer),
      isPaused: ports.isPaused,
      isUnderstood: (peer) => view.isUnderstood(peer),
      owners: () => [
        ...new Set(options.plan.families.flatMap(({ family }) => view.regions(family).map(({ owner }) => owner))),
      ],
      titlesOf: (peer) => view.titlesOf(peer),
      giftsTo: (peer) => view.giftsTo(peer),
      ownTitles: () => new Set(this.#gifts().map(({ key }) => key)),
      reclaimed: ports.reclaimed,
      publish: (entries) => options.events.votesChanged?.(entries),
      changed: () => {
        this.#refresh();
        ports.changed();
      },
      drop: ports.drop,
    });
    for (const value of this.#voting.reclaims()) view.reclaimed(value);
    this.#refresh();
  }

  get core(): Voting | null {
    return this.#voting;
  }

  /** Why this host may hand out nothing new now; null: it may. */
  obstacle(): FabricError | null {
    return this.#voting?.obstacle() ?? null;
  }

  /** True when enough voters have heard of all that others gave us. */
  knowsOurTitles(): boolean {
    const voting = this.#voting;
    return voting === null || this.#gifts().every(({ key }) => voting.isConfirmed(key));
  }

  /** Blocks that others gave us of which too few voters have heard; of any family. */
  unconfirmed(): readonly Cidr[] {
    return this.#unconfirmed;
  }

  /**
   * What hosts that lost blocks to us last recorded in use there: they may run on, cut off from everyone. It is handed out again once
   * they withdraw it, or an operator says that they are off.
   */
  inUseElsewhere(family: Family): ReadonlySet<bigint> {
    const values = new Set<bigint>();
    for (const { owner, titles } of this.#inherited) {
      for (const text of this.#claimsOf(owner)) {
        const ip = parseIp(text);
        if (ip?.family === family && titles.some(({ cidr }) => cidrHasIp(cidr, ip))) values.add(ip.value);
      }
    }
    return values;
  }

  /** Our own records changed. */
  titlesChanged(): void {
    this.#refresh();
    this.#voting?.titlesChanged();
  }

  #refresh(): void {
    const voting = this.#voting;
    if (voting === null) return;
    this.#inherited = voting.reclaims().filter(({ heir }) => heir === this.#self);
    this.#unconfirmed = this.#gifts().flatMap(({ key, cidr }) => (voting.isConfirmed(key) ? [] : [cidr]));
  }

  /** Our titles by others' gifts: what we gave ourselves rests on them, on a decision, or on an operator's word. */
  #gifts(): readonly Claim[] {
    return this.#estate.claims().filter(({ record }) => record.owner === this.#self && record.donor !== this.#self);
  }
}
