// Makes failures known to hosts that have no link to the peer: who loses a link tells its neighbours, they tell theirs (SWIM's
// suspicion, spread as Plumtree's eager push would: each rumour crosses each link once). A rumour is about one version of the
// peer's records; a peer that lives writes a newer version, whose signature clears it everywhere, also where the rumour
// arrives late. Pure; bytes in, bytes out. Bad input is dropped and counted.
//
//   link lost, silent for 2 s ─▶ suspect @7 ─▶ neighbours ─▶ … ─▶ the peer itself: writes version 8 ─▶ gossip ─▶ alive
//                                   └─ nothing newer within the suspicion time ─▶ dead, on each host by itself

import type { Clock } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { Counters } from './counters.ts';
import type { GossipLink } from './gossip-options.ts';
import { type PeerLiveness, RELINK_MS } from './peer-liveness.ts';
import { decodeRumours, encodeRumours, RUMOURS_MAX, type Rumour, VERDICTS, type Verdict } from './rumour-message.ts';

export interface RumoursOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly liveness: PeerLiveness;
  /** Version of the peer's records here; 0 when it is no member as far as we know. Also asked for ourselves. */
  versionOf(peer: PeerId): number;
  /** Writes a newer version of our own records. */
  refute(): void;
}

interface Link {
  readonly link: GossipLink;
  /** Peers about whom the neighbour has not heard our rumour. */
  readonly news: Set<PeerId>;
  /** Until everything that we have has gone out. */
  isNew: boolean;
  writable: boolean;
}

/** Rumours gather this long before they leave. */
const GATHER_MS = 20;
/** Our own life is asserted at most this often: who is slandered all the time must not write all the time. */
const REFUTE_EVERY_MS = 1_000;
const PER_MESSAGE = 2_048;
/** Who did not answer a dial of ours and lived all the same is not doubted for that again: there may be no path. */
const UNREACHED_MS = 600_000;
const UNREACHED_MAX = 1_024;

export class Rumours {
  readonly #options: RumoursOptions;
  readonly #standing = new Map<PeerId, { readonly version: number; readonly verdict: Verdict }>();
  /** Rumours of versions that have not arrived here; beyond RUMOURS_MAX the oldest is forgotten. */
  readonly #early = new Map<PeerId, Rumour>();
  /** Of whom neither we nor our neighbours can say whether they live, and the version that is no evidence of it. */
  readonly #unknown = new Map<PeerId, number>();
  readonly #unreached = new Map<PeerId, number>();
  /** Whose link was lost, and when others are told unless it was heard since, on a new link or elsewhere. */
  readonly #lost = new Map<PeerId, number>();
  readonly #links = new Map<PeerId, Link>();
  readonly #drops = new Counters();
  #informed = false;
  #flushAtMs = Number.POSITIVE_INFINITY;
  #refuteAtMs = Number.POSITIVE_INFINITY;
  #refutedMs = Number.NEGATIVE_INFINITY;

  constructor(options: RumoursOptions) {
    this.#options = options;
  }

