// The datapath of a simulated host: carries the tunnels' handshakes over the simulated underlay and plays the sessions, so that
// rekeying, crossing handshakes, roaming and silence meet the production control side. Data datagrams show their key in the
// open: whoever receives one knows whether it could have read it.

import { toHex } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/capabilities.ts';
import { type Endpoint, equalEndpoints } from '../../src/base/endpoint.ts';
import { assert } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import type {
  Datapath,
  DatapathEvents,
  DatapathStats,
  PeerCounters,
  SessionKeys,
  TableChange,
} from '../../src/router/datapath.ts';
import type { SimProcess } from './process.ts';
import type { Nic, SimNetwork } from './sim-network.ts';

interface DataDatagram {
  readonly receiverIndex: number;
  readonly key: string;
  readonly counter: number;
  readonly kind: 'data' | 'keepalive' | 'probe' | 'answer';
  /** Of a probe and its answer: the outer IP packet that was asked for. */
  readonly bytes: number;
}

interface LiveSession {
  readonly peer: PeerId;
  readonly remoteIndex: number;
  readonly sendKey: string;
  readonly receiveKey: string;
  sent: number;
  highest: number;
  confirmed: boolean;
}

type Counters = { -readonly [K in keyof PeerCounters]: PeerCounters[K] };

const KEEPALIVE_BYTES = 60;
const DATA_BYTES = 1_450;

export class SimDatapath implements Datapath {
  readonly name = 'pcap';
  readonly #network: SimNetwork;
  readonly #nic: Nic;
  readonly #process: SimProcess;
  readonly #clock: Clock;
  readonly #sessions = new Map<number, LiveSession>();
  readonly #using = new Map<PeerId, number>();
  readonly #endpoints = new Map<PeerId, Endpoint>();
  readonly #counters = new Map<PeerId, Counters>();
  /** Of the default network. */
  readonly #places = new Map<Mac, PeerId | 'local'>();
  #events: DatapathEvents | null = null;
  /** Data frames that were delivered here. */
  delivered = 0;
  unreadable = 0;

  constructor(network: SimNetwork, nic: Nic, process: SimProcess) {
    this.#network = network;
    this.#nic = nic;
    this.#process = process;
    this.#clock = process;
  }

  async start(events: DatapathEvents): Promise<void> {
    this.#events = events;
    this.#nic.onDatagram = (datagram, from) => this.#process.run(() => this.#receive(datagram, from));
  }

  async stop(): Promise<void> {
    this.#events = null;
    this.#nic.onDatagram = null;
  }

