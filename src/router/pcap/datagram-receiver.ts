// From a datagram to frames: finds the session, refuses replays and forgeries, confirms and roams, puts pieces together.
// Invariant: nothing before authentication has a lasting effect but a counter; nothing here throws for what a datagram holds.

import type { Clock } from '../../base/capabilities.ts';
import { type Endpoint, equalEndpoints, makeEndpoint } from '../../base/endpoint.ts';
import type { PeerId } from '../../base/ids.ts';
import type { DropCounts, DropReason } from '../frame-drops.ts';
import { HANDSHAKE_BYTES_MAX } from '../handshake-message.ts';
import { decideRelayed, type RelayedDatagram, readRelayed } from '../relay-message.ts';
import type { Session } from '../session.ts';
import { endpointOf, type RelayPath, relayOf, type TunnelPath } from '../tunnel-path.ts';
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

/** A data datagram that authenticated. */
interface OpenedDatagram {
  readonly localIndex: number;
  readonly counter: number;
  readonly plain: Uint8Array;
  /** It came by a relay itself. */
  readonly nested: boolean;
  readonly nowMs: number;
}

export interface DatagramReceiverEvents {
  handshake(datagram: Uint8Array, from: TunnelPath): void;
  sessionConfirmed(localIndex: number): void;
  roamed(peer: PeerId, endpoint: Endpoint): void;
  /** The peer asks whether its outer IP packet of `bytes` arrived. */
  probed(link: PeerLink, bytes: number): void;
  probeAnswered(peer: PeerId, bytes: number): void;
  /** A datagram between others, on its way by this host. Why it goes no further; null when it left. */
  forward(relayed: RelayedDatagram, from: PeerId): DropReason | null;
  /** A datagram of `bytes` came by a relay. */
  relayed(bytes: number): void;
  /** A whole frame of the peer in one of our networks; its memory is the receiver's. */
  frame(link: PeerLink, network: PcapNetwork, frame: Uint8Array, partialChecksum: boolean): void;
}

export interface DatagramReceiverParts {
  readonly self: PeerId;
  /** By local index; the owner changes it. */
  readonly sessions: ReadonlyMap<number, ReceivingSession>;
  /** For datagrams of no session. */
  readonly drops: DropCounts;
  readonly clock: Clock;
  /** Undefined for one that this host has no part in. */
  readonly networkOf: (id: number) => PcapNetwork | undefined;
  readonly events: DatagramReceiverEvents;
}