  /** A host whose records turned up, or which we remember from before. */
  met(peer: PeerId): void {
    const { self, versionOf, liveness } = this.#options;
    const early = this.#early.get(peer);
    const doubted = early?.verdict === 'unknown';
    if (peer === self || (this.#informed && !doubted)) return;
    this.#unknown.set(peer, Math.max(versionOf(peer), doubted ? early.version : 0));
    liveness.known(peer);
  }

  /** Its records are newer than they were: it lived when it wrote them. */
  newer(peer: PeerId): void {
    const version = this.#options.versionOf(peer);
    const standing = this.#standing.get(peer);
    const isNews = (standing?.version ?? version) < version || (this.#unknown.get(peer) ?? version) < version;
    if (standing !== undefined && standing.version < version) this.#standing.delete(peer);
    const early = this.#early.get(peer);
    if (early !== undefined && early.version <= version) this.#early.delete(peer);
    // That a neighbour knows nothing of it (it restarted) is no word against a peer of which we know more.
    const speaks = early?.version === version && (early.verdict !== 'unknown' || this.#unknown.has(peer));
    if (speaks) this.#consider(null, early);
    else if (isNews) this.#clear(peer);
  }

  /** It is no member any more. */
  forget(peer: PeerId): void {
    this.#standing.delete(peer);
    this.#early.delete(peer);
    this.#unknown.delete(peer);
    this.#lost.delete(peer);
    this.#options.liveness.forget(peer);
  }

  linkUp(peer: PeerId, link: GossipLink): void {
    this.#unknown.delete(peer);
    this.#lost.delete(peer);
    this.#options.liveness.linkUp(peer);
    this.#links.set(peer, { link, news: new Set(this.#standing.keys()), isNew: true, writable: true });
    this.#flush();
  }

  /** `left`: it said that it stops. `released`: one of us needs the link no more. */
  linkDown(peer: PeerId, how: 'lost' | 'left' | 'released'): void {
    const { liveness } = this.#options;
    this.#links.delete(peer);
    if (this.#links.size === 0) this.#informed = false;
    if (how === 'released') {
      liveness.released(peer);
      const standing = this.#standing.get(peer);
      if (standing !== undefined) this.#judge(peer, standing.verdict); // our own link spoke against it until now
      return;
    }
    liveness.linkDown(peer);
    if (how === 'left') liveness.goodbye(peer);
    if (how === 'left') this.#say(peer, 'left');
    else if (liveness.view(peer)?.state === 'suspect')
      this.#lost.set(peer, this.#options.clock.monotonicMs() + RELINK_MS);
  }

  /**
   * It did not become a link when we looked for neighbours. Without any link that says more of us than of it; and who was heard
   * meanwhile lives.
   */
  unreached(peer: PeerId): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#heardUntilMs(peer) > nowMs) return;
    for (const [oldest, untilMs] of this.#unreached) {
      if (untilMs > nowMs && this.#unreached.size < UNREACHED_MAX) break;
      this.#unreached.delete(oldest);
    }
    if (this.#links.size === 0 || this.#standing.has(peer) || this.#unreached.has(peer)) return;
    this.#unreached.set(peer, nowMs + UNREACHED_MS);
    this.#options.liveness.doubted(peer);
    this.#say(peer, 'suspect');
  }

  writable(peer: PeerId): void {
    const link = this.#links.get(peer);
    if (link === undefined) return;
    link.writable = true;
    this.#flush();
  }

  receive(from: PeerId, bytes: Uint8Array): void {
    const message = decodeRumours(bytes);
    if (message === null) {
      this.#drops.add('rumour-malformed');
      return;
    }
    for (const rumour of message.rumours) this.#consider(from, rumour);
    if (message.complete) this.#informedBy(message.rumours);
  }

  /** Does what is due; returns the ms until it wants to be called again. */
  tick(): number {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs >= this.#refuteAtMs) {
      this.#refuteAtMs = Number.POSITIVE_INFINITY;
      this.#refutedMs = nowMs;
      this.#options.refute();
    }
    for (const [peer, atMs] of this.#lost) if (atMs <= nowMs) this.#tellOfLost(peer, nowMs);
    if (nowMs >= this.#flushAtMs) this.#flush();
    return this.dueMs();
  }

  dueMs(): number {
    const dueAtMs = Math.min(this.#flushAtMs, this.#refuteAtMs, ...this.#lost.values());
    return Math.max(0, dueAtMs - this.#options.clock.monotonicMs());
  }

  /** Rumours that stand, and messages and rumours that were not taken, by reason. */
  stats(): { readonly standing: number; readonly drops: Readonly<Record<string, number>> } {
    return { standing: this.#standing.size, drops: this.#drops.read() };
  }

  #tellOfLost(peer: PeerId, nowMs: number): void {
    const { liveness } = this.#options;
    this.#lost.delete(peer);
    if (liveness.view(peer)?.state !== 'suspect') return;
    const heardUntilMs = this.#heardUntilMs(peer);
    if (heardUntilMs > nowMs) this.#lost.set(peer, heardUntilMs);
    else this.#say(peer, 'suspect');
  }

  /** Until when what was last heard of it keeps others from being told. */
  #heardUntilMs(peer: PeerId): number {
    return (this.#options.liveness.view(peer)?.lastSeenAtMs ?? Number.NEGATIVE_INFINITY) + RELINK_MS;
  }

  #say(peer: PeerId, verdict: Verdict): void {
    const version = this.#options.versionOf(peer);
    if (version > 0) this.#stand(null, { peer, version, verdict });
  }

  #consider(from: PeerId | null, rumour: Rumour): void {
    const { self, versionOf } = this.#options;
    const { peer, version, verdict } = rumour;
    const known = versionOf(peer);
    if (peer === self) this.#considerSelf(rumour, known);
    else if (verdict === 'unknown' && this.#unknown.has(peer)) {
      this.#unknown.set(peer, Math.max(version, this.#unknown.get(peer)!));
    } else if (version > known) this.#keepEarly(rumour);
    else if (version === known && verdict !== 'unknown') this.#stand(from, rumour);
  }

  #considerSelf({ version, verdict }: Rumour, own: number): void {
    if (version > own) this.#drops.add('rumour-ahead');
    else if (version === own && verdict !== 'unknown') {
      this.#refuteAtMs = Math.min(this.#refuteAtMs, this.#refutedMs + REFUTE_EVERY_MS);
      this.#refuteAtMs = Math.max(this.#refuteAtMs, this.#options.clock.monotonicMs());
    }
  }

  #stand(from: PeerId | null, { peer, version, verdict }: Rumour): void {
    const before = this.#standing.get(peer);
    if (before?.version === version && VERDICTS.indexOf(before.verdict) >= VERDICTS.indexOf(verdict)) return;
    if (before === undefined && this.#standing.size >= RUMOURS_MAX) {
      this.#drops.add('rumours-max');
      return;
    }
    this.#standing.set(peer, { version, verdict });
    this.#unknown.delete(peer);
    this.#judge(peer, verdict);
    if (before?.version === version) return; // each host comes from suspect to dead by itself
    for (const [neighbour, { news }] of this.#links) if (neighbour !== from) news.add(peer);
    this.#flushAtMs = Math.min(this.#flushAtMs, this.#options.clock.monotonicMs() + GATHER_MS);
  }

  #judge(peer: PeerId, verdict: Verdict): void {
    const { liveness } = this.#options;
    if (verdict === 'suspect') liveness.doubted(peer);
    else liveness.declaredDead(peer, verdict === 'left' ? 'goodbye' : 'silent');
  }

  #keepEarly(rumour: Rumour): void {
    this.#early.delete(rumour.peer);
    this.#early.set(rumour.peer, rumour);
    const [oldest] = this.#early.keys();
    if (this.#early.size > RUMOURS_MAX && oldest !== undefined) this.#early.delete(oldest);
  }

  /** A neighbour has named everybody of whom it has doubts: the others live. */
  #informedBy(rumours: readonly Rumour[]): void {
    this.#informed = true;
    const doubted = new Set(rumours.map(({ peer }) => peer));
    for (const peer of [...this.#unknown.keys()]) if (!doubted.has(peer)) this.#clear(peer);
  }

  #clear(peer: PeerId): void {
    this.#unknown.delete(peer);
    this.#options.liveness.vouchedFor(peer);
  }

  #flush(): void {
    this.#flushAtMs = Number.POSITIVE_INFINITY;
    for (const link of this.#links.values()) this.#drain(link);
  }

  #drain(link: Link): void {
    while (link.writable && (link.isNew || link.news.size > 0)) {
      const rumours: Rumour[] = [];
      for (const peer of link.news) {
        if (rumours.length >= PER_MESSAGE) break;
        link.news.delete(peer);
        const standing = this.#standing.get(peer);
        if (standing !== undefined)
          rumours.push({ peer, ...standing, verdict: this.#verdictNow(peer, standing.verdict) });
      }
      const complete = link.isNew && link.news.size === 0;
      if (complete) {
        link.isNew = false;
        for (const [peer, version] of this.#unknown) rumours.push({ peer, version, verdict: 'unknown' });
      }
      if (complete || rumours.length > 0) link.writable = link.link.send(encodeRumours({ complete, rumours }));
    }
  }

  #verdictNow(peer: PeerId, said: Verdict): Verdict {
    return said === 'suspect' && this.#options.liveness.view(peer)?.state === 'dead' ? 'dead' : said;
  }
}
