// Whom to dial and when: one synchronous state machine for the operator's targets and for the peers that gossip knows. It
// opens no socket and reads no clock; Mesh feeds it events and carries out the dials that tick() returns.
// Invariants: nobody linked is dialled; one dial at a time per destination; ourselves, once met, are never dialled again;
// a host that is gone for good costs one dial per 30 s however many there are (3 s when it is the only other host).
//
// A target that led to a peer becomes one more address of that peer, so that the two are never dialled apart.

import type { Random } from '../../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../../base/endpoint.ts';
import type { PeerId } from '../../base/ids.ts';
import { type Backoff, DIAL_TIMES, type DialTimes, retryDelayMs } from './dial-times.ts';
import type { Refusal } from './refusal.ts';
import type { TargetState } from './target-state.ts';

/** A host (name or address) and its mesh port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface KnownPeer {
  readonly peer: PeerId;
  /** Best first. */
  readonly endpoints: readonly Endpoint[];
  /** Something waits to be sent there: it is dialled at once, without a head start for the other side. */
  readonly isAwaited?: boolean;
}

export interface Dial extends Address {
  readonly id: number;
}

export interface TargetStatus extends Address {
  readonly state: TargetState;
  /** Whom it led to last; null: nobody yet. */
  readonly peer: PeerId | null;
  /** Dials since the last link. */
  readonly attempts: number;
  readonly lastError: Refusal | null;
  /** Clock.monotonicMs of the next dial; null when none is planned. */
  readonly nextDialMs: number | null;
}

const TARGETS_MAX = 256;
const ADDRESSES_PER_PEER_MAX = 8;
const SELF_ADDRESSES_MAX = 256;
const DIALS_MAX = 8;
/** Beyond it the oldest is forgotten, and told once more. */
const FAILURES_MAX = 1_024;

interface Destination extends Backoff {
  addresses: readonly Address[];
  /** For targets: the peer that it led to. For peers: itself. */
  peer: PeerId | null;
  attempts: number;
  dial: number | null;
  lastError: Refusal | null;
}

export class Dialler {
  readonly #self: PeerId;
  readonly #random: Random;
  readonly #times: DialTimes;
  /** By `host:port`. */
  readonly #targets = new Map<string, Destination>();
  readonly #peers = new Map<PeerId, Destination>();
  /** Where peers called from, with the port that they listen on. */
  readonly #observed = new Map<PeerId, Address>();
  readonly #linked = new Set<PeerId>();
  /** Addresses that turned out to be ourselves. */
  readonly #selfAddresses = new Set<string>();
  readonly #dials = new Map<number, { readonly destination: Destination; readonly address: Address }>();
  /** Why each address failed last, so that the same is not told twice. */
  readonly #failures = new Map<string, string>();
  #nextDialId = 1;
  #rareMs = 0;
  #isSated = false;

  constructor({ self, random, times = DIAL_TIMES }: { self: PeerId; random: Random; times?: DialTimes }) {
    this.#self = self;
    this.#random = random;
    this.#times = times;
  }

  /** False when there are too many. Repeats are idempotent, but dial again at once. */
  addTarget(address: Address, nowMs: number): boolean {
    const key = addressKey(address);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      known.nextMs = nowMs;
      return true;
    }
    if (this.#targets.size >= TARGETS_MAX) return false;
    this.#targets.set(key, destination([address], null, nowMs));
    return true;
  }

  /** False when there was none. A link to the peer behind it stays. */
  removeTarget(address: Address): boolean {
    return this.#targets.delete(addressKey(address));
  }

