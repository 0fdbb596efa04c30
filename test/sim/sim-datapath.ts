// The datapath of a simulated host: carries the tunnels' handshakes over the simulated underlay and plays the sessions, so that
// rekeying, crossing handshakes, roaming and silence meet the production control side. Data datagrams show their key in the
// open: whoever receives one knows whether it could have read it.

import { toHex } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/capabilities.ts';
import { assert } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import {
  type Datapath,
  type DatapathEvents,
  type DatapathStats,
  NOTHING_RELAYED,
  type SessionKeys,
  type TableChange,
} from '../../src/router/datapath.ts';
import { decideRelayed, passOn, RELAY_OVERHEAD_BYTES } from '../../src/router/relay-message.ts';
import { endpointOf, equalPaths, isRelayPath, type TunnelPath } from '../../src/router/tunnel-path.ts';
import { HOP_LIMIT } from '../../src/router/wire-format.ts';
import { type DataDatagram, noCounters, type OpenCounters, type Relayed } from '../fakes/open-datagram.ts';
import type { SimProcess } from './process.ts';
import type { Nic, SimNetwork } from './sim-network.ts';

interface LiveSession {
  readonly peer: PeerId;
  readonly remoteIndex: number;
  readonly sendKey: string;
  readonly receiveKey: string;
  sent: number;
  highest: number;
  confirmed: boolean;
}

const KEEPALIVE_BYTES = 60;
const DATA_BYTES = 1_450;
/** As the datapaths ask: once a second for each peer. */
const WANTED_REPEAT_MS = 1_000;

export class SimDatapath implements Datapath {
  readonly name = 'pcap';
  readonly #self: PeerId;
  readonly #network: SimNetwork;
  readonly #nic: Nic;
  readonly #process: SimProcess;
  readonly #clock: Clock;
  readonly #sessions = new Map<number, LiveSession>();
  readonly #using = new Map<PeerId, number>();
  readonly #paths = new Map<PeerId, TunnelPath>();
  readonly #wantedMs = new Map<PeerId, number>();
  readonly #counters = new Map<PeerId, OpenCounters>();
  readonly #places = new Map<Vni, Map<Mac, PeerId | 'local'>>();
  #events: DatapathEvents | null = null;
  /** Data frames that were delivered here. */
  delivered = 0;
  unreadable = 0;
  /** Datagrams of others that this host passed on, and the most times that one of them was passed on by anybody so far. */
  forwarded = 0;
  passedMost = 0;

  constructor({ self, network, nic, process }: { self: PeerId; network: SimNetwork; nic: Nic; process: SimProcess }) {
    this.#self = self;
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

  setPath(peer: PeerId, path: TunnelPath | null): void {
    if (path === null) this.#paths.delete(peer);
    else this.#paths.set(peer, path);
  }

  setPathMtu(): void {}

  applyTables(changes: readonly TableChange[]): void {
    for (const change of changes) {
      const places = this.#places.get(change.network) ?? new Map<Mac, PeerId | 'local'>();
      if (change.kind === 'mac') places.set(change.mac, change.to);
      if (change.kind === 'mac-gone') places.delete(change.mac);
      if (change.kind === 'network-gone') this.#places.delete(change.network);
      else this.#places.set(change.network, places);
    }
  }

  /** Where frames to that MAC go; undefined: its place is unknown. */
  placeOf(mac: Mac, network = DEFAULT_VNI): PeerId | 'local' | undefined {
    return this.#places.get(network)?.get(mac);
  }

  /** A device that others put into the bridge sends a frame: news for the daemon unless the tables have it here. */
  hearDevice(mac: Mac): void {
    if (this.placeOf(mac) !== 'local') this.#events?.learned(DEFAULT_VNI, mac, null);
  }

  async settle(): Promise<void> {}

  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    this.#sendTo(to, datagram.slice(), datagram.length);
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
    this.#paths.delete(peer);
    this.#wantedMs.delete(peer);
    this.#using.delete(peer);
    this.#counters.delete(peer);
    for (const places of this.#places.values()) {
      for (const [mac, to] of places) if (to === peer) places.delete(mac);
    }
  }

