// From a frame and a peer to inner header and body: waits for a session, and cuts what is larger than the path. Invariant: a frame is
// sent whole, waits, or is counted as dropped under the peer; counters of its pieces are consecutive.

import type { Clock } from '../../base/capabilities.ts';
import type { Vni } from '../../base/ids.ts';
import { pieceCount } from '../pieces.ts';
import type { Session } from '../session.ts';
import { INNER_BYTES, InnerKind, innerHeader, PROBE_BYTES_MIN, probeOf, writeInnerHeader } from '../wire-format.ts';
import type { DatagramSender } from './datagram-sender.ts';
import type { PcapNetwork } from './pcap-networks.ts';
import type { PeerLink } from './peer-link.ts';

export class FrameSender {
  readonly #datagrams: DatagramSender;
  readonly #clock: Clock;
  /** Of what is no frame. */
  readonly #mainNetwork: Vni;
  readonly #networkOf: (id: Vni) => PcapNetwork | undefined;
  /** Inner header and body of the datagram that is being sealed. */
  readonly #plain: Uint8Array;
  readonly #keepalive = new Uint8Array(INNER_BYTES);

  constructor(facts: {
    datagrams: DatagramSender;
    clock: Clock;
    mainNetwork: Vni;
    /** Undefined for one that this host has no part in any more. */
    networkOf: (id: Vni) => PcapNetwork | undefined;
    frameBytesMax: number;
  }) {
    this.#datagrams = facts.datagrams;
    this.#clock = facts.clock;
    this.#mainNetwork = facts.mainNetwork;
    this.#networkOf = facts.networkOf;
    this.#plain = new Uint8Array(INNER_BYTES + facts.frameBytesMax);
    writeInnerHeader(this.#keepalive, 0, innerHeader(InnerKind.keepalive, this.#mainNetwork));
  }

  /** `frame` is copied where it must outlive the call. Not longer than `frameBytesMax`. */
  send(link: PeerLink, network: PcapNetwork, frame: Uint8Array): void {
    const session = link.sending;
    if (session === null) this.#wait(link, network.id, frame);
    else if (link.path === null) link.drops.count('no-endpoint');
    else if (frame.length <= link.bodyMax) this.#sendWhole(link, session, network, frame);
    else this.#sendPieces(link, session, network, frame);
  }

  /** Sends what waited, after a session came. */
  flush(link: PeerLink): void {
    for (const { network: id, bytes } of link.waiting.take()) {
      const network = this.#networkOf(id);
      if (network === undefined) link.drops.count('network-unknown');
      else this.send(link, network, bytes);
    }
  }

  keepalive(link: PeerLink): void {
    this.#sendApart(link, this.#keepalive);
  }

  /** Asks whether an outer IP packet of `bytes` arrives. */
  probe(link: PeerLink, bytes: number): void {
    const bodyBytes = Math.max(bytes - link.overheadBytes, PROBE_BYTES_MIN);
    this.#sendApart(link, probeOf(InnerKind.probe, this.#mainNetwork, { bytes, bodyBytes }));
  }

  answerProbe(link: PeerLink, bytes: number): void {
    this.#sendApart(link, probeOf(InnerKind.probeAnswer, this.#mainNetwork, { bytes, bodyBytes: PROBE_BYTES_MIN }));
  }

  /** One datagram that is no data; nothing without a session. */
  #sendApart(link: PeerLink, plain: Uint8Array): void {
    const session = link.sending;
    if (session === null || link.path === null) return;
    const counter = this.#datagrams.reserve(link, session, 1);
    if (counter >= 0) this.#datagrams.send(link, session, counter, plain);
  }

  #sendWhole(link: PeerLink, session: Session, network: PcapNetwork, frame: Uint8Array): void {
    const counter = this.#datagrams.reserve(link, session, 1);
    if (counter < 0) {
      this.#wait(link, network.id, frame);
      return;
    }
    this.#plain.set(network.frameHeader);
    this.#plain.set(frame, INNER_BYTES);
    const plain = this.#plain.subarray(0, INNER_BYTES + frame.length);
    if (this.#datagrams.send(link, session, counter, plain)) this.#countSent(link, frame.length);
  }

  #sendPieces(link: PeerLink, session: Session, network: PcapNetwork, frame: Uint8Array): void {
    const count = pieceCount(frame.length, link.bodyMax);
    if (count === 0) {
      link.drops.count('pieces-limit');
      return;
    }
    const first = this.#datagrams.reserve(link, session, count);
    if (first < 0) {
      this.#wait(link, network.id, frame);
      return;
    }
    // Pieces of equal length rather than full ones and a rest: the last is no smaller target for loss, and none is tiny.
    const pieceBytes = Math.ceil(frame.length / count);
    for (let index = 0; index < count; index++) {
      const piece = frame.subarray(index * pieceBytes, (index + 1) * pieceBytes);
      writeInnerHeader(this.#plain, 0, innerHeader(InnerKind.fragment, network.id, { index, count }));
      this.#plain.set(piece, INNER_BYTES);
      const plain = this.#plain.subarray(0, INNER_BYTES + piece.length);
      if (!this.#datagrams.send(link, session, first + index, plain)) return;
    }
    this.#countSent(link, frame.length);
  }

  #countSent(link: PeerLink, frameBytes: number): void {
    link.txFrames++;
    link.txBytes += frameBytes;
    link.lastDataSentMs = this.#clock.monotonicMs();
  }

  /** No session yet, or its key is used up. */
  #wait(link: PeerLink, network: Vni, frame: Uint8Array): void {
    link.drops.count('waiting-overflow', link.waiting.push(network, frame));
    this.#datagrams.wantSession(link);
  }
}
