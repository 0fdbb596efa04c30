// From inner header and body to the underlay: numbers and seals a datagram on a peer's session and sends it to the peer's endpoint, or
// by its relay, and passes on what is relayed between others. Invariant: a datagram is handed to the socket or counted as dropped,
// once; no counter is used twice.

import { concatBytes } from '../../base/bytes.ts';
import type { Clock } from '../../base/capabilities.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import { assert } from '../../base/errors.ts';
import type { PeerId } from '../../base/ids.ts';
import { NOTHING_RELAYED, type RelayCounters } from '../datapath.ts';
import { ForwardingRate } from '../forwarding-rate.ts';
import type { DropCounts, DropReason } from '../frame-drops.ts';
import { passOn, type RelayedDatagram, relayPlain } from '../relay-message.ts';
import type { Session } from '../session.ts';
import { isRelayPath, type RelayPath, type TunnelPath } from '../tunnel-path.ts';
import { HOP_LIMIT, INNER_BYTES, OUTER_BYTES, writeDataHeader } from '../wire-format.ts';
import type { DatagramSocket } from './datagram-socket.ts';
import type { PeerLink } from './peer-link.ts';

/** From the Datapath contract: `sessionWanted` and `relayWanted` are repeated at most once per peer and second. */
const WANTED_REPEAT_MS = 1000;
/** Our tuning: members may name anybody as the destination of what is relayed; nothing is remembered of whom nobody else named. */
const STRANGERS_WANTED = { perSecond: 10, burst: 10 };

export interface DatagramSenderEvents {
  sessionWanted(peer: PeerId): void;
  relayWanted(peer: PeerId): void;
  sessionExhausted(localIndex: number): void;
}

export interface DatagramSenderParts {
  readonly self: PeerId;
  readonly socket: DatagramSocket;
  readonly clock: Clock;
  /** The owner changes it. */
  readonly links: ReadonlyMap<PeerId, PeerLink>;
  /** For datagrams of no session. */
  readonly drops: DropCounts;
  readonly events: DatagramSenderEvents;
}

export class DatagramSender {
  readonly #parts: DatagramSenderParts;
  readonly #relayed: { -readonly [K in keyof RelayCounters]: number } = { ...NOTHING_RELAYED };
  readonly #strangersWanted = new ForwardingRate(STRANGERS_WANTED);
  readonly #rawSent = (error: Error | null): void => {
    if (error !== null) this.#parts.drops.count('send-failed');
  };

  constructor(parts: DatagramSenderParts) {
    this.#parts = parts;
  }

  get relayed(): RelayCounters {
    return { ...this.#relayed };
  }

  /** The first of `count` consecutive counters on the link's session; -1 when the key is used up, which is reported once. */
  reserve(link: PeerLink, session: Session, count: number): number {
    const first = session.reserve(count);
    if (first >= 0) return first;
    link.sending = null;
    if (!session.exhausted) {
      session.exhausted = true;
      this.#parts.events.sessionExhausted(session.localIndex);
    }
    return -1;
  }

  /** Asks for a session, at most once a second. */
  wantSession(link: PeerLink): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (link.wantedMs !== null && nowMs - link.wantedMs < WANTED_REPEAT_MS) return;
    link.wantedMs = nowMs;
    this.#parts.events.sessionWanted(link.peer);
  }

  /** Seals `plain` and sends it on the link's path, which there is. False when it was dropped (and counted under the link). */
  send(link: PeerLink, session: Session, counter: number, plain: Uint8Array): boolean {
    const { path } = link;
    assert(path !== null, 'nothing is sealed for a peer without a path');
    const parts = seal(session, counter, plain);
    const dropped = isRelayPath(path) ? this.#sendByRelay(path, concatBytes(...parts)) : this.#sendParts(link, parts);
    if (dropped !== null) link.drops.count(dropped);
    return dropped === null;
  }

  /** A datagram as it is. Drops are counted under no peer. */
  sendRaw(datagram: Uint8Array, to: TunnelPath): void {
    const dropped = isRelayPath(to) ? this.#sendByRelay(to, datagram) : this.#sendToEndpoint(datagram, to);
    if (dropped !== null) this.#parts.drops.count(dropped);
  }

  /** Passes on what came on the session with `from`. Why it goes no further; null when it left. */
  forward(relayed: RelayedDatagram, from: PeerId): DropReason | null {
    const onward = passOn(relayed, { from, path: this.#parts.links.get(relayed.destination)?.path ?? null });
    if (onward === null) return 'relay-unreachable';
    const dropped = this.#carry(onward.to, onward.relayed);
    if (dropped === null) {
      this.#relayed.forwardedDatagrams++;
      this.#relayed.forwardedBytes += relayed.datagram.length;
    }
    return dropped;
  }

  /** A datagram for this host came by a relay. */
  countReceived(bytes: number): void {
    this.#relayed.receivedDatagrams++;
    this.#relayed.receivedBytes += bytes;
  }

  #sendByRelay({ relay, peer: destination }: RelayPath, datagram: Uint8Array): DropReason | null {
    const relayed = { destination, source: this.#parts.self, hopLimit: HOP_LIMIT, datagram };
    const dropped = this.#carry(relay, relayed);
    if (dropped === null) {
      this.#relayed.sentDatagrams++;
      this.#relayed.sentBytes += datagram.length;
    }
    return dropped;
  }

  /** On a session with a host that is reached directly, and on no other: relays do not nest. */
  #carry(by: PeerId, relayed: RelayedDatagram): DropReason | null {
    const link = this.#parts.links.get(by);
    const session = link?.sending ?? null;
    if (link === undefined || session === null || link.address === null) {
      this.#wantRelay(by, link);
      return 'relay-unreachable';
    }
    const plain = relayPlain(relayed);
    if (plain.length - INNER_BYTES > link.bodyMax) return 'relay-too-large';
    const counter = this.reserve(link, session, 1);
    if (counter < 0) return 'relay-unreachable';
    const dropped = this.#sendParts(link, seal(session, counter, plain));
    if (dropped === null) link.lastDataSentMs = this.#parts.clock.monotonicMs();
    return dropped;
  }

  #wantRelay(peer: PeerId, link: PeerLink | undefined): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const lastMs = link?.relayWantedMs ?? null;
    if (
      link === undefined ? !this.#strangersWanted.take(nowMs) : lastMs !== null && nowMs - lastMs < WANTED_REPEAT_MS
    ) {
      return;
    }
    if (link !== undefined) link.relayWantedMs = nowMs;
    this.#parts.events.relayWanted(peer);
  }

  #sendParts(link: PeerLink, parts: readonly Uint8Array[]): DropReason | null {
    assert(link.address !== null, 'a direct path has an address');
    return this.#parts.socket.send(parts, link.address, link.sent) ? null : 'send-queue-full';
  }

  #sendToEndpoint(datagram: Uint8Array, to: Endpoint): DropReason | null {
    const sent = this.#parts.socket.send([datagram], this.#parts.socket.wireAddress(to), this.#rawSent);
    return sent ? null : 'send-queue-full';
  }
}

/** Header, ciphertext and tag of one datagram. */
function seal(session: Session, counter: number, plain: Uint8Array): readonly Uint8Array[] {
  // Not reused: when the kernel's buffer is full, libuv keeps the parts until later. Pooled, hence cheap.
  const header = Buffer.allocUnsafe(OUTER_BYTES);
  writeDataHeader(header, session.remoteIndex, counter);
  const { body, tag } = session.aead.seal(counter, header, plain);
  return [header, body, tag];
}
