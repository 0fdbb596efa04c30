// Moves blocks between hosts: answers requests with gifts, takes in what others publish or send, and adopts the records that
// concern this host: gifts to it, and gifts of its own that it forgot because its state is an old copy. Keeps estate (ours,
// durable) and view (everyone's claims) in step. The order of a gift never changes: durable, published, answered.

import { type Cidr, cidrsOverlap, type Family } from '../base/address.ts';
import { toHex } from '../base/bytes.ts';
import type { Crypto, Log } from '../base/capabilities.ts';
import { assert } from '../base/errors.ts';
import { type GiftId, PEER_ID_BYTES, type PeerId } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import { type Claim, EPOCH_TAKEN_MAX, isNewer } from './claims.ts';
import type { Estate, OwnedBlock } from './estate.ts';
import { type LeaseMessage, PROOF_STEPS_MAX, type ProofStep, type Refusal, type Wish } from './lease-message.ts';
import type { ClaimAuthor, LeaseView } from './lease-view.ts';

/** Gifts to us whose history is not proven yet, of all donors and of one: nobody's push out another one's. */
const OFFERS_MAX = 1024;
const OFFERS_OF_ONE_MAX = 256;
/** So many are looked at with each record that may prove them; more of them at the next tick. */
const OFFERS_AT_ONCE = 32;
/** Records known only from grant messages, beside gossip. */
const HEARSAY_MAX = 512;
const HEARSAY_AUTHOR: ClaimAuthor = 'grant';

export type RequestMessage = Extract<LeaseMessage, { kind: 'request' }>;
export type GrantMessage = Extract<LeaseMessage, { kind: 'grant' }>;

export interface ExchangeOptions {
  readonly self: PeerId;
  readonly estate: Estate;
  readonly view: LeaseView;
  readonly crypto: Crypto;
  readonly log: Log;
  readonly identityKeyOf: (peer: PeerId) => Uint8Array | null;
  readonly send: (peer: PeerId, message: LeaseMessage) => void;
  /** What may be given now. */
  readonly choose: (family: Family, wish: Wish, exact: Cidr | null, asker: PeerId) => Cidr | Refusal;
  /** True while the gift is one that we asked for. */
  readonly expects: (giftId: GiftId) => boolean;
  /** A gift to us is durable. Called before {@link changed}. */
  readonly received: (claim: Claim, expected: boolean) => void;
  /** False while voters have not heard of all that others gave us: a title of our own making in its place would hide that. */
  readonly mayCoalesce: () => boolean;
  /** The set of our own records changed. */
  readonly changed: () => void;
  readonly drop: (reason: string) => void;
}

