// `fabric token rotate`, and what a host makes of others' rotations (docs/keys.md): takes new tokens in, says whom older ones let
// in, and mends what a partition left. Every host comes to the same current token by the same records, in whatever order
// they come. Invariants: a token is durable here before anybody hears of it; a revoked host is never given one, and one that it
// may have is replaced.

import type { Clock, Crypto, Log, Random, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId, TokenId } from '../base/ids.ts';
import { type Generation, GRACE_MS_MAX, type Keyring } from '../base/keyring.ts';
import type { RotationRecord, SealsRecord } from '../base/records.ts';
import { openSecret, sealSecret } from '../base/sealed-secret.ts';
import { nextToken, type Token } from '../base/token.ts';
import { SEALS_MAX } from '../gossip/token-records.ts';
import type { HostKeys } from '../host/identity-file.ts';
import type { Refusal } from '../host/mesh/refusal.ts';
import type { Directory } from './directory.ts';
import type { OwnRecords } from './own-records.ts';
import { RotationsHeard } from './rotations-heard.ts';
import { Ticker } from './ticker.ts';

export interface RotationPorts {
  readonly keys: HostKeys;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly log: Log;
  readonly own: Pick<OwnRecords, 'publishToken'>;
  readonly directory: Pick<Directory, 'peers'>;
  /** Who has a link to us, also one of whom no record has come yet. */
  linked(): readonly PeerId[];
  isAlive(peer: PeerId): boolean;
  isRevoked(peer: PeerId): boolean;
  /** All hosts that were ever revoked. */
  revoked(): readonly PeerId[];
  /** The tokens that are held are others than before. Must not call back. */
  changed(): void;
  /** An older token lets this host in no more: what it was let in by ends. Must not call back. */
  cut(peer: PeerId): void;
  readonly timers: Timers;
  /** A tick could not do its work; it is tried again. */
  failed(error: FabricError): void;
}

export interface RotationFacts {
  readonly generation: number;
  /** Clock.wallMs until which the token before lets in unknown hosts; null: it does not. */
  readonly graceEndsMs: number | null;
  /** For how long we have known that a host turned to a later token than those that we hold, and none brought it to us; null: not so. */
  readonly outdatedMs: number | null;
}

export const GRACE_DEFAULT_MS = 86_400_000;
/** What two sides of a partition say arrives within that time; then the first living host acts, after as much again the next. */
const SETTLE_MS = 3_000;
const IDLE_MS = 60_000;

export class Rotations {
  readonly #ports: RotationPorts;
  readonly #heard: RotationsHeard;
  readonly #ticker: Ticker;
  /** Sealed to us, of rotations that nobody has announced yet. Bounded as {@link RotationsHeard}. */
  readonly #opened = new Map<TokenId, Token>();
  /** Of the token that has nobody left from before its grace: those were cut off. */
  #sweptFor: TokenId | null = null;
  #troubledSinceMs: number | null = null;
  /** Clock.monotonicMs. */
  #outdatedSinceMs: number | null = null;

  constructor(ports: RotationPorts) {
    this.#ports = ports;
    this.#heard = new RotationsHeard(ports.keyring);
    this.#ticker = new Ticker(ports.timers, () => this.#tick(), ports.failed);
  }

  /** Looks at once at what is due: at the start, after a removal. */
  wake(): void {
    this.#ticker.wake();
  }

  stop(): void {
    this.#ticker.stop();
  }

  /** A new token, now. Durable and on its way when it returns. Throws `usage` for a grace out of bounds, or the store's error. */
  rotate({ graceMs }: { readonly graceMs: number }): RotationFacts {
    if (!(graceMs >= 0 && graceMs <= GRACE_MS_MAX)) {
      throw new FabricError('usage', {
        what: 'the grace is out of bounds',
        why: `it is 0 to ${GRACE_MS_MAX / 86_400_000} days`,
      });
    }
    this.#replace(graceMs, 'an operator asked for it');
    return this.facts();
  }

  /**
   * The same without a grace for hosts that were revoked, now, unless the current token was kept from them already: each rotation that
   * is not needed is one more that a late host has missed.
   */
  shutOutRevoked(): void {
    if (this.#isTainted()) this.#replace(0, 'an operator revoked a host');
  }

  #replace(graceMs: number, reason: string): void {
    const { keyring, random, log } = this.#ports;
    keyring.take(nextToken(keyring.current.token, random), graceMs, { untold: true });
    this.#announce();
    log.warn('the token was replaced', { generation: keyring.current.generation, graceS: graceMs / 1000, reason });
    this.#taken();
  }

