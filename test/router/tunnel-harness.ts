// Hosts with real Tunnels over a fake datapath and a simulated network: latency, loss, duplication and reordering from one
// seed, time from one ManualClock. Data datagrams carry their key and counter in the open, so that a test sees which session
// they used; the network notices when a (key, counter) pair repeats. Diffie-Hellman may be a toy, to make long runs cheap.

import { toHex, utf8 } from '../../src/base/bytes.ts';
import type { Crypto, X25519Key } from '../../src/base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../../src/base/endpoint.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { type NatFacts, NOT_BEHIND_NAT } from '../../src/base/nat-facts.ts';
import type { LastingSession, SessionKeys } from '../../src/router/datapath.ts';
import type { TunnelSecret } from '../../src/router/handshake.ts';
import { decideRelayed } from '../../src/router/relay-message.ts';
import type { TunnelDatapath, TunnelOptions } from '../../src/router/tunnel-options.ts';
import { endpointOf, equalPaths, isRelayPath, type TunnelPath } from '../../src/router/tunnel-path.ts';
import { Tunnels } from '../../src/router/tunnels.ts';
import { HOP_LIMIT } from '../../src/router/wire-format.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { type DataDatagram, noCounters, type OpenCounters, type Relayed } from '../fakes/open-datagram.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import type { SimNat } from './sim-nat.ts';
import { SimNetwork } from './tunnel-network.ts';

interface LiveSession {
  readonly keys: SessionKeys;
  readonly sendKey: string;
  readonly receiveKey: string;
  sent: number;
  highest: number;
  received: boolean;
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
  /** It sits behind that one, with an address of its own. */
  readonly nat?: SimNat;
}

/** Of data and keepalives. */
const DATAGRAM_BYTES = 100;

/** One host: identity, Tunnels, and the fake datapath that plays the sessions. */
export class SimHost implements TunnelDatapath {
  readonly network: SimNetwork;
  readonly id: PeerId;
  endpoint: Endpoint;
  readonly nat: SimNat | null;
  /** What it published last. */
  natFacts: NatFacts = NOT_BEHIND_NAT;
  readonly staticPrivate: X25519Key;
  readonly staticPublic: Uint8Array;
  readonly log = new RecordingLog();
  /** Where each peer was last said to be. */
  readonly placed = new Map<PeerId, string>();
  /** What its tunnels came to, in order. */
  readonly turns: string[] = [];
  /** Of whom gossip brings what they publish. */
  readonly known = new Set<PeerId>();
  readonly seen: { peer: PeerId; endpoint: Endpoint | null }[] = [];
  readonly sessions = new Map<number, LiveSession>();
  readonly paths = new Map<PeerId, TunnelPath>();
  readonly pathMtus = new Map<PeerId, number>();
  readonly removedKeys: Uint8Array[] = [];
  tunnels!: Tunnels;
  store: MemoryStore;
  revoked = new Set<string>();
  delivered = 0;
  unreadable = 0;
  unsent = 0;
  /** Datagrams of others that it passed on, or would have. */
  relayedOn = 0;
  #using = new Map<PeerId, number>();
  #counters = new Map<PeerId, OpenCounters>();
  #generation = 0;
  #timer = 0;
  #setup: HostSetup = {};
  #alone = false;

  constructor(network: SimNetwork, number: number, setup: HostSetup = {}) {
    this.network = network;
    this.id = number.toString(16).padStart(32, '0') as PeerId;
    this.nat = setup.nat ?? null;
    this.endpoint = { ip: this.nat === null ? `192.0.2.${number}` : `10.0.${number}.2`, port: 6783 };
    if (this.nat !== null) network.nats.set(this.nat.ip, this.nat);
    this.staticPrivate = network.crypto.x25519Key(network.random.bytes(32));
    this.staticPublic = this.staticPrivate.publicKey;
    this.store = setup.store ?? new MemoryStore();
    this.start(setup);
  }