  /** The peers that gossip knows, replacing what it knew before. */
  setKnownPeers(known: readonly KnownPeer[], nowMs: number): void {
    const named = new Set<PeerId>();
    for (const { peer, endpoints, isAwaited = false } of known) {
      if (peer === this.#self) continue;
      named.add(peer);
      const addresses = endpoints.map(({ ip, port }) => ({ host: ip, port }));
      const entry = this.#peers.get(peer);
      if (entry === undefined) {
        this.#peers.set(peer, destination(addresses, peer, nowMs + (isAwaited ? 0 : this.#headStartMs(peer))));
        continue;
      }
      entry.addresses = addresses;
      if (isAwaited && entry.attempts === 0) entry.nextMs = Math.min(entry.nextMs, nowMs);
    }
    for (const peer of this.#peers.keys()) if (!named.has(peer)) this.#peers.delete(peer);
    for (const peer of this.#observed.keys())
      if (!named.has(peer) && !this.#linked.has(peer)) this.#observed.delete(peer);
  }

  /** True: there are links enough, and targets that have once led to a peer rest. */
  setSated(isSated: boolean): void {
    this.#isSated = isSated;
  }

  /** A peer called from there: one more address to try when it is lost. */
  observe(peer: PeerId, endpoint: Endpoint): void {
    this.#observed.set(peer, { host: endpoint.ip, port: endpoint.port });
  }

  linkUp(peer: PeerId): void {
    this.#linked.add(peer);
    for (const entry of this.#of(peer)) {
      entry.round = 0;
      entry.index = 0;
      entry.attempts = 0;
      entry.lastError = null;
    }
  }

  linkDown(peer: PeerId, nowMs: number): void {
    this.#linked.delete(peer);
    for (const entry of this.#of(peer)) entry.nextMs = nowMs + this.#headStartMs(peer);
  }

  /** The dial led to `peer`: a link came of it, or there was one already. */
  dialReached(id: number, peer: PeerId, nowMs: number): void {
    const dial = this.#endDial(id);
    if (dial === null) return;
    const { destination: entry, address } = dial;
    this.#failures.delete(addressKey(address));
    const target = this.#targets.get(addressKey(address));
    if (target !== undefined) target.peer = peer;
    if (entry.peer !== peer)
      this.#retry(entry, nowMs); // the address now is another host's
    else entry.nextMs = nowMs + this.#times.baseMs; // until linkUp says more
  }

  /** True when this address failed in another way before, or not at all: worth telling. */
  dialFailed(id: number, refusal: Refusal, nowMs: number): boolean {
    const dial = this.#endDial(id);
    if (dial === null) return false;
    dial.destination.lastError = refusal;
    const target = this.#targets.get(addressKey(dial.address));
    if (target !== undefined) target.lastError = refusal;
    this.#retry(dial.destination, nowMs);
    return this.#isNews(addressKey(dial.address), refusal.why);
  }

  /** The dial reached this very process: no failure, and never dialled again. */
  dialReachedSelf(id: number, nowMs: number): void {
    const dial = this.#endDial(id);
    if (dial === null) return;
    if (this.#selfAddresses.size < SELF_ADDRESSES_MAX) this.#selfAddresses.add(addressKey(dial.address));
    dial.destination.lastError = null;
    dial.destination.nextMs = nowMs;
  }

  /** True until the dial's end was told. */
  isDialling(id: number): boolean {
    return this.#dials.has(id);
  }

  /** The dials to start now. */
  tick(nowMs: number): readonly Dial[] {
    const dials: Dial[] = [];
    const others = this.#peers.size + this.#freeTargets();
    const gone: Destination[] = [];
    for (const entry of this.#destinations()) {
      if (entry.dial !== null || (entry.peer !== null && this.#linked.has(entry.peer))) continue;
      if (this.#isSated && entry.peer !== null && !this.#peers.has(entry.peer)) continue;
      const isGone = others > 1 && this.#peers.get(entry.peer!) === entry && entry.round >= this.#times.goneRounds;
      if ((!isGone && entry.nextMs > nowMs) || this.#addressesOf(entry).length === 0) continue;
      if (isGone) gone.push(entry);
      else this.#dial(entry, dials);
    }
    if (gone.length > 0 && nowMs >= this.#rareMs) {
      this.#rareMs = nowMs + this.#times.rareMs;
      this.#dial(gone[Math.floor(this.#random.fraction() * gone.length)]!, dials);
    }
    return dials;
  }

  targets(): readonly TargetStatus[] {
    return [...this.#targets.values()].map((entry) => {
      const address = entry.addresses[0]!;
      const peerEntry = entry.peer === null ? undefined : this.#peers.get(entry.peer);
      const active = peerEntry ?? entry;
      const state = this.#stateOf(entry, active);
      return {
        ...address,
        state,
        peer: entry.peer,
        attempts: active.attempts,
        lastError: state === 'linked' || state === 'self' ? null : (active.lastError ?? entry.lastError),
        nextDialMs: state === 'waiting' ? active.nextMs : null,
      };
    });
  }

  #stateOf(entry: Destination, active: Destination): TargetState {
    if (this.#selfAddresses.has(addressKey(entry.addresses[0]!))) return 'self';
    if (entry.peer !== null && this.#linked.has(entry.peer)) return 'linked';
    return active.dial === null ? 'waiting' : 'dialling';
  }

  /** Targets that lead to no known peer are dialled for themselves; the others as an address of their peer. */
  *#destinations(): Iterable<Destination> {
    yield* this.#peers.values();
    for (const entry of this.#targets.values()) if (entry.peer === null || !this.#peers.has(entry.peer)) yield entry;
  }

  #freeTargets(): number {
    let count = 0;
    for (const [key, { peer }] of this.#targets) {
      if (!this.#selfAddresses.has(key) && (peer === null || !this.#peers.has(peer))) count++;
    }
    return count;
  }

  *#of(peer: PeerId): Iterable<Destination> {
    const entry = this.#peers.get(peer);
    if (entry !== undefined) yield entry;
    for (const target of this.#targets.values()) if (target.peer === peer) yield target;
  }

  #addressesOf(entry: Destination): readonly Address[] {
    const all = [...entry.addresses];
    if (entry.peer !== null && this.#peers.get(entry.peer) === entry) {
      const observed = this.#observed.get(entry.peer);
      if (observed !== undefined) all.push(observed);
      for (const target of this.#targets.values()) if (target.peer === entry.peer) all.push(...target.addresses);
    }
    const distinct = new Map(all.map((address) => [addressKey(address), address]));
    for (const key of distinct.keys()) if (this.#selfAddresses.has(key)) distinct.delete(key);
    return [...distinct.values()].slice(0, ADDRESSES_PER_PEER_MAX);
  }

  #dial(entry: Destination, dials: Dial[]): void {
    if (this.#dials.size >= DIALS_MAX) return;
    const addresses = this.#addressesOf(entry);
    const address = addresses[entry.index % addresses.length]!;
    const key = addressKey(address);
    for (const underWay of this.#dials.values()) if (addressKey(underWay.address) === key) return; // shared or forgotten meanwhile
    const id = this.#nextDialId++;
    entry.dial = id;
    entry.attempts++;
    this.#dials.set(id, { destination: entry, address });
    dials.push({ id, ...address });
  }

  #endDial(id: number): { readonly destination: Destination; readonly address: Address } | null {
    const dial = this.#dials.get(id);
    if (dial === undefined) return null;
    this.#dials.delete(id);
    dial.destination.dial = null;
    return dial;
  }

  /** Next address soon; a new round of all addresses later and later. */
  #retry(entry: Destination, nowMs: number): void {
    entry.index++;
    if (entry.index >= this.#addressesOf(entry).length) {
      entry.index = 0;
      entry.round++;
    }
    const lonely = this.#peers.size + this.#freeTargets() <= 1;
    const isTarget = entry.peer === null || !this.#peers.has(entry.peer);
    const capMs = lonely ? this.#times.lonelyMs : isTarget && this.#linked.size === 0 ? this.#times.joinMs : undefined;
    entry.nextMs = nowMs + retryDelayMs({ entry, capMs, times: this.#times, random: this.#random });
  }

  #isNews(key: string, why: string): boolean {
    if (this.#failures.get(key) === why) return false;
    this.#failures.delete(key);
    this.#failures.set(key, why);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > FAILURES_MAX && oldest !== undefined) this.#failures.delete(oldest);
    return true;
  }

  /** Both sides learn of each other at once: the smaller id dials first, so that few dials cross. */
  #headStartMs(peer: PeerId): number {
    const { headStartMs, jitterMs } = this.#times;
    return (this.#self < peer ? 0 : headStartMs) + this.#random.fraction() * jitterMs;
  }
}

function destination(addresses: readonly Address[], peer: PeerId | null, nextMs: number): Destination {
  return { addresses, peer, nextMs, index: 0, round: 0, attempts: 0, dial: null, lastError: null };
}

/** `host:port`, equal for equal addresses. */
export function addressKey({ host, port }: Address): string {
  return formatEndpoint({ ip: host.toLowerCase(), port });
}