export class DatagramReceiver {
  readonly #parts: DatagramReceiverParts;
  readonly #inner: InnerHeader = {
    kind: 0,
    hopLimit: 0,
    flags: 0,
    network: 0,
    index: 0,
    count: 0,
    headerLength: 0,
  };

  constructor(parts: DatagramReceiverParts) {
    this.#parts = parts;
  }

  /** `datagram` is handed over. `address` is in the socket's notation. */
  receive(datagram: Uint8Array, address: string, port: number): void {
    if (datagramType(datagram) === DatagramType.data) {
      this.#receiveData(datagram, null, address, port);
      return;
    }
    const from = makeEndpoint(address, port);
    if (from === null) this.#parts.drops.count('datagram-malformed');
    else this.#receiveHandshake(datagram, from);
  }

  #receiveHandshake(datagram: Uint8Array, from: TunnelPath): void {
    switch (datagramType(datagram)) {
      case DatagramType.initiation:
      case DatagramType.response:
      case DatagramType.cookie:
        if (datagram.length > HANDSHAKE_BYTES_MAX) this.#parts.drops.count('datagram-malformed');
        else this.#parts.events.handshake(datagram, from);
        return;
      default: {
        const ours = datagram.length > 0 && datagram[0]! >>> 4 === WIRE_VERSION;
        this.#parts.drops.count(ours ? 'datagram-type' : 'datagram-version');
      }
    }
  }

  /** `relay`: it came by that; null: from this address. */
  #receiveData(datagram: Uint8Array, relay: RelayPath | null, address: string, port: number): void {
    if (datagram.length < DATA_DATAGRAM_MIN || !reservedBytesClear(datagram)) {
      this.#parts.drops.count('datagram-malformed');
      return;
    }
    const found = this.#parts.sessions.get(readReceiverIndex(datagram));
    if (found === undefined) {
      this.#parts.drops.count('session-unknown');
      return;
    }
    const { session, link } = found;
    const counter = readCounter(datagram);
    const refused = counter < 0 ? 'datagram-malformed' : refusedBefore(session, counter, relay);
    if (refused !== null) {
      link.drops.count(refused);
      return;
    }
    const plain = session.aead.open(counter, datagram);
    if (plain === null) {
      link.drops.count('authentication-failed');
      return;
    }
    const nowMs = this.#parts.clock.monotonicMs();
    link.lastReceivedMs = nowMs;
    if (session.accept(counter) && relay === null) this.#follow(link, address, port, nowMs);
    if (!session.confirmed) {
      session.confirmed = true;
      this.#parts.events.sessionConfirmed(session.localIndex);
    }
    this.#unpack(link, { localIndex: session.localIndex, counter, plain, nested: relay !== null, nowMs });
  }

  /** Only the newest datagram of a session says where its peer is; whom a relay reaches, a handshake alone moves. */
  #follow(link: PeerLink, address: string, port: number, nowMs: number): void {
    if (relayOf(link.path) !== null) return;
    link.moveTo(address, port);
    const { reported } = link;
    const endpoint = endpointOf(link.path);
    if (endpoint === null || (reported !== null && (endpoint === reported || equalEndpoints(endpoint, reported))))
      return;
    if (link.roamedMs !== null && nowMs - link.roamedMs < ROAMED_REPEAT_MS) return;
    link.roamedMs = nowMs;
    link.reported = endpoint;
    this.#parts.events.roamed(link.peer, endpoint);
  }

  #unpack(link: PeerLink, opened: OpenedDatagram): void {
    const { localIndex, counter, plain, nowMs } = opened;
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
    if (inner.kind === InnerKind.relay) {
      const dropped = this.#takeRelayed(link, readRelayed(body, inner.hopLimit), opened);
      if (dropped !== null) link.drops.count(dropped);
      return;
    }
    const network = this.#parts.networkOf(inner.network);
    const refused = refusedByHeader(inner, network !== undefined);
    if (refused !== null || network === undefined) {
      link.drops.count(refused ?? 'network-unknown');
      return;
    }
    link.lastDataReceivedMs = nowMs;
    const partialChecksum = (inner.flags & FLAG_PARTIAL_CHECKSUM) !== 0;
    if (inner.kind !== InnerKind.fragment) {
      this.#parts.events.frame(link, network, body, partialChecksum);
      return;
    }
    const frame = link.assembly.add(
      { localIndex, counter, index: inner.index, count: inner.count, bytes: body },
      nowMs,
    );
    if (frame !== null) this.#parts.events.frame(link, network, frame, partialChecksum);
  }

  /** Why it goes no further; null when it does. */
  #takeRelayed(link: PeerLink, relayed: RelayedDatagram | null, { nested, nowMs }: OpenedDatagram): DropReason | null {
    if (relayed === null) return 'inner-malformed';
    const verdict = decideRelayed(relayed, { self: this.#parts.self, from: link.peer, nested });
    if (verdict !== 'deliver' && verdict !== 'forward') return verdict;
    link.lastDataReceivedMs = nowMs;
    if (verdict === 'forward') return this.#parts.events.forward(relayed, link.peer);
    const { datagram, source } = relayed;
    this.#parts.events.relayed(datagram.length);
    const path: RelayPath = { relay: link.peer, peer: source };
    if (datagramType(datagram) === DatagramType.data) this.#receiveData(datagram, path, '', 0);
    else this.#receiveHandshake(new Uint8Array(datagram), path);
    return null;
  }

  /** Why it does nothing; null when it does. */
  #takeProbe(link: PeerLink, kind: number, body: Uint8Array, nowMs: number): DropReason | null {
    const bytes = readProbe(body);
    if (bytes === null) return 'inner-malformed';
    const limit = kind === InnerKind.probe ? link.probes : link.probeAnswers;
    if (!limit.take(nowMs)) return 'probe-limit';
    if (kind === InnerKind.probe) this.#parts.events.probed(link, bytes);
    else this.#parts.events.probeAnswered(link.peer, bytes);
    return null;
  }
}

/** Before decryption. */
function refusedBefore(session: Session, counter: number, relay: RelayPath | null): DropReason | null {
  if (relay !== null && relay.peer !== session.peer) return 'relay-source';
  const verdict = session.check(counter);
  return verdict === 'fresh' ? null : verdict;
}

/** A segment is a whole frame to a receiver without offload. */
function refusedByHeader(inner: InnerHeader, isOurNetwork: boolean): DropReason | null {
  const carriesFrame =
    inner.kind === InnerKind.frame || inner.kind === InnerKind.segment || inner.kind === InnerKind.fragment;
  if (!carriesFrame) return 'kind-unsupported';
  if (!isOurNetwork) return 'network-unknown';
  return inner.hopLimit === 0 ? 'hop-limit' : null;
}