  /** Host `author` says that a token took the place of another; repeats change nothing. */
  heardRotation(author: PeerId, record: RotationRecord): void {
    if (this.#ports.isRevoked(author)) return;
    this.#heard.rotation(record);
    this.#settle();
  }

  /** Host `author` gives a token to members. */
  heardSeals(author: PeerId, record: SealsRecord): void {
    const { keys, keyring, crypto, isRevoked } = this.#ports;
    if (isRevoked(author) || !this.#heard.seals(author, record)) return;
    const { id, generation, ephemeralKey } = record;
    const own = record.seals.find(({ member }) => member === keys.peer);
    if (own !== undefined && keyring.find(id) === undefined && !this.#opened.has(id)) {
      const scope = { clusterId: keyring.clusterId, generation, id, member: keys.peer };
      const token = openSecret(own.sealed, scope, { ephemeralKey, ...keys }, crypto);
      if (token !== null) this.#opened.set(id, token);
    }
    this.#forgetOpened();
    this.#settle();
  }

  /** Whether a host that proved itself by a token that we hold is let in. */
  admits(peer: PeerId, { id }: Pick<Generation, 'id'>): boolean {
    const { current, graceLeftMs } = this.#ports.keyring;
    const isGuest = graceLeftMs > 0 && !this.#heard.isExcluded(current.id, peer);
    return id === current.id || isGuest || this.#heard.isMember(current.id, peer);
  }

  /** The same in words; null: it is welcome. */
  refusalOf(peer: PeerId, by: Pick<Generation, 'id' | 'generation'>): Refusal | null {
    if (this.admits(peer, by)) return null;
    return {
      code: 'token-refused',
      what: `refused peer ${peer}`,
      why: `it shows generation ${by.generation} of the token, which was replaced, and it was no member then`,
      fix: "Give it the current token: 'fabric token' on a member prints it",
    };
  }

  /** A host showed a later token than any that we hold: if nobody else lets us in, we were away for too long. */
  toldOutdated(): void {
    this.#outdatedSinceMs ??= this.#ports.clock.monotonicMs();
  }

  facts(): RotationFacts {
    const { clock, keyring } = this.#ports;
    const { current, graceLeftMs } = keyring;
    const graceEndsMs = graceLeftMs === 0 ? null : clock.wallMs() + graceLeftMs;
    const sinceMs = this.#outdatedSinceMs;
    const outdatedMs = sinceMs === null ? null : clock.monotonicMs() - sinceMs;
    return { generation: current.generation, graceEndsMs, outdatedMs };
  }

  /** Does what is due; returns the milliseconds until it wants to be called again. */
  #tick(): number {
    const { clock, keyring, keys, isRevoked } = this.#ports;
    if (isRevoked(keys.peer)) return IDLE_MS; // nobody listens to us any more
    if (keyring.untold) this.#announce(); // a crash or a full disk came between taking the token and telling of it
    const { graceLeftMs } = keyring;
    if (graceLeftMs === 0) this.#sweep();
    const isTainted = this.#isTainted();
    const late = graceLeftMs > 0 ? this.#unsealed() : [];
    if (!isTainted && late.length === 0) {
      this.#troubledSinceMs = null;
      return graceLeftMs > 0 ? Math.min(graceLeftMs, SETTLE_MS) : IDLE_MS;
    }
    const nowMs = clock.monotonicMs();
    this.#troubledSinceMs ??= nowMs;
    const waitMs = this.#troubledSinceMs + SETTLE_MS * (1 + this.#rank()) - nowMs;
    if (waitMs > 0) return waitMs;
    this.#troubledSinceMs = null;
    if (isTainted) this.#replace(0, 'a revoked host may know the one before');
    else this.#seal(late);
    return SETTLE_MS;
  }

  /** Takes in whatever is announced and sealed to us. */
  #settle(): void {
    const { keyring, log } = this.#ports;
    let isNews = false;
    for (const [id, token] of this.#opened) {
      const graceMs = this.#heard.graceMs(id);
      if (graceMs === null) continue;
      isNews = keyring.take(token, graceMs) || isNews;
      this.#opened.delete(id);
    }
    if (!isNews) return;
    log.info('the cluster has a new token', { generation: keyring.current.generation });
    this.#taken();
  }

