// The `pcap` datapath: the readable reference implementation of the Datapath contract, on a veth of the bridge (libpcap), one
// UDP socket and node:crypto. It wires the pure parts (forwarding, pieces, sessions) to port and socket and keeps the tables.
// Invariant: one thread, no timer; every frame and datagram is delivered, sent, answered, or counted as dropped once.

import type { Clock, Log } from '../../base/capabilities.ts';
import { assert } from '../../base/errors.ts';
import type { Mac, PeerId, Vni } from '../../base/ids.ts';
import { completeChecksum } from '../checksum.ts';
import type {
  Datapath,
  DatapathEvents,
  DatapathOptions,
  DatapathStats,
  SessionKeys,
  TableChange,
} from '../datapath.ts';
import { addressOfStranger, decideFromPeer, decideFromPort, isNews } from '../forwarding.ts';
import { ForwardingRate } from '../forwarding-rate.ts';
import { ForwardingStrangers } from '../forwarding-strangers.ts';
import { ETHERNET_BYTES, FrameView, VLAN_BYTES, VLAN_TAGS_MAX } from '../frame.ts';
import { DropCounts, type DropReason } from '../frame-drops.ts';
import { answerTooBig } from '../frame-too-big.ts';
import { announceNeighbour } from '../neighbour-answer.ts';
import { Session, type SessionAead } from '../session.ts';
import { endpointOf, type TunnelPath } from '../tunnel-path.ts';
import { DatagramReceiver, type ReceivingSession } from './datagram-receiver.ts';
import { DatagramSender } from './datagram-sender.ts';
import { DatagramSocket } from './datagram-socket.ts';
import type { FramePort } from './frame-port.ts';
import { FrameSender } from './frame-sender.ts';
import { NodeAead } from './node-aead.ts';
import { PcapNetwork, PcapNetworks } from './pcap-networks.ts';
import { PcapPort } from './pcap-port.ts';
import { PeerLink } from './peer-link.ts';

/** Our tuning: unknown destinations are copied to every peer, so one container must not blast them. */
const UNKNOWN_UNICAST = { perSecond: 1000, burst: 1000 };
const TOO_BIG_ANSWERS = { perSecond: 100, burst: 50 };
const ANNOUNCEMENTS = { perSecond: 1000, burst: 1000 };

export interface PcapCapabilities {
  /** Asked once or twice per frame: must cost well below a microsecond. */
  readonly clock: Clock;
  readonly log: Log;
  /** Tests put ports in memory here. */
  readonly makePort?: (portName: string) => FramePort;
  /** Tests watch nonces and start close to limits here. */
  readonly makeSession?: (keys: SessionKeys, aead: SessionAead) => Session;
}

export class PcapDatapath implements Datapath {
  readonly name = 'pcap';
  readonly #options: DatapathOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #socket: DatagramSocket;
  readonly #makeSession: (keys: SessionKeys, aead: SessionAead) => Session;
  readonly #frameBytesMax: number;
  readonly #networks: PcapNetworks;
  readonly #links = new Map<PeerId, PeerLink>();
  readonly #sessions = new Map<number, ReceivingSession>();
  readonly #datagrams: DatagramSender;
  readonly #sender: FrameSender;
  readonly #receiver: DatagramReceiver;
  /** Drops that belong to no peer. */
  readonly #drops = new DropCounts();
  readonly #view = new FrameView();
  readonly #strangers = new ForwardingStrangers();
  readonly #unknownUnicast = new ForwardingRate(UNKNOWN_UNICAST);
  readonly #tooBigAnswers = new ForwardingRate(TOO_BIG_ANSWERS);
  readonly #announcements = new ForwardingRate(ANNOUNCEMENTS);
  #events: DatapathEvents | null = null;
  #stopped: Promise<void> | null = null;
  #framesIn = 0;
  #framesOut = 0;