export class LeaseExchange {
  readonly #options: ExchangeOptions;
  readonly #offers = new Map<string, Claim>();
  readonly #hearsay: LeaseRecord[] = [];
  /** Our own records as the view has them. */
  readonly #shown = new Map<string, Claim>();
  /** False: our own records changed, and not everybody here was told of it, or offers were not looked at; a full disk puts that off. */
  #isTold = true;
  #isConsidered = true;
  gifts = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#showOwn();
  }

  /** The donor's side. A repeat of an answered request gets the same answer. */
  answer(peer: PeerId, { giftId, family, wish, exact }: RequestMessage): void {
    const { self, estate, choose, send } = this.#options;
    const repeated = estate.giftTo(peer, giftId);
    if (repeated !== null) {
      this.#sendGrant(peer, repeated);
      return;
    }
    const refusal: Refusal | null =
      peer === self ? 'not-owner' : estate.hasRoom({ exact: wish === 'exact' }) ? null : 'limit';
    const chosen = refusal ?? choose(family, wish, exact, peer);
    if (typeof chosen === 'string') send(peer, { kind: 'refuse', giftId, reason: chosen });
    else this.give([chosen], peer, () => giftId);
  }

  /** Gives owned blocks in which nothing is in use. */
  give(blocks: readonly Cidr[], to: PeerId, giftId: () => GiftId): readonly LeaseRecord[] {
    const { estate, log } = this.#options;
    const records = estate.give(blocks, to, giftId);
    this.gifts += records.length;
    this.#ownChanged();
    for (const record of records) {
      log.info('address block given', { cidr: record.cidr, peer: to, epoch: record.epoch });
      this.#sendGrant(to, record);
    }
    return records;
  }

  /** The recipient's side. The same record may arrive by gossip as well; either will do. */
  granted(peer: PeerId, { record, proof }: GrantMessage): void {
    const { self, crypto, drop } = this.#options;
    if (record.owner !== self || record.donor !== peer) {
      drop('grant-foreign');
      return;
    }
    for (const { record: step, donorKey } of proof) {
      const id = toHex(crypto.sha256(donorKey).subarray(0, PEER_ID_BYTES));
      if (id === step.donor) this.#hear(step, donorKey);
      else drop('grant-proof-key');
    }
    this.#hear(record);
  }

  observe(author: ClaimAuthor, record: LeaseRecord, donorKey?: Uint8Array): void {
    const { view, drop } = this.#options;
    const claimsBefore = view.claimCount;
    const result = view.observe(author, record, donorKey);
    if ('drop' in result) drop(result.drop);
    if (!('claim' in result)) return;
    this.#consider(result.claim);
    if (view.claimCount === claimsBefore) return;
    if (this.#offers.size <= OFFERS_AT_ONCE) this.#considerOffers();
    else this.#isConsidered = false;
  }

  withdraw(author: PeerId, record: LeaseRecord): void {
    const { self, estate, view } = this.#options;
    if (author === self && estate.find(record) !== null) return; // gossip's copy of our map lags behind us
    view.withdraw(author, record);
  }

  /** Records whose donor's key arrived since. */
  retryPending(): void {
    for (const { author, record } of this.#options.view.arrived()) this.observe(author, record);
  }

  /** Another host may take over what a removed one owned, so offers that rest on that may be proven now. */
  peerRemoved(): void {
    this.#considerOffers();
  }

  /** Takes over what removed hosts owned. */
  inherit(blocks: readonly OwnedBlock[]): void {
    this.#options.estate.inherit(blocks);
    this.#ownChanged();
  }

  /** Creates the cluster's first records. */
  found(): void {
    this.#options.estate.found();
    this.#ownChanged();
  }

  #considerOffers(): void {
    this.#isConsidered = false;
    for (const offer of [...this.#offers.values()]) this.#consider(offer);
    this.#isConsidered = true;
  }

  #consider(claim: Claim): void {
    const { self, estate, view, expects, received, log, drop } = this.#options;
    if (estate.has(claim)) return;
    const { owner, donor, giftId, cidr, epoch } = claim.record;
    if (owner === self) {
      const expected = expects(giftId);
      if (!view.proves(claim)) {
        this.#keepOffer(claim);
        return;
      }
      if (epoch > EPOCH_TAKEN_MAX) drop('gift-epoch');
      else if (!expected && !estate.hasRoom({ exact: false })) drop('gift-limit');
      else if (estate.adopt(claim)) {
        log.info('address block received', { cidr, donor, epoch });
        received(claim, expected);
        this.#ownChanged();
      }
      this.#offers.delete(claim.key);
    } else if ((donor === self || this.#displaces(claim)) && estate.adopt(claim)) {
      log.warn('own newer state found at a peer', { cidr, owner, epoch });
      this.#ownChanged();
    }
  }

  /** The donor gave our block a second time under the same epoch, and the other gift counts. */
  #displaces(claim: Claim): boolean {
    const { self, estate } = this.#options;
    return estate
      .claims()
      .some(
        (own) =>
          own.record.owner === self &&
          own.record.epoch === claim.record.epoch &&
          own.record.donor === claim.record.donor &&
          cidrsOverlap(own.cidr, claim.cidr) &&
          isNewer(claim, own),
      );
  }

  #keepOffer(claim: Claim): void {
    this.#offers.set(claim.key, claim);
    const ofDonor = [...this.#offers.values()].filter(({ record }) => record.donor === claim.record.donor);
    const isOver = ofDonor.length > OFFERS_OF_ONE_MAX;
    if (!isOver && this.#offers.size <= OFFERS_MAX) return;
    const oldest = isOver ? ofDonor[0]!.key : this.#offers.keys().next().value!;
    this.#offers.delete(oldest);
    this.#options.drop('offer-limit');
  }

  /** Keeps records from grants as if an author of their own published them; the oldest go. */
  #hear(record: LeaseRecord, donorKey?: Uint8Array): void {
    this.#hearsay.push(record);
    if (this.#hearsay.length > HEARSAY_MAX) this.#options.view.withdraw(HEARSAY_AUTHOR, this.#hearsay.shift()!);
    this.observe(HEARSAY_AUTHOR, record, donorKey);
  }

  /** Does what a full disk has put off, and joins owned neighbours once it may. */
  tick(): void {
    if (!this.#isTold) this.#told();
    if (!this.#isConsidered) this.#considerOffers();
    if (this.#options.mayCoalesce() && this.#options.estate.coalesce()) this.#told();
  }

  #ownChanged(): void {
    this.#isTold = false;
    if (this.#options.mayCoalesce()) this.#options.estate.coalesce();
    this.#told();
  }

  #told(): void {
    this.#isTold = false;
    this.#showOwn();
    this.#options.changed();
    this.#isTold = true;
  }

  #showOwn(): void {
    const { self, estate, view } = this.#options;
    for (const [key, claim] of this.#shown) {
      if (estate.has(claim)) continue;
      this.#shown.delete(key);
      view.withdraw(self, claim.record);
    }
    for (const claim of estate.claims()) {
      if (this.#shown.has(claim.key)) continue;
      this.#shown.set(claim.key, claim);
      view.observe(self, claim.record);
    }
  }

  #sendGrant(peer: PeerId, record: LeaseRecord): void {
    this.#options.send(peer, { kind: 'grant', record, proof: this.#proofOf(record) });
  }

  /** Empty when it would be too long or a key is missing: then gossip brings what the recipient needs. */
  #proofOf(record: LeaseRecord): readonly ProofStep[] {
    const { estate, view, identityKeyOf } = this.#options;
    const claim = estate.find(record);
    assert(claim !== null, 'a grant is one of our records');
    const steps: ProofStep[] = [];
    for (const step of view.proofOf(claim.cidr)) {
      const donorKey = identityKeyOf(step.record.donor);
      if (donorKey === null) return [];
      if (step.key !== claim.key) steps.push({ record: step.record, donorKey });
    }
    return steps.length > PROOF_STEPS_MAX ? [] : steps;
  }
}
