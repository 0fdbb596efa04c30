// Hosts with real Tunnels over a fake datapath and a simulated network: latency, loss, duplication and reordering from one
// seed, time from one ManualClock. Data datagrams carry their key and counter in the open, so that a test sees which session
// they used; the network notices when a (key, counter) pair repeats. Diffie-Hellman may be a toy, to make long runs cheap.

import { toHex, utf8 } from '../../src/base/bytes.ts';
import type { Crypto, X25519Key } from '../../src/base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../../src/base/endpoint.ts';
import type { PeerId } from '../../src/base/ids.ts';
import type { LastingSession, PeerCounters, SessionKeys } from '../../src/router/datapath.ts';
import type { TunnelSecret } from '../../src/router/handshake.ts';
import type { TunnelDatapath, TunnelOptions } from '../../src/router/tunnel-options.ts';
import { Tunnels } from '../../src/router/tunnels.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { toyCrypto } from '../fakes/quick-crypto.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

export interface DataDatagram {
  readonly receiverIndex: number;
  readonly key: string;
  readonly counter: number;
  /** Bytes of the outer IP packet. */
  readonly size: number;
  readonly kind: 'data' | 'keepalive' | 'probe' | 'answer';
}

/** What happens to one handshake or data datagram on its way. */
export type Fate = (datagram: Uint8Array | DataDatagram, from: SimHost, to: Endpoint) => 'deliver' | 'drop' | 'twice';

interface LiveSession {
  readonly keys: SessionKeys;
  readonly sendKey: string;
  readonly receiveKey: string;
  sent: number;
  highest: number;
  received: boolean;
}

type Counters = { -readonly [K in keyof PeerCounters]: PeerCounters[K] };

export class SimNetwork {
  readonly clock = new ManualClock();
  readonly random: SeededRandom;
  readonly hosts = new Map<string, SimHost>();
  readonly usedNonces = new Set<string>();
  #events: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;
  minLatencyMs = 5;
  maxLatencyMs = 15;
  fate: Fate = () => 'deliver';
  /** Every handshake datagram that was sent. */
  readonly handshakes: { readonly bytes: Uint8Array; readonly from: Endpoint; readonly to: Endpoint }[] = [];
  keepHandshakes = true;
  crypto: Crypto = toyCrypto;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  after(ms: number, run: () => void): void {
    const event = { atMs: this.clock.monotonicMs() + ms, order: this.#order++, run };
    let at = this.#events.length;
    while (at > 0 && this.#events[at - 1]!.atMs > event.atMs) at--;
    this.#events.splice(at, 0, event);
  }

  /** Lets simulated time pass. */
  run(ms: number): void {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.#events.length > 0 && this.#events[0]!.atMs <= endMs) {
      const event = this.#events.shift()!;
      this.clock.advance(Math.max(0, event.atMs - this.clock.monotonicMs()));
      event.run();
    }
    this.clock.advance(endMs - this.clock.monotonicMs());
  }

  send(datagram: Uint8Array | DataDatagram, from: SimHost, to: Endpoint): void {
    if (datagram instanceof Uint8Array && this.keepHandshakes) {
      this.handshakes.push({ bytes: datagram.slice(), from: from.endpoint, to });
    }
    const fate = this.fate(datagram, from, to);
    const copies = fate === 'drop' ? 0 : fate === 'twice' ? 2 : 1;
    const source = from.endpoint;
    for (let copy = 0; copy < copies; copy++) {
      const latencyMs = this.minLatencyMs + this.random.fraction() * (this.maxLatencyMs - this.minLatencyMs);
      this.after(latencyMs, () => this.hosts.get(formatEndpoint(to))?.receive(datagram, source));
    }
  }
}

export const SECRET: TunnelSecret = {
  generation: 1,
  psk: new Uint8Array(32).fill(7),
  mac1Key: new Uint8Array(32).fill(9),
};

export interface HostSetup {
  readonly secrets?: readonly TunnelSecret[];
  readonly store?: MemoryStore;
  readonly change?: Partial<TunnelOptions>;
}

/** Of data and keepalives. */
const DATAGRAM_BYTES = 100;

/** One host: identity, Tunnels, and the fake datapath that plays the sessions. */
export class SimHost implements TunnelDatapath {
  readonly network: SimNetwork;
  readonly id: PeerId;
  endpoint: Endpoint;
  readonly staticPrivate: X25519Key;
  readonly staticPublic: Uint8Array;
  readonly log = new RecordingLog();
  /** Where each peer was last said to be. */
  readonly placed = new Map<PeerId, string>();
  /** What its tunnels came to, in order. */
  readonly turns: string[] = [];
  readonly seen: { peer: PeerId; endpoint: Endpoint }[] = [];
  readonly sessions = new Map<number, LiveSession>();
  readonly endpoints = new Map<PeerId, Endpoint>();
  readonly pathMtus = new Map<PeerId, number>();
  readonly removedKeys: Uint8Array[] = [];
  tunnels!: Tunnels;
  store: MemoryStore;
  revoked = new Set<string>();
  delivered = 0;
  unreadable = 0;
  unsent = 0;
  #using = new Map<PeerId, number>();
  #counters = new Map<PeerId, Counters>();
  #generation = 0;
  #timer = 0;
  #setup: HostSetup = {};
  #alone = false;