  stats(): DatapathStats {
    return { peers: [...this.#counters.values()], drops: {}, framesIn: 0, framesOut: 0, relayed: NOTHING_RELAYED };
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
    const to = this.#paths.get(session.peer);
    assert(to !== undefined, 'a session has a path');
    const counter = session.sent++;
    if (kind === 'data') this.#countersOf(session.peer).lastDataSentMs = this.#clock.monotonicMs();
    const datagram: DataDatagram = { receiverIndex: session.remoteIndex, key: session.sendKey, counter, kind, bytes };
    this.#sendTo(to, datagram, kind === 'answer' ? KEEPALIVE_BYTES : bytes);
  }

  #sendTo(to: TunnelPath, datagram: Uint8Array | DataDatagram, bytes: number): void {
    if (!isRelayPath(to)) this.#network.sendDatagram(this.#nic, to, datagram, bytes);
    else this.#carry(to.relay, { destination: to.peer, source: this.#self, hopLimit: HOP_LIMIT, datagram }, bytes);
  }

  #carry(by: PeerId, relayed: Relayed, bytes: number): void {
    const session = this.#sessionTo(by);
    const to = endpointOf(this.#paths.get(by) ?? null);
    const nowMs = this.#clock.monotonicMs();
    if (session === null || to === null) {
      if (nowMs - (this.#wantedMs.get(by) ?? Number.NEGATIVE_INFINITY) < WANTED_REPEAT_MS) return;
      this.#wantedMs.set(by, nowMs);
      this.#events?.relayWanted(by);
      return;
    }
    this.#countersOf(by).lastDataSentMs = nowMs;
    const { remoteIndex: receiverIndex, sendKey: key } = session;
    const datagram: DataDatagram = { receiverIndex, key, counter: session.sent++, kind: 'relay', bytes, relayed };
    this.#network.sendDatagram(this.#nic, to, datagram, bytes + RELAY_OVERHEAD_BYTES);
  }

  #receiveRelayed(from: PeerId, relayed: Relayed, { nested, bytes }: { nested: boolean; bytes: number }): void {
    const verdict = decideRelayed(relayed, { self: this.#self, from, nested });
    if (verdict !== 'deliver' && verdict !== 'forward') return;
    this.#countersOf(from).lastDataReceivedMs = this.#clock.monotonicMs();
    if (verdict === 'deliver') {
      this.#receive(relayed.datagram, { relay: from, peer: relayed.source });
      return;
    }
    const onward = passOn(relayed, { from, path: this.#paths.get(relayed.destination) ?? null });
    if (onward === null) return;
    const passed = (relayed.passed ?? 0) + 1;
    this.forwarded++;
    this.passedMost = Math.max(this.passedMost, passed);
    this.#carry(onward.to, { ...onward.relayed, passed }, bytes);
  }

  #receive(datagram: unknown, from: TunnelPath): void {
    if (datagram instanceof Uint8Array) this.#events?.handshake(datagram.slice(), from);
    else this.#receiveData(datagram as DataDatagram, from);
  }

  #receiveData({ receiverIndex, key, counter, kind, bytes, relayed }: DataDatagram, from: TunnelPath): void {
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
    const known = this.#paths.get(session.peer) ?? null;
    const isDirect = !isRelayPath(from) && (known === null || !isRelayPath(known));
    if (isDirect && counter > session.highest && (known === null || !equalPaths(known, from))) {
      this.#paths.set(session.peer, from);
      this.#events?.roamed(session.peer, from);
    }
    session.highest = Math.max(session.highest, counter);
    if (!session.confirmed) {
      session.confirmed = true;
      this.#events?.sessionConfirmed(receiverIndex);
    }
    if (relayed !== undefined) this.#receiveRelayed(session.peer, relayed, { nested: isRelayPath(from), bytes });
  }

  #answer(peer: PeerId, bytes: number): void {
    const session = this.#sessionTo(peer);
    if (session !== null) this.#send(session, 'answer', bytes);
  }

  #countersOf(peer: PeerId): OpenCounters {
    const known = this.#counters.get(peer);
    if (known !== undefined) return known;
    const counters = noCounters(peer);
    this.#counters.set(peer, counters);
    return counters;
  }
}
