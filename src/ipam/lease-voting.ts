// Joins the voting about hosts that are gone to the leases of one network: what the voting has to know of estate and view, and which
// blocks wait until voters have heard of them. One network's leases run the voting, those of others take part in it; without it (where
// nothing is taken back automatically) nothing waits and nothing expires.

import { type Cidr, cidrHasIp, type Family, parseIp } from '../base/address.ts';
import type { FabricError } from '../base/errors.ts';
import type { PeerId, Vni } from '../base/ids.ts';
import type { Claim } from './claims.ts';
import type { Estate } from './estate.ts';
import type { LeaseView } from './lease-view.ts';
import type { Reclaimed, VotedSpace } from './reclaim/voted-spaces.ts';
import { Voting } from './reclaim/voting.ts';
import type { IpamOptions, VotingFacts } from './types.ts';

export interface LeaseVotingPorts {
  readonly options: IpamOptions;
  /** Whose voting this network takes part in; null: its own, where the options have one. */
  readonly host: LeaseVoting | null;
  readonly estate: Estate;
  readonly view: LeaseView;
  /** What this host knows may be old: it neither votes nor proposes. */
  readonly isPaused: () => boolean;
  /** The voters gave blocks of a host that is gone to another one: {@link changed} follows. */
  readonly reclaimed: (value: Reclaimed) => void;
  /** What may be handed out, or taken over, may have changed. */
  readonly changed: () => void;
  readonly drop: (reason: string) => void;
}

export class LeaseVoting {
  /** The voting that these leases run: it is to be ticked and told of messages. Null: none, or another network's do. */
  readonly core: Voting | null;
  readonly #self: PeerId;
  readonly #network: Vni;
  readonly #estate: Estate;
  readonly #voting: Voting | null;
  readonly #claimsOf: VotingFacts['claimsOf'];
  #unconfirmed: readonly Cidr[] = [];
  /** What hosts lost of which we own a part now, whether the voters gave it to us or their heir did. */
  #lost: readonly { readonly owner: PeerId; readonly blocks: readonly Cidr[] }[] = [];

  /** Throws FabricError `state-damaged`. */
  constructor(ports: LeaseVotingPorts) {
    const { options, estate, view, host } = ports;
    const { self, plan, voting } = options;
    this.#self = self;
    this.#network = plan.network;
    this.#estate = estate;
    this.#claimsOf = host === null ? (voting?.claimsOf ?? (() => [])) : host.#claimsOf;
    this.core =
      voting === undefined
        ? null
        : new Voting({
            ...options,
            ...voting,
            isRemoved: (peer) => view.isRemoved(peer),
            isPaused: ports.isPaused,
            publish: (entries) => options.events.votesChanged?.(entries),
            drop: ports.drop,
          });
    this.#voting = host === null ? this.core : host.#voting;
    if (this.#voting === null) return;
    this.#voting.join(this.#space(ports));
    for (const value of this.#voting.reclaims()) view.reclaimed(value);
    this.#refresh();
  }

  /** These leases are no more: nobody votes about them, and nothing is confirmed for them. */
  leave(): void {
    this.#voting?.leave(this.#network);
  }

  /** As {@link Voting.leftMs}. */
  get leftMs(): number | null {
    return this.#voting?.leftMs ?? null;
  }

  /** In how many milliseconds the voters may take back what a host owns that is gone; null: they do not. */
  reclaimMs(peer: PeerId): number | null {
    return this.#voting?.reclaimMs(peer) ?? null;
  }

  /** Why this host may hand out nothing new now; null: it may. */
  obstacle(): FabricError | null {
    return this.#voting?.obstacle() ?? null;
  }

  /** True when enough voters have heard of all that others gave us. */
  knowsOurTitles(): boolean {
    const voting = this.#voting;
    return voting === null || this.#gifts().every((gift) => voting.isConfirmed(this.#titleOf(gift)));
  }

  /** Blocks that others gave us of which too few voters have heard; of any family. */
  unconfirmed(): readonly Cidr[] {
    return this.#unconfirmed;
  }

  /**
   * What hosts that lost blocks last recorded in use in what is ours now: they may run on, cut off from everyone. It is handed out
   * again once they withdraw it, or an operator says that they are off. By address, whose it is.
   */
  inUseElsewhere(family: Family): ReadonlyMap<bigint, PeerId> {
    const values = new Map<bigint, PeerId>();
    for (const { owner, blocks } of this.#lost) {
      for (const text of this.#claimsOf(owner, this.#network)) {
        const ip = parseIp(text);
        if (ip?.family === family && blocks.some((block) => cidrHasIp(block, ip))) values.set(ip.value, owner);
      }
    }
    return values;
  }

  /** Our own records changed: {@link titlesPublished} follows when others can hear of it. */
  titlesChanged(): void {
    this.#refresh();
  }

  titlesPublished(): void {
    this.#voting?.titlesPublished();
  }

  #refresh(): void {
    const voting = this.#voting;
    if (voting === null) return;
    this.#lost = voting.reclaims().flatMap(({ owner, titles }) => {
      const ours = titles.filter(({ network, cidr }) => network === this.#network && this.#ownsPartOf(cidr));
      return owner === this.#self || ours.length === 0 ? [] : { owner, blocks: ours.map(({ cidr }) => cidr) };
    });
    this.#unconfirmed = this.#gifts().flatMap((gift) => (voting.isConfirmed(this.#titleOf(gift)) ? [] : [gift.cidr]));
  }

  #ownsPartOf(cidr: Cidr): boolean {
    return this.#estate.ownedWithin(cidr).length > 0;
  }

  #space({ options, view, reclaimed, changed }: LeaseVotingPorts): VotedSpace {
    const { families } = options.plan;
    return {
      network: this.#network,
      owners: () => families.flatMap(({ family }) => view.regions(family).map(({ owner }) => owner)),
      titlesOf: (peer) => view.titlesOf(peer),
      giftsTo: (peer) => view.giftsTo(peer),
      ownTitles: () => this.#gifts().map((gift) => this.#titleOf(gift)),
      isUnderstood: (peer) => view.isUnderstood(peer),
      reclaimed,
      changed: () => {
        this.#refresh();
        changed();
      },
    };
  }

  #titleOf({ key }: Claim): string {
    return `${this.#network} ${key}`;
  }

  /** Our titles by others' gifts: what we gave ourselves rests on them, on a decision, or on an operator's word. */
  #gifts(): readonly Claim[] {
    return this.#estate.claims().filter(({ record }) => record.owner === this.#self && record.donor !== this.#self);
  }
}
