// Replicates author-only maps to every member over any connected graph of links. Each host writes its own map and carries
// all others; digests find differences (Scuttlebutt over a tree), pushes spread changes at once (Plumtree, spreader.ts),
// and only what an author signed is believed (replica.ts). Pure and synchronous: bytes in, bytes out, time from the clock;
// the owner calls tick(). Nothing that a neighbour sends throws: it is dropped and counted by reason, and the link stays.
//
//   ours ──▶ root ──▶ theirs        equal: silence
//        ◀─ buckets ─               which of 256 buckets differ
//        ── heads ──▶               (author, version) of those
//        ◀─ have, want ─            newer there / newer here
//        ── want, states ──▶        deltas, each verified against its author's signature

import { equalBytes } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import { FINGERPRINT_BYTES, peerIdOf } from './author-state.ts';
import { MemoryAuthorTable } from './author-table.ts';
import { Counters } from './counters.ts';
import { BUCKETS } from './digest-tree.ts';
import { FetchList } from './fetch-list.ts';
import type { GossipEvents, GossipLink, GossipOptions, GossipStats } from './gossip-options.ts';
import {
  ASKED_PER_LINK_MAX,
  GOSSIP_LIMITS,
  GOSSIP_TIMES,
  type GossipLimits,
  type GossipTimes,
  HOLDERS_MAX,
} from './limits.ts';
import {
  type Bitmap,
  decodeMessage,
  type GossipMessage,
  type HeadRef,
  hasBit,
  type StateItem,
  type Want,
} from './messages.ts';
import { Neighbours } from './neighbours.ts';
import { Outbox } from './outbox.ts';
import { Pace } from './pace.ts';
import { changesBetween, EMPTY_MAP, entriesOf, lookUp } from './packed-map.ts';
import { Replica, type Verdict } from './replica.ts';
import { Spreader } from './spreader.ts';

export type { GossipEvents, GossipLink, GossipOptions, GossipStats } from './gossip-options.ts';
export type { RecordChange } from './packed-map.ts';

export class Gossip {
  readonly #options: GossipOptions;
  readonly #events: GossipEvents;
  readonly #self: PeerId;
  readonly #limits: GossipLimits;
  readonly #times: GossipTimes;
  readonly #replica: Replica;
  readonly #spreader: Spreader;
  readonly #fetch: FetchList;
  readonly #pace: Pace;
  readonly #neighbours: Neighbours;
  readonly #received = new Counters();
  readonly #drops = new Counters();
  #bytesReceived = 0;
  /** The version that our next own push builds on; null: all is pushed. */
  #unpushed: number | null = null;
  #ownPushAtMs = Number.NEGATIVE_INFINITY;
  #reconcileAtMs: number;
  #lazyAtMs = Number.POSITIVE_INFINITY;
  #persistAtMs = Number.POSITIVE_INFINITY;