  constructor(network: SimNetwork, number: number, setup: HostSetup = {}) {
    this.network = network;
    this.id = number.toString(16).padStart(32, '0') as PeerId;
    this.endpoint = { ip: `192.0.2.${number}`, port: 6783 };
    this.staticPrivate = network.crypto.x25519Key(network.random.bytes(32));
    this.staticPublic = this.staticPrivate.publicKey;
    this.store = setup.store ?? new MemoryStore();
    this.start(setup);
  }

  /** Also a restart: sessions are gone, the store stays (or is the given one). */
  start(setup: HostSetup = {}): void {
    this.sessions.clear();
    this.#using.clear();
    this.endpoints.clear();
    this.#counters.clear();
    this.#startControl(setup);
    this.tunnels.begin({ sessions: [], peers: [] });
  }

  /** The control side dies; the datapath goes on with its sessions, and handshakes are lost. */
  killControl(): void {
    this.#generation++;
    this.#alone = true;
  }

  /** Another control side, that has heard from gossip of `known`, takes over what the datapath has. */
  relaunchControl(known: readonly SimHost[]): void {
    this.#startControl(this.#setup);
    for (const host of known) this.knows(host);
    this.tunnels.begin({ sessions: this.#lasting(), peers: [...this.#counters.keys()] });
  }

  #lasting(): readonly LastingSession[] {
    return [...this.sessions.values()].map(({ keys, received }, place, all) => {
      const using = this.#using.get(keys.peer);
      const usingPlace = all.findIndex((other) => other.keys.localIndex === using);
      const role = place === usingPlace ? 'current' : place < usingPlace ? 'previous' : 'next';
      const { sendKey, receiveKey, facts, ...plain } = keys;
      if (sendKey.length !== receiveKey.length || facts === undefined) throw new Error('a session without facts');
      const endpoint = this.endpoints.get(keys.peer) ?? null;
      return { ...plain, ...facts, role, confirmed: received, exhausted: false, endpoint };
    });
  }

  #startControl(setup: HostSetup): void {
    const { secrets = [SECRET], store, change = {} } = setup;
    if (store !== undefined) this.store = store;
    this.#setup = setup;
    this.#alone = false;
    this.#generation++;
    this.network.hosts.set(formatEndpoint(this.endpoint), this);
    this.tunnels = new Tunnels({
      self: { peer: this.id, staticPrivate: this.staticPrivate, staticPublic: this.staticPublic },
      membership: () => utf8(`member ${this.id} ${toHex(this.staticPublic)}`),
      secrets: () => secrets,
      verifyMembership: (bytes) => this.#verify(bytes),
      crypto: this.network.crypto,
      clock: this.network.clock,
      random: this.network.random.split(),
      store: this.store,
      log: this.log,
      datapath: this,
      ciphers: ['aes-256-gcm', 'chacha20-poly1305'],
      mtu: 1500,
      events: {
        peerSeen: ({ peer, endpoint }) => this.seen.push({ peer, endpoint }),
        placed: (peer, { endpoint }) => void this.placed.set(peer, endpoint.ip),
        turned: (_, { to }) => void this.turns.push(to),
        wake: (withinMs) => this.#arm(withinMs),
      },
      ...change,
    });
    this.#arm(0);
  }