  constructor(options: DatapathOptions, capabilities: PcapCapabilities) {
    this.#options = options;
    this.#clock = capabilities.clock;
    this.#log = capabilities.log;
    this.#socket = new DatagramSocket(options.listen);
    this.#makeSession = capabilities.makeSession ?? ((keys, aead) => new Session({ ...keys, aead }));
    this.#frameBytesMax = options.mtu + ETHERNET_BYTES + VLAN_TAGS_MAX * VLAN_BYTES;
    const makePort = capabilities.makePort ?? ((name: string) => new PcapPort(name, capabilities.clock));
    this.#networks = new PcapNetworks(new PcapNetwork(options, makePort(options.portName)), {
      makePort,
      came: (network) => this.#openFurther(network),
    });
    const networkOf = (id: number): PcapNetwork | undefined => this.#networks.get(id);
    this.#datagrams = new DatagramSender({
      self: options.self,
      socket: this.#socket,
      clock: this.#clock,
      links: this.#links,
      drops: this.#drops,
      events: {
        sessionWanted: (peer) => this.#events?.sessionWanted(peer),
        relayWanted: (peer) => this.#events?.relayWanted(peer),
        sessionExhausted: (localIndex) => this.#events?.sessionExhausted(localIndex),
      },
    });
    this.#sender = new FrameSender({
      datagrams: this.#datagrams,
      clock: this.#clock,
      mainNetwork: options.network,
      networkOf,
      frameBytesMax: this.#frameBytesMax,
    });
    this.#receiver = new DatagramReceiver({
      self: options.self,
      sessions: this.#sessions,
      drops: this.#drops,
      clock: this.#clock,
      networkOf,
      events: {
        handshake: (datagram, from) => this.#events?.handshake(datagram, from),
        sessionConfirmed: (localIndex) => this.#events?.sessionConfirmed(localIndex),
        roamed: (peer, endpoint) => this.#events?.roamed(peer, endpoint),
        probed: (link, bytes) => this.#sender.answerProbe(link, bytes),
        probeAnswered: (peer, bytes) => this.#events?.probeAnswered(peer, bytes),
        forward: (relayed, from) => this.#datagrams.forward(relayed, from),
        relayed: (bytes) => this.#datagrams.countReceived(bytes),
        frame: (link, network, frame, partialChecksum) => this.#fromPeer(link, network, frame, partialChecksum),
      },
    });
  }

  /** The bound UDP port: of interest when {@link DatapathOptions.listen} asked for 0. */
  get udpPort(): number {
    return this.#socket.port;
  }

  async start(events: DatapathEvents): Promise<void> {
    assert(this.#events === null && this.#stopped === null, 'a datapath is started once');
    await this.#socket.open({
      datagram: (datagram, address, port) => {
        if (this.#events !== null) this.#receiver.receive(datagram, address, port);
      },
      receiveFailed: () => this.#drops.count('receive-failed'),
    });
    this.#events = events;
    // Paths that were set before the socket knew its address family
    for (const link of this.#links.values()) this.setPath(link.peer, link.path);
    try {
      for (const network of this.#networks.all()) this.#open(network);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  addSession(keys: SessionKeys): void {
    assert(!this.#sessions.has(keys.localIndex), 'a local index names one session');
    const session = this.#makeSession(keys, new NodeAead(keys.cipher, keys.sendKey, keys.receiveKey));
    this.#sessions.set(keys.localIndex, { session, link: this.#link(keys.peer) });
  }

  useSession(localIndex: number): void {
    const found = this.#sessions.get(localIndex);
    if (found === undefined || found.session.exhausted) return;
    found.link.sending = found.session;
    this.#sender.flush(found.link);
  }

  removeSession(localIndex: number): void {
    const found = this.#sessions.get(localIndex);
    if (found === undefined) return;
    this.#sessions.delete(localIndex);
    if (found.link.sending === found.session) found.link.sending = null;
    found.session.aead.destroy();
  }

  setPath(peer: PeerId, path: TunnelPath | null): void {
    const endpoint = endpointOf(path);
    this.#link(peer).setPath(path, endpoint === null ? null : this.#socket.wireAddress(endpoint));
  }

  setPathMtu(peer: PeerId, bytes: number): void {
    this.#link(peer).setPathMtu(bytes);
  }

  applyTables(changes: readonly TableChange[]): void {
    for (const change of changes) {
      const applied = this.#networks.apply(change);
      if (applied === 'table-full') this.#drops.count('table-full');
      else if (applied !== 'done') this.#announce(change.network, applied.announce);
    }
  }

  /** Calls take effect at once. */
  async settle(): Promise<void> {}

  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    this.#datagrams.sendRaw(datagram, to);
  }

  sendKeepalive(peer: PeerId): void {
    const link = this.#links.get(peer);
    if (link !== undefined) this.#sender.keepalive(link);
  }

  sendProbe(peer: PeerId, bytes: number): void {
    const link = this.#links.get(peer);
    if (link !== undefined) this.#sender.probe(link, bytes);
  }

  removePeer(peer: PeerId): void {
    for (const { session } of this.#sessions.values()) {
      if (session.peer === peer) this.removeSession(session.localIndex);
    }
    this.#networks.removePeer(peer);
    this.#drops.count('peer-removed', this.#links.get(peer)?.waiting.take().length ?? 0);
    this.#links.delete(peer);
  }

  stats(): DatapathStats {
    const nowMs = this.#clock.monotonicMs();
    const peers = [...this.#links.values()].map((link) => {
      link.assembly.expire(nowMs);
      return link.counters();
    });
    const losses = new DropCounts();
    const { overload, captureOverrun } = this.#networks.losses();
    losses.count('overload', overload);
    losses.count('capture-overrun', captureOverrun);
    return {
      peers,
      drops: { ...this.#drops.snapshot(), ...losses.snapshot() },
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      relayed: this.#datagrams.relayed,
    };
  }

  #open(network: PcapNetwork): void {
    network.port.open({
      frame: (bytes, wireBytes) => this.#fromPort(network, bytes, wireBytes),
      failed: (reason) => this.#fail(reason),
    });
  }

  /** Of a network that came later; one that came before the start is opened then. */
  #openFurther(network: PcapNetwork): void {
    if (this.#events === null) return;
    try {
      this.#open(network);
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  #fromPort(network: PcapNetwork, bytes: Uint8Array, wireBytes: number): void {
    this.#framesIn++;
    const dropped = bytes.length < wireBytes ? 'frame-truncated' : this.#forward(network, bytes);
    if (dropped !== null) this.#drops.count(dropped);
  }

  /** Why the frame from the port goes to no peer; null when it does. */
  #forward(network: PcapNetwork, bytes: Uint8Array): DropReason | null {
    const view = this.#view;
    if (!view.set(bytes)) return 'frame-short';
    const source = network.table.lookup(view.sourceHigh, view.sourceLow);
    const verdict = decideFromPort(view, source, network.table, this.#options.mtu);
    if (isNews(source, verdict)) this.#noticeStranger(network, view, source !== undefined);
    switch (verdict.kind) {
      case 'peer':
        this.#sender.send(this.#link(verdict.peer), network, bytes);
        return null;
      case 'flood':
        if (verdict.unknownUnicast && !this.#unknownUnicast.take(this.#clock.monotonicMs())) {
          return 'unknown-unicast-limit';
        }
        for (const peer of verdict.peers) this.#sender.send(this.#link(peer), network, bytes);
        return null;
      case 'answer':
        this.#inject(network, verdict.frame);
        return 'neighbour-answered';
      case 'too-large':
        this.#answerTooLarge(network, view);
        return 'frame-too-large';
      case 'drop':
        return verdict.reason;
      case 'port':
        assert(false, 'a frame from the port does not return to it');
    }
  }

  #fromPeer(link: PeerLink, network: PcapNetwork, frame: Uint8Array, partialChecksum: boolean): void {
    link.rxFrames++;
    link.rxBytes += frame.length;
    const dropped = this.#deliver(link, network, frame, partialChecksum);
    if (dropped === null) this.#framesOut++;
    else link.drops.count(dropped);
  }

  /** Why the frame from a peer did not reach the port; null when it did. */
  #deliver(link: PeerLink, network: PcapNetwork, frame: Uint8Array, partialChecksum: boolean): DropReason | null {
    const view = this.#view;
    if (!view.set(frame)) return 'frame-short';
    const verdict = decideFromPeer(view, link.peer, network.table, this.#options.mtu);
    if (verdict.kind === 'drop') return verdict.reason;
    assert(verdict.kind === 'port', 'a frame from the overlay goes to the port or nowhere');
    if (partialChecksum && !completeChecksum(view)) return 'checksum-impossible';
    return network.port.inject(frame) ? null : 'inject-failed';
  }

  #answerTooLarge(network: PcapNetwork, view: FrameView): void {
    if (!this.#tooBigAnswers.take(this.#clock.monotonicMs())) return;
    const answer = answerTooBig(view, this.#options.mtu);
    if (answer !== null) this.#inject(network, answer);
  }

  #noticeStranger({ id: network }: PcapNetwork, view: FrameView, elsewhere: boolean): void {
    const mac = view.source;
    const ip = addressOfStranger(view);
    if (this.#strangers.notice({ network, mac, ip, elsewhere }, this.#clock.monotonicMs())) {
      this.#events?.learned(network, mac, ip);
    }
  }

  /** Local containers that knew the address by another MAC hear of the new one now, not when their entry ages. */
  #announce(id: Vni, { ip, mac }: { ip: string; mac: Mac }): void {
    const network = this.#networks.get(id);
    const local = network?.table.lookupMac(mac)?.owner === 'local';
    if (network === undefined || this.#events === null || local || !this.#announcements.take(this.#clock.monotonicMs()))
      return;
    this.#inject(network, announceNeighbour(ip, mac));
  }

  /** A frame of our own making. */
  #inject({ port }: PcapNetwork, frame: Uint8Array): void {
    if (!port.inject(frame)) this.#drops.count('inject-failed');
  }

  #link(peer: PeerId): PeerLink {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = new PeerLink(peer, { pathMtu: this.#options.pathMtu, frameBytesMax: this.#frameBytesMax });
      this.#links.set(peer, link);
    }
    return link;
  }

  #fail(reason: string): void {
    const events = this.#events;
    this.#log.error('datapath stopped', { datapath: this.name, port: this.#options.portName, reason });
    void this.stop().then(() => events?.failed(reason));
  }

  async #close(): Promise<void> {
    this.#events = null;
    this.#networks.closePorts();
    for (const localIndex of [...this.#sessions.keys()]) this.removeSession(localIndex);
    await this.#socket.close();
  }
}