  addSession({ peer, localIndex, remoteIndex, sendKey, receiveKey }: SessionKeys): void {
    assert(!this.#sessions.has(localIndex), 'a receiver index is unique while its session lives');
    this.#sessions.set(localIndex, {
      peer,
      remoteIndex,
      sendKey: toHex(sendKey),
      receiveKey: toHex(receiveKey),
      sent: 0,
      highest: -1,
      confirmed: false,
    });
  }

  useSession(localIndex: number): void {
    const session = this.#sessions.get(localIndex);
    assert(session !== undefined, 'only a known session is used');
    this.#using.set(session.peer, localIndex);
  }

  removeSession(localIndex: number): void {
    assert(this.#sessions.delete(localIndex), 'only a known session is removed');
  }

  setEndpoint(peer: PeerId, endpoint: Endpoint | null): void {
    if (endpoint === null) this.#endpoints.delete(peer);
    else this.#endpoints.set(peer, endpoint);
  }

  setPathMtu(): void {}

  applyTables(changes: readonly TableChange[]): void {
    for (const change of changes) {
      if (change.network !== DEFAULT_VNI) continue;
      if (change.kind === 'mac') this.#places.set(change.mac, change.to);
      if (change.kind === 'mac-gone') this.#places.delete(change.mac);
    }
  }

  /** Where frames to that MAC go; undefined: its place is unknown. */
  placeOf(mac: Mac): PeerId | 'local' | undefined {
    return this.#places.get(mac);
  }

  /** A device that others put into the bridge sends a frame: news for the daemon unless the tables have it here. */
  hearDevice(mac: Mac): void {
    if (this.#places.get(mac) !== 'local') this.#events?.learned(DEFAULT_VNI, mac, null);
  }

  async settle(): Promise<void> {}

  sendRaw(datagram: Uint8Array, to: Endpoint): void {
    this.#network.sendDatagram(this.#nic, to, datagram.slice(), datagram.length);
  }

  sendKeepalive(peer: PeerId): void {
    const session = this.#sessionTo(peer);
    if (session !== null) this.#send(session, 'keepalive', KEEPALIVE_BYTES);
  }

  sendProbe(peer: PeerId, bytes: number): void {
    const session = this.#sessionTo(peer);
    if (session !== null) this.#send(session, 'probe', bytes);
  }

  removePeer(peer: PeerId): void {
    this.#endpoints.delete(peer);
    this.#using.delete(peer);
    this.#counters.delete(peer);
    for (const [mac, to] of this.#places) if (to === peer) this.#places.delete(mac);
  }

  stats(): DatapathStats {
    return { peers: [...this.#counters.values()], drops: {}, framesIn: 0, framesOut: 0 };
  }

  /** A frame of a container for that host: leaves, or asks for a session. */
  sendFrame(peer: PeerId): boolean {
    const session = this.#sessionTo(peer);
    if (session === null) this.#events?.sessionWanted(peer);
    else this.#send(session, 'data', DATA_BYTES);
    return session !== null;
  }

  #sessionTo(peer: PeerId): LiveSession | null {
    return this.#sessions.get(this.#using.get(peer) ?? -1) ?? null;
  }

  #send(session: LiveSession, kind: DataDatagram['kind'], bytes: number): void {
    const to = this.#endpoints.get(session.peer);
    assert(to !== undefined, 'a session has an endpoint');
    const counter = session.sent++;
    if (kind === 'data') this.#countersOf(session.peer).lastDataSentMs = this.#clock.monotonicMs();
    const datagram: DataDatagram = { receiverIndex: session.remoteIndex, key: session.sendKey, counter, kind, bytes };
    this.#network.sendDatagram(this.#nic, to, datagram, kind === 'answer' ? KEEPALIVE_BYTES : bytes);
  }

  #receive(datagram: unknown, from: Endpoint): void {
    if (datagram instanceof Uint8Array) this.#events?.handshake(datagram.slice(), from);
    else this.#receiveData(datagram as DataDatagram, from);
  }

  #receiveData({ receiverIndex, key, counter, kind, bytes }: DataDatagram, from: Endpoint): void {
    const session = this.#sessions.get(receiverIndex);
    if (session === undefined || session.receiveKey !== key) {
      this.unreadable++;
      return;
    }
    const counters = this.#countersOf(session.peer);
    counters.lastReceivedMs = this.#clock.monotonicMs();
    if (kind === 'probe') this.#answer(session.peer, bytes);
    if (kind === 'answer') this.#events?.probeAnswered(session.peer, bytes);
    if (kind === 'data') {
      counters.lastDataReceivedMs = counters.lastReceivedMs;
      this.delivered++;
    }
    const known = this.#endpoints.get(session.peer);
    if (counter > session.highest && (known === undefined || !equalEndpoints(known, from))) {
      this.#endpoints.set(session.peer, from);
      this.#events?.roamed(session.peer, from);
    }
    session.highest = Math.max(session.highest, counter);
    if (session.confirmed) return;
    session.confirmed = true;
    this.#events?.sessionConfirmed(receiverIndex);
  }

  #answer(peer: PeerId, bytes: number): void {
    const session = this.#sessionTo(peer);
    if (session !== null) this.#send(session, 'answer', bytes);
  }

  #countersOf(peer: PeerId): Counters {
    const known = this.#counters.get(peer);
    if (known !== undefined) return known;
    const none = { lastDataSentMs: null, lastDataReceivedMs: null, lastReceivedMs: null };
    const counters: Counters = { peer, txFrames: 0, txBytes: 0, rxFrames: 0, rxBytes: 0, drops: {}, ...none };
    this.#counters.set(peer, counters);
    return counters;
  }
}
