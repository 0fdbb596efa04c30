// All that the pcap datapath knows of one peer: where it is, which session sends, what waits for one, pieces under way, and the
// counters. A record without logic beyond its own consistency; frame-sender.ts and datagram-receiver.ts work on it.

import { type Endpoint, makeEndpoint } from '../../base/endpoint.ts';
import type { PeerId } from '../../base/ids.ts';
import type { PeerCounters } from '../datapath.ts';
import { ForwardingRate } from '../forwarding-rate.ts';
import { DropCounts } from '../frame-drops.ts';
import { PieceAssembly } from '../pieces.ts';
import type { Session } from '../session.ts';
import { endpointOf, type TunnelPath } from '../tunnel-path.ts';
import { overheadBytes } from '../wire-format.ts';
import type { WireAddress } from './datagram-socket.ts';
import { WaitingFrames } from './waiting-frames.ts';

/** Below this no IPv4 path is worth carrying frames in pieces on; keeps a piece larger than its headers. */
const PATH_MTU_MIN = 296;
const PATH_MTU_MAX = 65_535;
/** Our tuning: a search asks three times a second, at most twenty times where answers are quick. */
const PROBES = { perSecond: 50, burst: 50 };

export class PeerLink {
  readonly peer: PeerId;
  readonly drops = new DropCounts();
  readonly waiting = new WaitingFrames();
  readonly assembly: PieceAssembly;
  /** Of the peer's probes, and of its answers to ours. */
  readonly probes = new ForwardingRate(PROBES);
  readonly probeAnswers = new ForwardingRate(PROBES);
  /** The session that frames leave on; null: they wait. */
  sending: Session | null = null;
  path: TunnelPath | null = null;
  /** A direct path in the socket's notation. */
  address: WireAddress | null = null;
  #pathMtu: number;
  /** The longest frame or piece of a frame that one datagram carries. */
  bodyMax = 0;
  /** When the control side was last asked for a session, and told of a move. */
  wantedMs: number | null = null;
  relayWantedMs: number | null = null;
  roamedMs: number | null = null;
  reported: Endpoint | null = null;
  txFrames = 0;
  txBytes = 0;
  rxFrames = 0;
  rxBytes = 0;
  lastDataSentMs: number | null = null;
  lastDataReceivedMs: number | null = null;
  lastReceivedMs: number | null = null;
  /** For the socket: made once, not per datagram. */
  readonly sent = (error: Error | null): void => {
    if (error !== null) this.drops.count('send-failed');
  };

  constructor(peer: PeerId, limits: { pathMtu: number; frameBytesMax: number }) {
    this.peer = peer;
    this.#pathMtu = limits.pathMtu;
    this.assembly = new PieceAssembly(limits.frameBytesMax, (reason) => this.drops.count(reason));
    this.#measure();
  }

  setPathMtu(bytes: number): void {
    this.#pathMtu = Math.min(Math.max(bytes, PATH_MTU_MIN), PATH_MTU_MAX);
    this.#measure();
  }

  /** `address`: of a direct path. */
  setPath(path: TunnelPath | null, address: WireAddress | null): void {
    this.path = path;
    this.address = address;
    this.reported = endpointOf(path);
    this.#measure();
  }

  /** The peer spoke from this address: a direct path goes there from now on. Cheap when nothing changed, which is nearly always. */
  moveTo(address: string, port: number): void {
    if (this.address !== null && this.address.address === address && this.address.port === port) return;
    const endpoint = makeEndpoint(address, port);
    if (endpoint === null) return;
    this.path = endpoint;
    this.address = { address, port };
    this.#measure();
  }

  counters(): PeerCounters {
    return {
      peer: this.peer,
      txFrames: this.txFrames,
      txBytes: this.txBytes,
      rxFrames: this.rxFrames,
      rxBytes: this.rxBytes,
      drops: this.drops.snapshot(),
      lastDataSentMs: this.lastDataSentMs,
      lastDataReceivedMs: this.lastDataReceivedMs,
      lastReceivedMs: this.lastReceivedMs,
    };
  }

  /** What a datagram to the peer has around its body; by a relay as if over IPv4. */
  get overheadBytes(): number {
    return overheadBytes(endpointOf(this.path)?.ip.includes(':') === true ? 6 : 4);
  }

  #measure(): void {
    this.bodyMax = this.#pathMtu - this.overheadBytes;
  }
}