  /** The process is gone: nothing answers any more. */
  stop(): void {
    this.#generation++;
    this.network.hosts.delete(formatEndpoint(this.endpoint));
  }

  moveTo(endpoint: Endpoint): void {
    this.network.hosts.delete(formatEndpoint(this.endpoint));
    this.endpoint = endpoint;
    this.network.hosts.set(formatEndpoint(endpoint), this);
  }

  knows(other: SimHost, endpoints: readonly Endpoint[] = [other.endpoint]): void {
    this.tunnels.setPeer(other.id, { staticKey: other.staticPublic, endpoints });
  }

  status(other: SimHost) {
    return this.tunnels.statuses().find(({ peer }) => peer === other.id);
  }

  /** A frame for that host leaves, or asks for a session. */
  sendFrame(to: SimHost): boolean {
    const index = this.#using.get(to.id);
    const session = index === undefined ? undefined : this.sessions.get(index);
    if (session === undefined) {
      this.unsent++;
      if (!this.#alone) this.tunnels.sessionWanted(to.id);
      return false;
    }
    this.#emit(session, 'data', DATAGRAM_BYTES);
    return true;
  }

  hasSession(to: SimHost): boolean {
    const index = this.#using.get(to.id);
    return index !== undefined && this.sessions.has(index);
  }

  receive(datagram: Uint8Array | DataDatagram, from: Endpoint): void {
    if (datagram instanceof Uint8Array && this.#alone) return;
    if (datagram instanceof Uint8Array) this.tunnels.handleDatagram(datagram.slice(), from);
    else this.#receiveData(datagram, from);
  }

  addSession(keys: SessionKeys): void {
    if (this.sessions.has(keys.localIndex)) throw new Error('index used twice');
    const { sendKey, receiveKey } = keys;
    this.sessions.set(keys.localIndex, {
      keys,
      sendKey: toHex(sendKey),
      receiveKey: toHex(receiveKey),
      sent: 0,
      highest: -1,
      received: false,
    });
  }

  useSession(localIndex: number): void {
    const session = this.sessions.get(localIndex);
    if (session === undefined) throw new Error('useSession of an unknown session');
    this.#using.set(session.keys.peer, localIndex);
  }

  removeSession(localIndex: number): void {
    if (!this.sessions.delete(localIndex)) throw new Error('removeSession of an unknown session');
  }

  setEndpoint(peer: PeerId, endpoint: Endpoint | null): void {
    if (endpoint === null) this.endpoints.delete(peer);
    else this.endpoints.set(peer, endpoint);
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.pathMtus.set(peer, bytes);
  }

  sendRaw(datagram: Uint8Array, to: Endpoint): void {
    this.network.send(datagram.slice(), this, to);
  }

  sendKeepalive(peer: PeerId): void {
    this.#emitOn(peer, 'keepalive', DATAGRAM_BYTES);
  }

  sendProbe(peer: PeerId, bytes: number): void {
    this.#emitOn(peer, 'probe', bytes);
  }

  #emitOn(peer: PeerId, kind: DataDatagram['kind'], size: number): void {
    const session = this.sessions.get(this.#using.get(peer) ?? -1);
    if (session !== undefined) this.#emit(session, kind, size);
  }

  removePeer(peer: PeerId): void {
    this.endpoints.delete(peer);
    this.#using.delete(peer);
    this.#counters.delete(peer);
    for (const [localIndex, { keys }] of this.sessions) if (keys.peer === peer) this.sessions.delete(localIndex);
  }

  #emit(session: LiveSession, kind: DataDatagram['kind'], size: number): void {
    const { peer, remoteIndex } = session.keys;
    const counter = session.sent++;
    const nonce = `${session.sendKey} ${counter}`;
    if (this.network.usedNonces.has(nonce)) throw new Error('(key, nonce) used twice');
    this.network.usedNonces.add(nonce);
    const to = this.endpoints.get(peer);
    if (to === undefined) throw new Error('a session without an endpoint');
    if (kind === 'data') this.#count(peer).lastDataSentMs = this.network.clock.monotonicMs();
    this.network.send({ receiverIndex: remoteIndex, key: session.sendKey, counter, kind, size }, this, to);
  }

  #receiveData({ receiverIndex, key, counter, kind, size }: DataDatagram, from: Endpoint): void {
    const session = this.sessions.get(receiverIndex);
    if (session === undefined || session.receiveKey !== key) {
      this.unreadable++;
      return;
    }
    const { peer } = session.keys;
    const counters = this.#count(peer);
    counters.lastReceivedMs = this.network.clock.monotonicMs();
    if (kind === 'probe') this.#emitOn(peer, 'answer', size);
    if (kind === 'answer' && !this.#alone) this.tunnels.probeAnswered(peer, size);
    if (kind === 'data') {
      counters.lastDataReceivedMs = counters.lastReceivedMs;
      this.delivered++;
    }
    const known = this.endpoints.get(peer);
    if (counter > session.highest && (known === undefined || formatEndpoint(known) !== formatEndpoint(from))) {
      this.endpoints.set(peer, from);
      if (!this.#alone) this.tunnels.roamed(peer, from);
    }
    session.highest = Math.max(session.highest, counter);
    if (session.received) return;
    session.received = true;
    if (!this.#alone) this.tunnels.sessionConfirmed(receiverIndex);
  }

  #count(peer: PeerId): Counters {
    let counters = this.#counters.get(peer);
    if (counters === undefined) {
      const none = { lastDataSentMs: null, lastDataReceivedMs: null, lastReceivedMs: null };
      counters = { peer, txFrames: 0, txBytes: 0, rxFrames: 0, rxBytes: 0, drops: {}, ...none };
      this.#counters.set(peer, counters);
    }
    return counters;
  }

  #verify(bytes: Uint8Array): { peer: PeerId; staticKey: Uint8Array } | null {
    const [word, peer, key] = new TextDecoder().decode(bytes).split(' ');
    if (word !== 'member' || peer === undefined || key === undefined || this.revoked.has(peer)) return null;
    return { peer: peer as PeerId, staticKey: Uint8Array.from(Buffer.from(key, 'hex')) };
  }

  #arm(withinMs: number): void {
    const generation = this.#generation;
    const timer = ++this.#timer;
    this.network.after(withinMs, () => {
      if (generation !== this.#generation || timer !== this.#timer) return;
      this.#arm(this.tunnels.tick([...this.#counters.values()]));
    });
  }
}

/** Two hosts that know each other from gossip. */
export function twoHosts(seed: number, setup: { a?: HostSetup; b?: HostSetup; crypto?: Crypto } = {}) {
  const network = new SimNetwork(seed);
  if (setup.crypto !== undefined) network.crypto = setup.crypto;
  const a = new SimHost(network, 1, setup.a);
  const b = new SimHost(network, 2, setup.b);
  a.knows(b);
  b.knows(a);
  return { network, a, b };
}
