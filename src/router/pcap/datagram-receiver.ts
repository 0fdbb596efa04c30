// From a datagram to frames: finds the session, refuses replays and forgeries, confirms and roams, puts pieces together.
// Invariant: nothing before authentication has a lasting effect but a counter; nothing here throws for what a datagram holds.

import type { Clock } from '../../base/capabilities.ts';
import { type Endpoint, equalEndpoints, makeEndpoint } from '../../base/endpoint.ts';
import type { PeerId } from '../../base/ids.ts';
import type { DropCounts, DropReason } from '../frame-drops.ts';
import type { Session } from '../session.ts';
import {
  DATA_DATAGRAM_MIN,
  DatagramType,
  datagramType,
  FLAG_PARTIAL_CHECKSUM,
  INNER_BYTES,
  type InnerHeader,
  InnerKind,
  readCounter,
  readInnerHeader,
  readProbe,
  readReceiverIndex,
  reservedBytesClear,
  WIRE_VERSION,
} from '../wire-format.ts';
import type { PcapNetwork } from './pcap-networks.ts';
import type { PeerLink } from './peer-link.ts';

/** Our tuning: a peer that flaps between two endpoints is followed at once, but reported this often at most. */
const ROAMED_REPEAT_MS = 1000;

export interface ReceivingSession {
  readonly session: Session;
  readonly link: PeerLink;
}

export interface DatagramReceiverEvents {
  handshake(datagram: Uint8Array, from: Endpoint): void;
  sessionConfirmed(localIndex: number): void;
  roamed(peer: PeerId, endpoint: Endpoint): void;
  /** The peer asks whether its outer IP packet of `bytes` arrived. */
  probed(link: PeerLink, bytes: number): void;
  probeAnswered(peer: PeerId, bytes: number): void;
  /** A whole frame of the peer in one of our networks; its memory is the receiver's. */
  frame(link: PeerLink, network: PcapNetwork, frame: Uint8Array, partialChecksum: boolean): void;
}