  #taken(): void {
    this.#outdatedSinceMs = null;
    this.#heard.prune();
    this.#forgetOpened();
    this.#ports.changed();
    this.wake();
  }

  #forgetOpened(): void {
    for (const id of this.#opened.keys()) if (!this.#heard.remembers(id)) this.#opened.delete(id);
  }

  /** Tells of the current token and gives it to every member. */
  #announce(): void {
    const { keyring, keys, own, revoked } = this.#ports;
    const { id, generation } = keyring.current;
    const graceMs = keyring.graceLeftMs;
    const rotation: RotationRecord = { generation, id, graceMs, excluded: revoked() };
    const seals = this.#sealsFor([[keys.peer, keys.staticKey], ...this.#members()]);
    own.publishToken({ rotation, seals }, generation - 1);
    keyring.told();
    this.#heard.rotation(rotation);
    for (const record of seals) this.#heard.seals(keys.peer, record);
  }

  #seal(members: readonly Recipient[]): void {
    const { keyring, keys, own } = this.#ports;
    const seals = this.#sealsFor(members);
    own.publishToken({ rotation: null, seals }, keyring.current.generation - 1);
    for (const record of seals) this.#heard.seals(keys.peer, record);
  }

  #sealsFor(members: readonly Recipient[]): readonly SealsRecord[] {
    const { keyring, keys, crypto, random } = this.#ports;
    const { id, generation, token } = keyring.current;
    const records: SealsRecord[] = [];
    const firstPart = this.#heard.nextPart(id, keys.peer);
    for (let at = 0; at < members.length; at += SEALS_MAX) {
      const ephemeralSecret = random.bytes(32);
      const ephemeral = crypto.x25519Key(ephemeralSecret);
      ephemeralSecret.fill(0);
      const seals = members.slice(at, at + SEALS_MAX).flatMap(([member, staticKey]) => {
        const sealed = sealSecret(token, { id, member, staticKey }, ephemeral, crypto);
        return sealed === null ? [] : [{ member, sealed }];
      });
      records.push({ generation, id, part: firstPart + records.length, ephemeralKey: ephemeral.publicKey, seals });
    }
    return records;
  }

  /** All hosts but this one that are to have the token. */
  #members(): readonly Recipient[] {
    const { directory, keys, isRevoked } = this.#ports;
    return directory
      .peers()
      .flatMap(([peer, { staticKey }]) => (peer === keys.peer || isRevoked(peer) ? [] : [[peer, staticKey] as const]));
  }

  /**
   * Hosts that joined by the token before, which knew nothing of the rotation. Not whom it was kept from: the rotation may be heard
   * before the revocation is.
   */
  #unsealed(): readonly Recipient[] {
    const { id } = this.#ports.keyring.current;
    return this.#members().filter(([peer]) => !this.#heard.isMember(id, peer) && !this.#heard.isExcluded(id, peer));
  }

  /** True when a revoked host may know the current token: it was made where nobody knew of the revocation. */
  #isTainted(): boolean {
    const { keyring, revoked } = this.#ports;
    return revoked().some((peer) => !this.#heard.isExcluded(keyring.current.id, peer));
  }

  /** Once no older token lets in unknown hosts, those that it did let in go. */
  #sweep(): void {
    const { keyring, cut, linked } = this.#ports;
    const { generations, current } = keyring;
    if (generations.length === 1 || this.#sweptFor === current.id || !this.#heard.knows(current.id)) return;
    this.#sweptFor = current.id;
    const guests = new Set([...this.#members().map(([peer]) => peer), ...linked()]);
    for (const peer of guests) if (!this.#heard.isMember(current.id, peer)) cut(peer);
  }

  /** How many living members come before us: who acts first, so that not all do the same. */
  #rank(): number {
    const { keys, keyring, isAlive } = this.#ports;
    const { id } = keyring.current;
    const mayAct = (peer: PeerId): boolean => !this.#heard.knows(id) || this.#heard.isMember(id, peer);
    return this.#members().filter(([peer]) => peer < keys.peer && isAlive(peer) && mayAct(peer)).length;
  }
}

type Recipient = readonly [peer: PeerId, staticKey: Uint8Array];
