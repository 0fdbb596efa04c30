// Which peers' unicast may leave by the kernel's plain VXLAN (docs/vxlan.md): those whose observed endpoint this host trusts, that
// trust ours, and to which the path carries. Judges peers, asks and answers; the daemon turns the outcome into devices and rules.
// Without I/O: frames of the probe device and ticks come in, frames go out. Invariant: who is not trusted is neither asked nor
// answered; nothing is believed that the peer has not signed.

import { type Cidr, cidrHasIp, parseIp } from '../../base/address.ts';
import { equalBytes, toHex } from '../../base/bytes.ts';
import type { Clock, Crypto, Random } from '../../base/capabilities.ts';
import type { PeerId } from '../../base/ids.ts';
import { ETHERNET_BYTES } from '../frame.ts';
import { IPV4_BYTES, IPV6_BYTES, UDP_BYTES } from '../wire-format.ts';
import { NONCE_BYTES, openProbe, type ProbeKind, probeKey, sealProbe, UNREADABLE } from './probe-message.ts';
import { type PathView, VxlanPath } from './vxlan-path.ts';

const VXLAN_HEADER_BYTES = 8;
/** Our tuning: a path that is up is asked this often, more seldom when there are many, so that the sum stays small. */
export const INTERVAL_MIN_MS = 2_000;
export const INTERVAL_PER_PEER_MS = 50;
/** All up at once they are asked every 51 s; more peers stay encrypted. */
export const VXLAN_PEERS_MAX = 1_024;
const IDLE_MS = 60_000;

/** Why a frame of the probe device was dropped (docs/vxlan.md). */
export const PROBE_DROPS = [...UNREADABLE, 'probe-stale'] as const;
type ProbeDrop = (typeof PROBE_DROPS)[number];

const UNSEEN = 'its tunnel has not shown yet where it is';
const DEAD = 'its host does not answer';

export interface VxlanPathsOptions {
  readonly self: PeerId;
  /** X25519, 32 bytes. */
  readonly staticPrivate: Uint8Array;
  /** The tunnels' PSK of the token. */
  readonly psk: Uint8Array;
  /** From --trusted-subnets; not empty. */
  readonly trusted: readonly Cidr[];
  /** Overlay MTU in bytes. */
  readonly mtu: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly events: VxlanPathsEvents;
}

/** Called synchronously; must not call back. */
export interface VxlanPathsEvents {
  /** Sends a frame by the probe device of that address's family. A frame that can't be sent counts as lost. */
  send(frame: Uint8Array, remote: string): void;
  /** The peer has just answered: its path carries, whether it is up yet or not. */
  proven(peer: PeerId): void;
  /** {@link VxlanPaths.allowed} or {@link VxlanPaths.remotes} is not as it was; `reason` is null for a path that came up. */
  changed(peer: PeerId, up: boolean, reason: string | null): void;
  /** Call {@link VxlanPaths.tick} within so many milliseconds. */
  wake(withinMs: number): void;
}

/** What is known of a peer: all of it must speak for plain VXLAN. */
interface Facts {
  staticKey: Uint8Array | null;
  alive: boolean;
  /** Where authenticated datagrams of it came from last. */
  endpoint: string | null;
  /** The largest outer packet that both sides take, in bytes. */
  pathMtu: number | null;
}

interface Entry extends Facts {
  readonly path: VxlanPath;
  key: Uint8Array | null;
}

export class VxlanPaths {
  readonly #options: VxlanPathsOptions;
  readonly #entries = new Map<PeerId, Entry>();
  readonly #drops: Record<ProbeDrop, number>;
  /** Why this host itself can't, in words; null when it can. */
  #fault: string | null = null;

  #psk: Uint8Array;

  constructor(options: VxlanPathsOptions) {
    this.#options = options;
    this.#psk = options.psk;
    this.#drops = Object.fromEntries(PROBE_DROPS.map((reason) => [reason, 0])) as Record<ProbeDrop, number>;
  }