export class DatagramReceiver {
  readonly #sessions: ReadonlyMap<number, ReceivingSession>;
  readonly #drops: DropCounts;
  readonly #clock: Clock;
  readonly #networkOf: (id: number) => PcapNetwork | undefined;
  readonly #events: DatagramReceiverEvents;
  readonly #inner: InnerHeader = {
    kind: 0,
    hopLimit: 0,
    flags: 0,
    network: 0,
    index: 0,
    count: 0,
    headerLength: 0,
  };

  constructor(facts: {
    /** By local index; the owner changes it. */
    sessions: ReadonlyMap<number, ReceivingSession>;
    /** For datagrams of no session. */
    drops: DropCounts;
    clock: Clock;
    /** Undefined for one that this host has no part in. */
    networkOf: (id: number) => PcapNetwork | undefined;
    events: DatagramReceiverEvents;
  }) {
    this.#sessions = facts.sessions;
    this.#drops = facts.drops;
    this.#clock = facts.clock;
    this.#networkOf = facts.networkOf;
    this.#events = facts.events;
  }

  /** `datagram` is handed over. `address` is in the socket's notation. */
  receive(datagram: Uint8Array, address: string, port: number): void {
    switch (datagramType(datagram)) {
      case DatagramType.data:
        this.#receiveData(datagram, address, port);
        return;
      case DatagramType.initiation:
      case DatagramType.response:
      case DatagramType.cookie: {
        const from = makeEndpoint(address, port);
        if (from === null) this.#drops.count('datagram-malformed');
        else this.#events.handshake(datagram, from);
        return;
      }
      default: {
        const ours = datagram.length > 0 && datagram[0]! >>> 4 === WIRE_VERSION;
        this.#drops.count(ours ? 'datagram-type' : 'datagram-version');
      }
    }
  }

  #receiveData(datagram: Uint8Array, address: string, port: number): void {
    if (datagram.length < DATA_DATAGRAM_MIN || !reservedBytesClear(datagram)) {
      this.#drops.count('datagram-malformed');
      return;
    }
    const found = this.#sessions.get(readReceiverIndex(datagram));
    if (found === undefined) {
      this.#drops.count('session-unknown');
      return;
    }
    const { session, link } = found;
    const counter = readCounter(datagram);
    const refused = counter < 0 ? 'datagram-malformed' : refusedByWindow(session, counter);
    if (refused !== null) {
      link.drops.count(refused);
      return;
    }
    const plain = session.aead.open(counter, datagram);
    if (plain === null) {
      link.drops.count('authentication-failed');
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    link.lastReceivedMs = nowMs;
    if (session.accept(counter)) this.#follow(link, address, port, nowMs);
    if (!session.confirmed) {
      session.confirmed = true;
      this.#events.sessionConfirmed(session.localIndex);
    }
    this.#unpack(link, session.localIndex, counter, plain, nowMs);
  }

  /** Only the newest datagram of a session says where its peer is. */
  #follow(link: PeerLink, address: string, port: number, nowMs: number): void {
    link.moveTo(address, port);
    const { endpoint, reported } = link;
    if (endpoint === null || (reported !== null && (endpoint === reported || equalEndpoints(endpoint, reported))))
      return;
    if (link.roamedMs !== null && nowMs - link.roamedMs < ROAMED_REPEAT_MS) return;
    link.roamedMs = nowMs;
    link.reported = endpoint;
    this.#events.roamed(link.peer, endpoint);
  }

  #unpack(link: PeerLink, localIndex: number, counter: number, plain: Uint8Array, nowMs: number): void {
    const inner = this.#inner;
    if (!readInnerHeader(plain, inner)) {
      link.drops.count('inner-malformed');
      return;
    }
    if (inner.kind === InnerKind.keepalive) return;
    const body = plain.subarray(INNER_BYTES);
    if (inner.kind === InnerKind.probe || inner.kind === InnerKind.probeAnswer) {
      const dropped = this.#takeProbe(link, inner.kind, body, nowMs);
      if (dropped !== null) link.drops.count(dropped);
      return;
    }
    const network = this.#networkOf(inner.network);
    const refused = refusedByHeader(inner, network !== undefined);
    if (refused !== null || network === undefined) {
      link.drops.count(refused ?? 'network-unknown');
      return;
    }
    link.lastDataReceivedMs = nowMs;
    const partialChecksum = (inner.flags & FLAG_PARTIAL_CHECKSUM) !== 0;
    if (inner.kind !== InnerKind.fragment) {
      this.#events.frame(link, network, body, partialChecksum);
      return;
    }
    const frame = link.assembly.add(
      { localIndex, counter, index: inner.index, count: inner.count, bytes: body },
      nowMs,
    );
    if (frame !== null) this.#events.frame(link, network, frame, partialChecksum);
  }

  /** Why it does nothing; null when it does. */
  #takeProbe(link: PeerLink, kind: number, body: Uint8Array, nowMs: number): DropReason | null {
    const bytes = readProbe(body);
    if (bytes === null) return 'inner-malformed';
    if (kind === InnerKind.probeAnswer) this.#events.probeAnswered(link.peer, bytes);
    else if (link.probeAnswers.take(nowMs)) this.#events.probed(link, bytes);
    else return 'probe-limit';
    return null;
  }
}

function refusedByWindow(session: Session, counter: number): DropReason | null {
  const verdict = session.check(counter);
  return verdict === 'fresh' ? null : verdict;
}

/** A segment is a whole frame to a receiver without offload. Relays come with later versions. */
function refusedByHeader(inner: InnerHeader, isOurNetwork: boolean): DropReason | null {
  const carriesFrame =
    inner.kind === InnerKind.frame || inner.kind === InnerKind.segment || inner.kind === InnerKind.fragment;
  if (!carriesFrame) return 'kind-unsupported';
  if (!isOurNetwork) return 'network-unknown';
  return inner.hopLimit === 0 ? 'hop-limit' : null;
}