  /** Loads what the store holds; throws FabricError `state-damaged` when our own state there is unreadable. */
  constructor(options: GossipOptions) {
    const { self, crypto } = options;
    assert(peerIdOf(crypto, self.identityKey) === self.peer, 'a peer id is the hash of its identity key');
    this.#options = options;
    this.#events = options.events;
    this.#self = self.peer;
    this.#limits = { ...GOSSIP_LIMITS, ...options.limits };
    this.#times = { ...GOSSIP_TIMES, ...options.times };
    const table = options.table ?? new MemoryAuthorTable(crypto);
    this.#replica = new Replica({ ...options, table, limits: this.#limits });
    this.#pace = new Pace(this.#times);
    this.#neighbours = new Neighbours(this.#pace, options.random);
    this.#spreader = new Spreader({
      neighbours: this.#neighbours,
      pace: this.#pace,
      limits: this.#limits,
      random: options.random,
      versionOf: (author) => this.version(author),
    });
    this.#fetch = new FetchList({
      missingMax: this.#limits.authorsMax,
      holdersMax: HOLDERS_MAX,
      askedPerLinkMax: ASKED_PER_LINK_MAX,
      askTimeoutMs: this.#times.askTimeoutMs,
      askNewsTimeoutMs: this.#times.askNewsTimeoutMs,
      refusedMs: this.#times.refusedMs,
    });
    this.#drops.add('stored-state-damaged', this.#replica.damagedAtStart);
    this.#reconcileAtMs = this.#nextReconcileAtMs();
  }

  /** Publishes a record of ours: durable when it returns, and on its way to the neighbours. See {@link batch}. */
  put(key: string, value: Uint8Array): void {
    this.batch(new Map([[key, value]]));
  }

  remove(key: string): void {
    this.batch(new Map([[key, null]]));
  }

  /**
   * Publishes several changes as one version; null deletes. A batch that changes nothing costs nothing. Throws FabricError
   * `limit` or the store's error, and then nothing has changed. Never call it inside a store transaction: what is sent
   * must be durable.
   */
  batch(changes: ReadonlyMap<string, Uint8Array | null>): void {
    const written = this.#replica.write(changes);
    if (written === null) return;
    this.#pace.saw(this.#nowMs());
    this.#unpushed ??= written.previous;
    this.#flush();
  }

  /** A copy of a live record, or null. */
  get(author: PeerId, key: string): Uint8Array | null {
    const state = this.#replica.table.get(author);
    return state === undefined ? null : (lookUp(state.packed, key)?.slice() ?? null);
  }

  /** Copies of an author's live records whose keys start with `prefix`, in the order of the keys. */
  entries(author: PeerId, prefix = ''): readonly (readonly [key: string, value: Uint8Array])[] {
    const records: (readonly [string, Uint8Array])[] = [];
    for (const { key, value } of entriesOf(this.#replica.table.get(author)?.packed ?? EMPTY_MAP)) {
      if (value !== null && key.startsWith(prefix)) records.push([key, value.slice()]);
    }
    return records;
  }

  /** All authors of whom a state is known, ourselves included once we have written. */
  authors(): readonly PeerId[] {
    return Array.from(this.#replica.table.all(), (state) => state.author);
  }

  /** The version of an author's state, 0 when none is known. */
  version(author: PeerId): number {
    return this.#replica.table.get(author)?.version ?? 0;
  }

  /** The key that signs an author's map; null when nothing of it is known. Stays when the author has withdrawn its records. */
  identityKeyOf(author: PeerId): Uint8Array | null {
    return this.#replica.table.get(author)?.identityKey ?? null;
  }

  /** 8 bytes, equal on two hosts exactly when they hold the same states. */
  digestRoot(): Uint8Array {
    return this.#replica.table.root();
  }

  /** A link replaces an older one to the same peer. */
  linkUp(peer: PeerId, link: GossipLink): void {
    assert(peer !== this.#self, 'no link leads to ourselves');
    if (this.#neighbours.has(peer)) this.linkDown(peer);
    const outbox = new Outbox(this.#replica.table, this.#limits, () => this.#neighbours.intended());
    outbox.root();
    this.#neighbours.add(peer, link, outbox);
    this.#flush();
  }

  linkDown(peer: PeerId): void {
    if (!this.#neighbours.remove(peer)) return;
    this.#spreader.linkDown(peer);
    this.#fetch.linkDown(peer);
    this.#flush();
  }

  /** The link takes messages again. */
  writable(peer: PeerId): void {
    this.#neighbours.writable(peer);
    this.#flush();
  }

  /** A message from a neighbour. The array is not kept. */
  receive(peer: PeerId, bytes: Uint8Array): void {
    this.#bytesReceived += bytes.length;
    const outbox = this.#neighbours.outboxOf(peer);
    if (outbox === undefined) {
      this.#drops.add('no-link');
      return;
    }
    const message = decodeMessage(bytes, this.#limits);
    if (typeof message === 'string') {
      this.#drops.add(message);
      return;
    }
    this.#received.add(message.type);
    this.#fetch.active(peer, this.#nowMs());
    this.#handle(peer, outbox, message);
    this.#flush();
  }

  /**
   * The operator's `rmpeer`: drops an author's records and refuses its return up to the version known now, durably. It is
   * acceptAuthor that refuses it for ever. A host does not forget itself.
   */
  forget(author: PeerId): void {
    assert(author !== this.#self, 'a host does not forget itself');
    const state = this.#replica.forget(author);
    if (state === null) return;
    this.#spreader.tree.forget(author);
    this.#events.changed(author, changesBetween(state.packed, EMPTY_MAP));
  }

  /** Does what is due; returns the ms until {@link tick} is wanted again. Early or late calls do no harm. */
  tick(): number {
    const nowMs = this.#nowMs();
    if (nowMs >= this.#reconcileAtMs) {
      this.#reconcileAtMs = this.#nextReconcileAtMs();
      // What is on its way makes digests differ all the time, and fetching it would only double it.
      const share = 1 / this.#pace.stretchOf('reconcile', nowMs);
      if (share === 1 || this.#options.random.fraction() < share) this.#neighbours.randomOutbox()?.root();
    }
    if (this.#pace.takeRushOver(nowMs)) this.#neighbours.randomOutbox()?.root();
    if (nowMs >= this.#lazyAtMs) {
      let isGathering = false;
      for (const outbox of this.#neighbours.outboxes()) isGathering = outbox.pauseOver() || isGathering;
      this.#lazyAtMs = isGathering ? nowMs + this.#pace.lazyMs(nowMs) : Number.POSITIVE_INFINITY;
    }
    this.#fetch.expire(nowMs);
    this.#flush();
    if (nowMs >= this.#persistAtMs) this.#persist();
    return this.dueMs();
  }

  /** The ms until a tick is wanted, as of now: calls of other methods may shorten it. */
  dueMs(): number {
    const atMs = Math.min(
      this.#reconcileAtMs,
      this.#pace.rushOverAtMs,
      this.#lazyAtMs,
      this.#neighbours.pushAtMs,
      this.#unpushed === null ? Number.POSITIVE_INFINITY : this.#ownPushAtMs,
      this.#persistAtMs,
      this.#fetch.expiresAtMs(),
    );
    return Math.max(0, atMs - this.#nowMs());
  }

  /** Pushes our own changes at once, however busy the mesh is; before a stop, after which nobody could. */
  pushNow(): void {
    this.#ownPushAtMs = Number.NEGATIVE_INFINITY;
    this.#neighbours.endPauses();
    this.#flush();
  }

  /** Writes at once what tick would write later; for a clean stop. */
  persistAll(): void {
    while (this.#replica.hasUnsaved) this.#persist();
  }

  /** States that neighbours have and we still lack. */
  get missing(): number {
    return this.#fetch.size;
  }

  stats(): GossipStats {
    return {
      authors: this.#replica.table.size,
      links: this.#neighbours.size,
      stateBytes: this.#replica.table.bytes,
      ownVersion: this.version(this.#self),
      missing: this.missing,
      messagesSent: this.#neighbours.sent,
      messagesReceived: this.#received.read(),
      bytesSent: this.#neighbours.bytesSent,
      bytesReceived: this.#bytesReceived,
      drops: this.#drops.read(),
    };
  }

  #handle(peer: PeerId, outbox: Outbox, message: GossipMessage): void {
    switch (message.type) {
      case 'root':
        if (!equalBytes(message.digest, this.#replica.table.root())) outbox.buckets();
        break;
      case 'buckets':
        this.#answerBuckets(outbox, message.digests);
        break;
      case 'heads':
        this.#answerHeads(peer, outbox, message.buckets, message.heads);
        break;
      case 'have':
        for (const head of message.heads) this.#consider(peer, outbox, head, message.fresh);
        break;
      case 'want':
        for (const want of message.wants) this.#answerWant(peer, outbox, want);
        break;
      case 'states':
        for (const item of message.items) this.#take(peer, outbox, item);
        break;
      case 'prune':
        for (const author of message.authors) this.#spreader.tree.prune(author, peer);
        break;
    }
  }

  #answerBuckets(outbox: Outbox, theirs: Uint8Array): void {
    const ours = this.#replica.table.bucketDigests();
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const start = bucket * FINGERPRINT_BYTES;
      const end = start + FINGERPRINT_BYTES;
      if (!equalBytes(ours.subarray(start, end), theirs.subarray(start, end))) outbox.heads(bucket);
    }
  }

  #answerHeads(peer: PeerId, outbox: Outbox, buckets: Bitmap, heads: readonly HeadRef[]): void {
    const listed = new Set<PeerId>();
    for (const head of heads) {
      listed.add(head.author);
      this.#consider(peer, outbox, head, false);
    }
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (!hasBit(buckets, bucket)) continue;
      for (const { author } of this.#replica.table.inBucket(bucket)) if (!listed.has(author)) outbox.have(author);
    }
  }

  /** A neighbour's head: fetch what is newer there, offer what is newer here. */
  #consider(peer: PeerId, outbox: Outbox, head: HeadRef, fresh: boolean): void {
    const { author, version } = head;
    switch (this.#replica.compare(head)) {
      case 'theirs-newer':
        // One version with two contents is a cloned identity: no delta helps.
        if (version === this.version(author)) this.#showAuthor(author);
        this.#fetch.announce({ author, version, holder: peer }, this.#nowMs(), {
          fresh,
          full: version === this.version(author),
        });
        break;
      case 'ours-newer':
        if (!fresh) outbox.have(author);
        break;
      case 'same':
        outbox.known(author);
        break;
      case 'unwanted':
        break;
    }
  }

  #answerWant(peer: PeerId, outbox: Outbox, { author, base, graft }: Want): void {
    if (this.#replica.table.get(author) === undefined) return;
    if (graft) this.#spreader.tree.graft(author, peer);
    outbox.state(author, base);
  }

  #take(peer: PeerId, outbox: Outbox, item: StateItem): void {
    const { author, version } = item;
    const verdict = this.#replica.offer(item);
    if (verdict.kind === 'installed' || verdict.kind === 'known') this.#fetch.received(author, this.version(author));
    this.#fetch.failed(author, peer); // whatever it promised, its turn is over
    if ('reason' in verdict) this.#drops.add(verdict.reason);
    switch (verdict.kind) {
      case 'installed':
        if (item.pushed) {
          this.#pace.saw(this.#nowMs(), version - (verdict.before?.version ?? version - 1));
          this.#spreader.pushed(author, peer, { isNews: true });
        }
        if (verdict.state.version > version) this.#unpushed ??= version;
        this.#spread(peer, outbox, verdict);
        break;
      case 'known':
        if (version === this.version(author)) outbox.known(author);
        if (item.pushed) this.#spreader.pushed(author, peer, { isNews: false });
        break;
      case 'retry': {
        const full = verdict.reason === 'delta-mismatch';
        if (full) this.#showAuthor(author);
        this.#fetch.announce({ author, version, holder: peer }, this.#nowMs(), { full });
        break;
      }
      case 'forgotten-by-us':
        if (verdict.written !== null) this.#unpushed ??= verdict.written.previous;
        this.#events.ownStateForgotten(verdict.changes);
        break;
      case 'refused':
        this.#fetch.refuse(author, this.#nowMs());
        break;
      case 'invalid':
        break;
    }
  }

  /** An author says something else than it did: it runs on an old copy of its state, or a clone, and is shown what we have of it. */
  #showAuthor(author: PeerId): void {
    this.#neighbours.outboxOf(author)?.state(author, 0);
  }

  #spread(from: PeerId, outbox: Outbox, { state, before }: Extract<Verdict, { kind: 'installed' }>): void {
    const { author } = state;
    const nowMs = this.#nowMs();
    outbox.known(author);
    if (this.#spreader.spread(author, { from, base: before?.version ?? 0, nowMs })) {
      this.#lazyAtMs = Math.min(this.#lazyAtMs, nowMs + this.#pace.lazyMs(nowMs));
    }
    if (this.#replica.hasUnsaved)
      this.#persistAtMs = Math.min(this.#persistAtMs, this.#nowMs() + this.#times.persistMs);
    if (author === this.#self) this.#reportAdoption(state.version);
    this.#events.changed(author, changesBetween(before?.packed ?? EMPTY_MAP, state.packed));
  }

  #reportAdoption(version: number): void {
    this.#options.log.warn('adopted a newer state of our own: this host ran on old state, or a clone of it lives', {
      version,
    });
    this.#events.ownStateNewer(version);
  }

  /** Pushes our own changes, asks for what is missing, and sends what each link takes. */
  #flush(): void {
    const nowMs = this.#nowMs();
    if (this.#unpushed !== null && nowMs >= this.#ownPushAtMs) {
      for (const outbox of this.#neighbours.outboxes()) outbox.push(this.#self, this.#unpushed);
      this.#unpushed = null;
      if (this.#neighbours.size > 0) this.#ownPushAtMs = nowMs + this.#pace.ownPushMs(nowMs);
    }
    if (!this.#neighbours.hasIntents && !this.#fetch.hasTurns) return;
    this.#neighbours.flush(nowMs, (peer, outbox) => {
      for (const { author, full, fresh } of this.#fetch.take(peer, nowMs)) {
        const graft = fresh && author !== this.#self && !this.#neighbours.has(author);
        if (graft) this.#spreader.tree.grafted(author, peer);
        outbox.want({ author, base: full ? 0 : this.version(author), graft });
      }
    });
  }

  #persist(): void {
    this.#replica.saveSome();
    this.#persistAtMs = this.#replica.hasUnsaved ? this.#nowMs() + this.#times.persistMs : Number.POSITIVE_INFINITY;
  }

  /** Half to one and a half times the mean, so that hosts started together drift apart. */
  #nextReconcileAtMs(): number {
    return this.#nowMs() + this.#times.reconcileMs * (0.5 + this.#options.random.fraction());
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