  /** News of a peer; what is left out stays as it was. */
  learn(peer: PeerId, news: Partial<Facts>): void {
    const { self, events, clock } = this.#options;
    if (peer === self) return;
    let entry = this.#entries.get(peer);
    if (entry === undefined) {
      if (this.#entries.size >= VXLAN_PEERS_MAX) return;
      entry = { path: new VxlanPath(UNSEEN), key: null, staticKey: null, alive: true, endpoint: null, pathMtu: null };
      this.#entries.set(peer, entry);
    }
    const keyBefore = entry.staticKey;
    Object.assign(entry, news);
    if (keyBefore === null || entry.staticKey === null || !equalBytes(keyBefore, entry.staticKey)) entry.key = null;
    this.#judge(peer, entry);
    events.wake(Math.max(0, entry.path.dueMs - clock.monotonicMs()));
  }

  /** The token was replaced: a peer that has another one is not understood until it has it, too. */
  rekey(psk: Uint8Array): void {
    this.#psk = psk;
    for (const entry of this.#entries.values()) entry.key = null;
  }

  /** The peer's daemon is another one now, which lets nobody in yet: its consent is asked for anew. */
  restarted(peer: PeerId): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    const before = entry.path.up;
    entry.path.restarted(this.#options.clock.monotonicMs());
    this.#tell(peer, entry, before);
    this.#options.events.wake(0);
  }

  forget(peer: PeerId): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return;
    this.#bar(peer, entry, DEAD);
    this.#entries.delete(peer);
  }

  /** This host can't do VXLAN for the reason given, or can again (null). */
  setFault(fault: string | null): void {
    this.#fault = fault;
    for (const [peer, entry] of this.#entries) this.#judge(peer, entry);
    this.#options.events.wake(0);
  }

  /** A frame of the probe device: anything at all. */
  receive(frame: Uint8Array): void {
    const { crypto, self, clock } = this.#options;
    const probe = openProbe(crypto, frame, { self, keyOf: (peer) => this.#keyOf(peer) });
    if (typeof probe === 'string') {
      this.#drops[probe]++;
      return;
    }
    const entry = this.#entries.get(probe.from)!;
    const nowMs = clock.monotonicMs();
    const before = entry.path.up;
    if (probe.kind === 'ask') {
      this.#send(probe.from, entry, 'answer', probe.nonce);
      entry.path.asked(probe.nonce, nowMs);
    } else {
      const fresh =
        probe.kind === 'answer'
          ? entry.path.answer(probe.nonce, nowMs, this.#intervalMs())
          : entry.path.withdrawn(probe.nonce, nowMs);
      if (!fresh) this.#drops['probe-stale']++;
      else if (probe.kind === 'answer') this.#options.events.proven(probe.from);
    }
    this.#tell(probe.from, entry, before);
    this.#options.events.wake(Math.max(0, entry.path.dueMs - nowMs));
  }

  /** Does what is due; returns the milliseconds until the next call is wanted. */
  tick(): number {
    const nowMs = this.#options.clock.monotonicMs();
    let nextMs = nowMs + IDLE_MS;
    for (const [peer, entry] of this.#entries) {
      const before = entry.path.up;
      const nonce = entry.path.tick(nowMs, () => toHex(this.#options.random.bytes(NONCE_BYTES)));
      if (nonce !== null) this.#send(peer, entry, 'ask', nonce);
      this.#tell(peer, entry, before);
      nextMs = Math.min(nextMs, entry.path.dueMs);
    }
    return Math.max(0, nextMs - nowMs);
  }

  /** Takes all consent back: peers turn to the encrypted way at once. Nothing is answered any more. */
  close(): void {
    this.setFault('this host is stopping');
  }

  /** Null for peers that nothing is known of. */
  view(peer: PeerId): PathView | null {
    return this.#entries.get(peer)?.path.view ?? null;
  }

  /** Whose VXLAN packets are to be let in, and their address. */
  allowed(): ReadonlyMap<PeerId, string> {
    return this.#remotes(() => true);
  }

  /** To whom unicast leaves by VXLAN now, and their address. */
  remotes(): ReadonlyMap<PeerId, string> {
    return this.#remotes((path) => path.up);
  }

  /** Frames of the probe device that were dropped, by reason. */
  drops(): Readonly<Record<string, number>> {
    return { ...this.#drops };
  }

  #remotes(wanted: (path: VxlanPath) => boolean): ReadonlyMap<PeerId, string> {
    const found = new Map<PeerId, string>();
    for (const [peer, { path }] of this.#entries) {
      if (path.remote !== null && wanted(path)) found.set(peer, path.remote);
    }
    return found;
  }

  #judge(peer: PeerId, entry: Entry): void {
    const objection = this.#objection(entry);
    if (objection !== null) {
      this.#bar(peer, entry, objection);
      return;
    }
    const { path } = entry;
    const endpoint = entry.endpoint!;
    const [before, remote] = [path.up, path.remote];
    if (remote !== null && remote !== endpoint) this.#withdraw(peer, entry);
    path.allow(endpoint, this.#options.clock.monotonicMs());
    if (remote !== path.remote) this.#options.events.changed(peer, false, path.view.reason);
    else this.#tell(peer, entry, before);
  }

  #objection({ alive, endpoint, pathMtu, staticKey }: Entry): string | null {
    const { trusted, mtu } = this.#options;
    if (this.#fault !== null) return this.#fault;
    if (!alive) return DEAD;
    const ip = endpoint === null ? null : parseIp(endpoint);
    if (ip === null || staticKey === null) return UNSEEN;
    if (!trusted.some((block) => cidrHasIp(block, ip))) return `${endpoint} lies in none of --trusted-subnets`;
    const needed = mtu + ETHERNET_BYTES + VXLAN_HEADER_BYTES + UDP_BYTES + (ip.family === 4 ? IPV4_BYTES : IPV6_BYTES);
    if (pathMtu !== null && pathMtu < needed) return `its path takes ${pathMtu} bytes, VXLAN needs ${needed}`;
    return null;
  }

  #bar(peer: PeerId, entry: Entry, reason: string): void {
    const { path } = entry;
    const wasAllowed = path.remote !== null;
    if (wasAllowed) this.#withdraw(peer, entry);
    path.bar(reason);
    if (wasAllowed) this.#options.events.changed(peer, false, reason);
  }

  /** What the peer still sends by VXLAN from the address that it has had is about to be shut out: it shall know at once. */
  #withdraw(peer: PeerId, entry: Entry): void {
    const { heard } = entry.path;
    if (heard !== null) this.#send(peer, entry, 'withdraw', heard);
  }

  #tell(peer: PeerId, { path }: Entry, before: boolean): void {
    if (path.up !== before) this.#options.events.changed(peer, path.up, path.view.reason);
  }

  #send(peer: PeerId, entry: Entry, kind: ProbeKind, nonce: string): void {
    const { self, crypto, mtu, events } = this.#options;
    const key = this.#keyOf(peer);
    const { remote } = entry.path;
    if (key === null || remote === null) return;
    events.send(sealProbe(crypto, key, { kind, from: self, to: peer, nonce }, mtu + ETHERNET_BYTES), remote);
  }

  /** Null for who is not trusted: it is a stranger here. */
  #keyOf(peer: PeerId): Uint8Array | null {
    const entry = this.#entries.get(peer);
    if (entry === undefined || entry.staticKey === null || entry.path.remote === null) return null;
    const { crypto, staticPrivate } = this.#options;
    entry.key ??= probeKey(crypto, { staticPrivate, peerStatic: entry.staticKey, psk: this.#psk });
    return entry.key;
  }

  #intervalMs(): number {
    let up = 0;
    for (const { path } of this.#entries.values()) if (path.up) up++;
    const jitter = 0.9 + this.#options.random.fraction() * 0.2;
    return Math.max(INTERVAL_MIN_MS, up * INTERVAL_PER_PEER_MS) * jitter;
  }
}