  /** Also a restart: sessions are gone, the store stays (or is the given one). */
  start(setup: HostSetup = {}): void {
    this.sessions.clear();
    this.#using.clear();
    this.paths.clear();
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
      const path = this.paths.get(keys.peer) ?? null;
      return { ...plain, ...facts, role, confirmed: received, exhausted: false, path };
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
      ownEndpoints: () => [this.endpoint],
      events: {
        peerSeen: ({ peer, endpoint }) => this.seen.push({ peer, endpoint }),
        placed: (peer, { endpoint }) => void this.placed.set(peer, endpoint?.ip ?? 'relay'),
        turned: (_, { to }) => void this.turns.push(to),
        natChanged: (facts) => this.#publish(facts),
        wake: (withinMs) => this.#arm(withinMs),
      },
      ...change,
    });
    this.#arm(0);
  }

  /** Gossip, in no time. */
  #publish(facts: NatFacts): void {
    this.natFacts = facts;
    for (const other of this.network.hosts.values()) if (other !== this && other.known.has(this.id)) other.knows(this);
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
    this.known.add(other.id);
    this.tunnels.setPeer(other.id, { staticKey: other.staticPublic, endpoints, nat: other.natFacts });
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

  receive(datagram: Uint8Array | DataDatagram, from: TunnelPath): void {
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

  setPath(peer: PeerId, path: TunnelPath | null): void {
    if (path === null) this.paths.delete(peer);
    else this.paths.set(peer, path);
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.pathMtus.set(peer, bytes);
  }

  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    this.#send(datagram.slice(), to);
  }

  sendKeepalive(peer: PeerId): void {
    this.#emitOn(peer, 'keepalive', DATAGRAM_BYTES);
  }

  sendProbe(peer: PeerId, bytes: number): void {
    this.#emitOn(peer, 'probe', bytes);
  }

  #emitOn(peer: PeerId, kind: DataDatagram['kind'], bytes: number): void {
    const session = this.sessions.get(this.#using.get(peer) ?? -1);
    if (session !== undefined) this.#emit(session, kind, bytes);
  }

  /** Straight to an endpoint, or inside a datagram for the relay. */
  #send(datagram: Uint8Array | DataDatagram, to: TunnelPath): void {
    if (!isRelayPath(to)) this.network.send(datagram, this, to);
    else this.#carry(to.relay, { destination: to.peer, source: this.id, hopLimit: HOP_LIMIT, datagram });
  }

  #carry(by: PeerId, relayed: Relayed): void {
    const session = this.sessions.get(this.#using.get(by) ?? -1);
    if (session === undefined || endpointOf(this.paths.get(by) ?? null) === null) {
      if (!this.#alone) this.tunnels.relayWanted(by);
      return;
    }
    this.#count(by).lastDataSentMs = this.network.clock.monotonicMs();
    this.#emit(session, 'relay', DATAGRAM_BYTES, relayed);
  }

  #receiveRelayed(from: PeerId, relayed: Relayed, nested: boolean): void {
    const verdict = decideRelayed(relayed, { self: this.id, from, nested });
    this.#count(from).lastDataReceivedMs = this.network.clock.monotonicMs();
    if (verdict === 'deliver') this.receive(relayed.datagram, { relay: from, peer: relayed.source });
    if (verdict !== 'forward') return;
    this.relayedOn++;
    this.#carry(relayed.destination, { ...relayed, hopLimit: relayed.hopLimit - 1 });
  }

  removePeer(peer: PeerId): void {
    this.paths.delete(peer);
    this.#using.delete(peer);
    this.#counters.delete(peer);
    for (const [localIndex, { keys }] of this.sessions) if (keys.peer === peer) this.sessions.delete(localIndex);
  }

  #emit(session: LiveSession, kind: DataDatagram['kind'], bytes: number, relayed?: Relayed): void {
    const { peer, remoteIndex } = session.keys;
    const counter = session.sent++;
    const nonce = `${session.sendKey} ${counter}`;
    if (this.network.usedNonces.has(nonce)) throw new Error('(key, nonce) used twice');
    this.network.usedNonces.add(nonce);
    const to = this.paths.get(peer);
    if (to === undefined) throw new Error('a session without a path');
    if (kind === 'data') this.#count(peer).lastDataSentMs = this.network.clock.monotonicMs();
    const datagram = { receiverIndex: remoteIndex, key: session.sendKey, counter, kind, bytes };
    this.#send(relayed === undefined ? datagram : { ...datagram, relayed }, to);
  }

  #receiveData({ receiverIndex, key, counter, kind, bytes, relayed }: DataDatagram, from: TunnelPath): void {
    const session = this.sessions.get(receiverIndex);
    if (session === undefined || session.receiveKey !== key) {
      this.unreadable++;
      return;
    }
    const { peer } = session.keys;
    const counters = this.#count(peer);
    counters.lastReceivedMs = this.network.clock.monotonicMs();
    if (kind === 'probe') this.#emitOn(peer, 'answer', bytes);
    if (kind === 'answer' && !this.#alone) this.tunnels.probeAnswered(peer, bytes);
    if (kind === 'data') {
      counters.lastDataReceivedMs = counters.lastReceivedMs;
      this.delivered++;
    }
    const known = this.paths.get(peer) ?? null;
    const isDirect = !isRelayPath(from) && (known === null || !isRelayPath(known));
    if (isDirect && counter > session.highest && (known === null || !equalPaths(known, from))) {
      this.paths.set(peer, from);
      if (!this.#alone) this.tunnels.roamed(peer, from);
    }
    session.highest = Math.max(session.highest, counter);
    if (!session.received) {
      session.received = true;
      if (!this.#alone) this.tunnels.sessionConfirmed(receiverIndex);
    }
    if (relayed !== undefined) this.#receiveRelayed(peer, relayed, isRelayPath(from));
  }

  #count(peer: PeerId): OpenCounters {
    let counters = this.#counters.get(peer);
    if (counters === undefined) {
      counters = noCounters(peer);
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
